"""Runs an operation in a test, without Kafka, Postgres or a worker.

outcome = await run_operation(mirror, {"repo_id": "demo"}, storage=tmp_path)
assert outcome.state == "successful"
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from pulp_worker.fetching.rules import Rules
from pulp_worker.fetching.settings import LOCAL_ALLOW, FetchSettings
from pulp_worker.outcome import Ended, raised, succeeded
from pulp_worker.returning import complete, returned
from pulp_worker.sdk import Context, Operation

_FETCHING = FetchSettings(rules=Rules(allow=LOCAL_ALLOW))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationOutcome:
    """How the operation ended, as its task would show it."""

    state: str
    """`successful`, `failed` or `cancelled`."""
    result: Any = None
    error_code: str | None = None
    error_description: str | None = None
    traceback: str | None = None
    progress: list[Any] = field(default_factory=list)
    """Everything that it reported, in order; a worker sends only the newest, a few times a second."""


async def run_operation(
    operation: Operation,
    arguments: Mapping[str, Any],
    *,
    storage: Path,
    tokens: Mapping[str, int] | None = None,
    cancel_when: Callable[[Any], bool] | None = None,
    fetching: FetchSettings = _FETCHING,
) -> OperationOutcome:
    """Run the operation to its end. It is asked to stop at the first progress for which `cancel_when` is true.

    A plain function runs in a thread, not in a process of its own. Unless `fetching` says otherwise, it may fetch from
    a server on this machine, as tests need to.
    """
    progress: list[Any] = []

    def note(encoded: bytes) -> None:
        progress.append(msgspec.json.decode(encoded))
        if cancel_when is not None and cancel_when(progress[-1]):
            context.cancel()

    context = Context(
        task_id=uuid4(),
        attempt_id=uuid4(),
        arguments=msgspec.json.decode(msgspec.json.encode(dict(arguments))),
        storage=storage,
        tokens=dict(tokens or {}),
        send=note,
        fetching=fetching,
    )
    return _outcome(await _run(operation, context), progress)


async def _run(operation: Operation, context: Context) -> Ended:
    try:
        if operation.is_async:
            return succeeded(await complete(operation.call(context)))
        return await asyncio.to_thread(_run_plain, operation, context)
    except (Exception, SystemExit) as error:
        return raised(error)


def _run_plain(operation: Operation, context: Context) -> Ended:
    try:
        return succeeded(returned(operation.call(context)))
    except (Exception, SystemExit) as error:  # a thread's SystemExit would end the event loop
        return raised(error)


def _outcome(ended: Ended, progress: list[Any]) -> OperationOutcome:
    error = ended.error
    return OperationOutcome(
        state=ended.outcome.value,
        result=msgspec.json.decode(ended.result),
        error_code=None if error is None else error.code,
        error_description=None if error is None else error.description,
        traceback=None if error is None else error.traceback,
        progress=progress,
    )
