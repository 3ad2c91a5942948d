"""Running an async operation on the worker's loop."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pulp_worker.belongings import Belongings, Steps, own_tasks
from pulp_worker.claims import Claim
from pulp_worker.errors import TaskCancelled
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, raised, succeeded
from pulp_worker.reporter import Reporter
from pulp_worker.returning import complete
from pulp_worker.sdk import Context
from pulp_worker.surroundings import Surroundings

_LEAST_GRACE_S: Final = 1.0
"""The time within which a cancelled operation may still end without its worker being replaced."""


class AsyncRun:
    """The operation shares the process with the worker and other operations; whatever it started is ended after it."""

    def __init__(
        self,
        loaded: Loaded,
        claim: Claim,
        reporter: Reporter,
        surroundings: Surroundings,
        on_stuck: Callable[[], None],
    ) -> None:
        """`on_stuck` is called if part of it goes on although it was stopped."""
        self._grace_s = max(surroundings.grace_s, _LEAST_GRACE_S)
        self._on_stuck = on_stuck
        self._context: Context[Any] = Context(
            task_id=claim.task_id,
            attempt_id=claim.attempt_id,
            arguments=msgspec.json.decode(claim.arguments),
            storage=surroundings.storage,
            tokens=claim.tokens,
            send=reporter.report,
            fetching=surroundings.fetching,
            isolation=surroundings.isolation,
        )
        self._belongings = Belongings(claim.task_id, claim.operation)
        self._is_killed = False
        self._loop_watch = surroundings.loop_watch
        self._patience: asyncio.TimerHandle | None = None
        own_tasks(asyncio.get_running_loop())
        self._loop_watch.begin()
        self._task = asyncio.create_task(self._run(loaded), name=f"operation-{claim.task_id}")

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        await asyncio.wait([self._task])
        if self._patience is not None:
            self._patience.cancel()
        await self._belongings.end(self._grace_s, self._on_stuck)
        self._loop_watch.end()
        if self._belongings.exit is not None:
            return raised(self._belongings.exit)
        if self._task.cancelled():  # killed before it began
            return raised(TaskCancelled())
        return self._task.result()

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._context.cancel()

    def kill(self) -> None:
        """See `Run.kill`. A function that catches the cancellation goes on: its resources stay reserved."""
        self._is_killed = True
        self._context.cancel()
        self._task.cancel()
        if self._patience is None and not self._task.done():
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._grace_s, self._on_stuck)

    def extend(self) -> None:
        """See `Run.extend`: it runs where the lease is watched."""

    async def _run(self, loaded: Loaded) -> Ended:
        self._belongings.enter()
        try:
            return succeeded(await Steps(self._operate(loaded)))
        except asyncio.CancelledError as error:
            return raised(TaskCancelled() if self._is_killed else error)
        except BaseException as error:  # SystemExit, too, ends the task, not the worker
            return raised(error)

    async def _operate(self, loaded: Loaded) -> object:
        return await complete(loaded.operation.call(self._context))
