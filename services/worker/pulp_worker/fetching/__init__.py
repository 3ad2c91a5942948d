"""Fetching over HTTP for operations, within the rules and bounds of the worker's settings (PULP_FETCH_*).

    async with context.fetcher() as fetcher:
        text = await fetcher.read(url, most_bytes=1_000_000)
        async with fetcher.get(other) as answer:
            async for piece in answer.pieces():
                ...

In a plain operation `asyncio.run` runs a function that does this. docs/operate/fetching.md has rules and bounds.
"""

from pulp_worker.fetching.errors import FetchFailed, FetchRefused, ServerDown, TooLarge
from pulp_worker.fetching.patience import patiently
from pulp_worker.fetching.settings import FetchSettings

__all__ = ["FetchFailed", "FetchRefused", "FetchSettings", "ServerDown", "TooLarge", "patiently"]
