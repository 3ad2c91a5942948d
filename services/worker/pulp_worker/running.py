"""Runs an operation: an async function on the loop, a plain one in its own processes."""

from collections.abc import Callable
from typing import Protocol

from pulp_worker.async_run import AsyncRun
from pulp_worker.child_run import ChildRun
from pulp_worker.claims import Claim
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended
from pulp_worker.personal import PersonalRun, holds_personal_data
from pulp_worker.reporter import Reporter
from pulp_worker.surroundings import Surroundings


class Run(Protocol):
    """One run of an operation."""

    async def wait(self) -> Ended:
        """Its outcome, once none of its processes is left; never raises, whatever the operation does."""
        ...

    def cancel(self) -> None:
        """Ask it to stop."""
        ...

    def kill(self) -> None:
        """Kill it, whether or not it was asked to stop."""
        ...

    def extend(self) -> None:
        """The lease was renewed."""
        ...


def start(
    loaded: Loaded,
    claim: Claim,
    reporter: Reporter,
    surroundings: Surroundings,
    on_stuck: Callable[[], None],
    *,
    traceparent: str | None = None,
) -> Run:
    """Start the claimed task's operation. `on_stuck` is called if part of it keeps running although it was stopped.

    `traceparent` is the context that it runs in; an async operation is called within it, and does not need it.
    """

    def begin(claim: Claim) -> Run:
        if loaded.operation.is_async:
            return AsyncRun(loaded, claim, reporter, surroundings, on_stuck)
        return ChildRun(loaded, claim, reporter, surroundings, traceparent)

    if surroundings.open_personal is not None and holds_personal_data(claim):
        return PersonalRun(claim, surroundings.open_personal, begin)
    return begin(claim)
