"""Metadata as the reader gets it: unpacked within bounds, in an isolated process, for as long as it is read."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context

from pulp_operations.reading import UnpackLimits, read_packages, unpacked
from pulp_operations.store import Package

_FOLDER: Final = "unpacked"


@asynccontextmanager
async def unpacked_metadata(context: Context[Any], source: Path, scratch: Path) -> AsyncIterator[str]:
    """A folder below `scratch` with the metadata of `source`, unpacked; it is gone afterwards.

    Raises `LimitExceeded`, and `OperationError` (`bad-repository`) for what cannot be unpacked.
    """
    plain = scratch / _FOLDER
    limits = UnpackLimits(context.fetching.unpacked_bytes, context.fetching.unpacked_ratio)
    try:
        await context.isolated(unpacked, str(source), str(plain), limits, returns=None, what="unpacking the metadata")
        yield str(plain)
    finally:
        await asyncio.to_thread(shutil.rmtree, plain, ignore_errors=True)


async def packages_of(context: Context[Any], plain: str) -> list[Package]:
    """The packages that unpacked metadata names. Raises as `unpacked_metadata` does."""
    what = "reading the metadata of the packages"
    found: list[Package] = await context.isolated(read_packages, plain, returns=list[Package], what=what)
    return found
