"""The outcome of a run of an operation, and its event."""

import inspect
from datetime import datetime
from uuid import UUID

from msgspec import Raw, Struct
from msgspec.structs import replace
from pulp_events.codec import MAX_CARRIED_BYTES
from pulp_events.events import NULL, AttemptFailed, ErrorCode, Finished, Outcome, TaskError
from pulp_events.retries import Attempts, is_worth_repeating, retry_at

from pulp_worker.arguments import BadArguments
from pulp_worker.encoding import encode
from pulp_worker.errors import OperationError, TaskCancelled
from pulp_worker.sdk import holds_nul
from pulp_worker.wording import described, text_of, traceback_of, type_name

# A character has at most six bytes, so the event stays under the log's limit whatever the texts contain.
_DESCRIPTION_LIMIT = 20_000
_TRACEBACK_LIMIT = 60_000


class Ended(Struct, frozen=True):
    """The end of a run."""

    outcome: Outcome
    result: Raw = NULL
    error: TaskError | None = None
    may_repeat: bool = False
    """It has failed, and another attempt may end differently."""


def succeeded(result: object) -> Ended:
    """The end of an operation that returned; `failed` if its result cannot be kept."""
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        text = "The operation returned a generator, so nothing of it has run: write a function without `yield`."
        return failed(ErrorCode.RESULT_NOT_JSON, text)
    try:
        encoded = encode(result)
    except Exception as error:  # encoding may run code of the operation's own types
        return failed(ErrorCode.RESULT_NOT_JSON, f"The result is nothing that JSON can hold: {described(error)}")
    if len(encoded) > MAX_CARRIED_BYTES:
        return failed(
            ErrorCode.RESULT_TOO_LARGE, f"The result has {len(encoded)} bytes, at most {MAX_CARRIED_BYTES} are kept."
        )
    if holds_nul(encoded):
        return failed(ErrorCode.RESULT_NOT_JSON, "The result holds the character U+0000, which cannot be kept.")
    return Ended(Outcome.SUCCESSFUL, Raw(encoded))


def raised(error: BaseException) -> Ended:
    """The end of an operation that raised, whatever it raised.

    An `OperationError` is reported by its code and description. Any other exception is `operation-failed`, described
    by its type and text.
    """
    if isinstance(error, TaskCancelled):
        return Ended(Outcome.CANCELLED)
    if isinstance(error, BadArguments):
        return failed(ErrorCode.BAD_ARGUMENTS, str(error))
    if isinstance(error, OperationError):
        # Its description says what was wrong, so its causes are left out.
        return _told(error, traceback_of(error, chain=False))
    return failed(ErrorCode.OPERATION_FAILED, described(error), traceback_of(error))


def failed(code: str, description: str, trace: str | None = None, *, is_final: bool = False) -> Ended:
    """A failure; texts are cut and cleaned to what an event may hold. `is_final`: another attempt would fail too."""
    error = TaskError(
        code=_clean(code)[:255] or ErrorCode.OPERATION_FAILED.value,
        description=_clean(description)[:_DESCRIPTION_LIMIT],
        traceback=None if trace is None else _clean(trace)[-_TRACEBACK_LIMIT:],
    )
    return Ended(Outcome.FAILED, error=error, may_repeat=not is_final and is_worth_repeating(error.code))


def finished(attempt_id: UUID, ended: Ended) -> Finished:
    """The event's data."""
    return Finished(outcome=ended.outcome, attempt_id=attempt_id, result=ended.result, error=ended.error)


def attempt_failed(attempt_id: UUID, ended: Ended, attempts: Attempts, now: datetime) -> AttemptFailed | Finished:
    """The event's data after which the task waits for its next attempt, or its end if that would come too late."""
    at = retry_at(attempts, attempt_id, now)
    if at is None or ended.error is None:
        return finished(attempt_id, ended)
    return AttemptFailed(attempt_id=attempt_id, error=ended.error, retry_at=at)


def finished_for_good(
    attempt_id: UUID, ended: Ended, attempts: Attempts, *, is_over: bool = False
) -> tuple[Finished, ...]:
    """The events' data after which the task has ended, whoever else has ended this attempt meanwhile.

    The first ends the attempt. Somebody else may have ended it so that the task is retried, for its time limit or a
    lost worker: then the first comes too late, and the second ends the task while it waits. The log ignores whichever
    has nothing to end, and both once another attempt runs. `is_over`: the attempt is known to have been ended.
    """
    word = finished(attempt_id, ended)
    first = () if is_over else (word,)
    return (*first, replace(word, attempt_id=None)) if attempts.may_repeat else first


def _told(error: OperationError, trace: str) -> Ended:
    """A subclass may lack code and description, or have other values there."""
    code, description = _attribute(error, "code"), _attribute(error, "description")
    is_final = _attribute(error, "is_final") is True
    text = text_of(description) if description is not None else None
    if isinstance(code, str) and code and text:
        return failed(code, text, trace, is_final=is_final)
    what = f"{type_name(error)}: {text}" if text else described(error)
    if isinstance(code, str) and code:
        return failed(code, what, trace, is_final=is_final)
    return failed(ErrorCode.OPERATION_FAILED, f"{what} (its error code is not text)", trace, is_final=is_final)


def _attribute(error: OperationError, name: str) -> object:
    try:
        return getattr(error, name, None)
    except BaseException:  # the operation may have made it a property
        return None


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
