"""Look-ups in progress, shared by callers with the same key."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class UnderWay(Generic[K, V]):
    """Many requests with the same new credentials cost one look-up, and count as one login."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, look_up: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of `look_up`, or its exception. It is called if none is in progress for the key, and outlives its
        caller.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(look_up())
            self._tasks[key] = task
            task.add_done_callback(partial(self._done, key))
        return await asyncio.shield(task)

    def _done(self, key: K, task: "asyncio.Task[V]") -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: the waiting requests raise it, and there may be none
