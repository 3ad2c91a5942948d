"""The result of a function, awaited if needed: an `async def` behind an ordinary decorator returns a coroutine."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any


async def complete(value: Any) -> Any:
    """The value; an awaitable is awaited until the result is not one."""
    while value is not None and inspect.isawaitable(value):  # most functions return nothing
        value = await value
    return value


def returned(value: Any) -> Any:
    """The same without a running event loop: one is created to await the value."""
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Awaitable[Any]) -> Any:
    return await complete(value)
