"""What a function returned, awaited where needed: an `async def` behind an ordinary decorator returns a coroutine."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any


async def complete(value: Any) -> Any:
    """The value itself, or what it becomes when it is awaited, as often as that is needed."""
    while value is not None and inspect.isawaitable(value):  # most return nothing
        value = await value
    return value


def returned(value: Any) -> Any:
    """The same where no event loop runs: one is made for what has to be awaited."""
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Awaitable[Any]) -> Any:
    return await complete(value)
