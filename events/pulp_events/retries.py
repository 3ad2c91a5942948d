"""Whether a task is tried again after a failed attempt, and when. Pure."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from pulp_events.broker_times import broker_time
from pulp_events.events import ErrorCode, Retry
from pulp_events.task import Task

NOT_REPEATED: Final = frozenset(
    {
        ErrorCode.BAD_ARGUMENTS,
        ErrorCode.RESULT_TOO_LARGE,
        ErrorCode.RESULT_NOT_JSON,
        ErrorCode.LOOP_BLOCKED,
        ErrorCode.OPERATION_STUCK,
        ErrorCode.CANCEL_ABANDONED,
        ErrorCode.DEPENDENCY_FAILED,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.PERSONAL_DATA_ERASED,
    }
)
"""Errors of this system after which a task is not retried: another attempt would fail in the same way, harm its worker,
or come too late. An operation decides for its own errors whether they are final.
"""
_RANDOM_BITS: Final = 32


class Attempts(Struct, frozen=True):
    """The facts that decide whether a task may have one more attempt."""

    retry: Retry | None = None
    failed: int = 0
    """The failed attempts before this one."""
    deadline: datetime | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether any retry is left."""
        return self.retry is not None and self.failed < self.retry.retries


def attempts_of(task: Task) -> Attempts:
    """The facts of a task during its current attempt."""
    deadline = None
    if task.deadline_seconds is not None:
        deadline = broker_time(task.accepted_at_ms + task.deadline_seconds * 1000)
    return Attempts(task.retry, task.failed_attempts, deadline)


def is_worth_repeating(code: str) -> bool:
    """Whether another attempt may have another outcome than this error."""
    return code not in NOT_REPEATED


def retry_at(attempts: Attempts, attempt_id: UUID, now: datetime) -> datetime | None:
    """When the next attempt may begin; None if no retry is left, or the deadline would be over.

    The wait doubles with each failed attempt. Up to half of it is left out, so that tasks that failed together are not
    retried together; how much depends only on the attempt's id, so that everybody computes the same.
    """
    if attempts.retry is None or not attempts.may_repeat:
        return None
    longest_s = min(attempts.retry.backoff_seconds * 2**attempts.failed, attempts.retry.max_backoff_seconds)
    share = (attempt_id.int % 2**_RANDOM_BITS) / 2**_RANDOM_BITS
    found = now + timedelta(seconds=longest_s * (1 - share / 2))
    return None if attempts.deadline is not None and found >= attempts.deadline else found
