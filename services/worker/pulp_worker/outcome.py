"""How a run of an operation ended, and the event that says so."""

import traceback
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from pulp_events.codec import MAX_CARRIED_BYTES
from pulp_events.events import NULL, ErrorCode, Finished, Outcome, TaskError

from pulp_worker.arguments import BadArguments
from pulp_worker.sdk import OperationError, TaskCancelled, holds_nul, text_of

# Six bytes a character at the worst: so that the event stays under the log's limit whatever the texts hold.
_DESCRIPTION_LIMIT = 20_000
_TRACEBACK_LIMIT = 60_000


class Ended(Struct, frozen=True):
    """The end of a run."""

    outcome: Outcome
    result: Raw = NULL
    error: TaskError | None = None


def succeeded(result: object) -> Ended:
    """The end of an operation that returned; `failed` if its result cannot be kept."""
    try:
        encoded = msgspec.json.encode(result, enc_hook=text_of)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        return failed(ErrorCode.RESULT_NOT_JSON, f"The result is nothing that JSON can hold: {error}")
    if len(encoded) > MAX_CARRIED_BYTES:
        return failed(
            ErrorCode.RESULT_TOO_LARGE, f"The result has {len(encoded)} bytes, at most {MAX_CARRIED_BYTES} are kept."
        )
    if holds_nul(encoded):
        return failed(ErrorCode.RESULT_NOT_JSON, "The result holds the character U+0000, which cannot be kept.")
    return Ended(Outcome.SUCCESSFUL, Raw(encoded))


def raised(error: BaseException) -> Ended:
    """The end of an operation that raised."""
    if isinstance(error, TaskCancelled):
        return Ended(Outcome.CANCELLED)
    if isinstance(error, BadArguments):
        return failed(ErrorCode.BAD_ARGUMENTS, str(error))
    is_told = isinstance(error, OperationError)  # its description says what was the matter: what led to it is left out
    trace = "".join(traceback.format_exception(error, chain=not is_told))
    if isinstance(error, OperationError):
        return failed(error.code, error.description, trace)
    return failed(ErrorCode.OPERATION_FAILED, str(error) or type(error).__name__, trace)


def failed(code: str, description: str, trace: str | None = None) -> Ended:
    """A failure; texts are cut and cleaned to what an event may hold."""
    error = TaskError(
        code=_clean(code)[:255] or ErrorCode.OPERATION_FAILED.value,
        description=_clean(description)[:_DESCRIPTION_LIMIT],
        traceback=None if trace is None else _clean(trace)[-_TRACEBACK_LIMIT:],
    )
    return Ended(Outcome.FAILED, error=error)


def finished(attempt_id: UUID, ended: Ended) -> Finished:
    """The event's data."""
    return Finished(outcome=ended.outcome, attempt_id=attempt_id, result=ended.result, error=ended.error)


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
