"""Names, in the log and in their tasks, operations that block the worker's loop, cost its lease or keep a slot."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from pulp_events.errors import LogError
from pulp_events.events import ErrorCode, Event
from pulp_events.log import Log

from pulp_worker.attempt import Attempt
from pulp_worker.guard import LoopWatch

LastWord = Callable[[Event, int], bool]
"""Appends an event to its partition from a thread, while the loop is blocked; returns whether it is in the log."""

_STUCK: Final = "The operation was told to stop and did not: the worker has replaced its process to be rid of it."
_BLOCKED: Final = (
    "The operation has blocked the event loop of its worker for {:.0f} s, until the worker's lease ran out. Make it a"
    " plain function (`def`), which has a process of its own, or call what blocks by asyncio.to_thread."
)
_log = logging.getLogger("pulp.worker")


def no_last_word(event: Event, partition: int) -> bool:
    """For a worker whose log cannot append from threads."""
    return False


def blame(watch: LoopWatch, attempts: Iterable[Attempt], last_word: LastWord) -> None:
    """The loop is blocked and the lease has run out: the task at fault ends `loop-blocked`. From the guard's thread.

    Its event must come before the reactor's, which knows only that the worker is lost.
    """
    blocked_s, (owner, stack) = watch.blocked_s, watch.culprit()
    for attempt in attempts:
        if owner is None or attempt.claim.task_id != owner.task_id:
            continue
        events = attempt.last_words(ErrorCode.LOOP_BLOCKED, _BLOCKED.format(blocked_s), stack)
        is_told = all(last_word(event, attempt.claim.partition) for event in events)
        text = "an operation has blocked the event loop until the lease ran out"
        with attempt.within():
            _log.critical(text, extra=_names(attempt, is_told=is_told))


def tell_stuck(attempt: Attempt, *, running: int) -> None:
    """Log which operation keeps running although it was stopped, and what follows from that."""
    with attempt.within():
        _log.error(
            "an operation goes on although it was stopped: no new tasks are taken, and once the others have ended"
            " the worker replaces its process",
            extra=_names(attempt, running=running),
        )


async def give_up(attempts: Iterable[Attempt], log: Log) -> bool:
    """End the tasks of operations that cannot be stopped, so that none is retried; whether all ends are in the log.

    Their resources stay reserved until the lease runs out.
    """
    is_told = True
    for attempt in attempts:
        if attempt.is_given_up:
            continue
        try:
            for event in attempt.last_words(ErrorCode.OPERATION_STUCK, _STUCK):
                await log.append(event, attempt.claim.partition)
        except LogError as error:
            is_told = False
            with attempt.within():
                _log.warning("the log is away", extra=_names(attempt, error=error))
        else:
            attempt.is_given_up = True
    return is_told


def _names(attempt: Attempt, **more: object) -> dict[str, object]:
    return {"task_id": attempt.claim.task_id, "operation": attempt.claim.operation, **more}
