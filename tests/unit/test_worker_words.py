"""The description of an operation's end, whatever it raises or returns; describing it never fails."""

import asyncio
import base64
import datetime
import decimal
import enum
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pulp_events.codec import MAX_EVENT_BYTES, encode
from pulp_events.events import Outcome
from pulp_worker import Context, OperationError, operation
from pulp_worker.loading import OperationsNotLoaded, load_operations
from pulp_worker.outcome import finished, raised, succeeded
from pulp_worker.testing import run_operation

from tests.support.events import ATTEMPT, event


class TextRaises(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TextExits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class TextIsNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # that is the point


class NothingHolds(Exception):
    """All its special methods raise."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # that is the point
        raise RuntimeError


class NoSuper(OperationError):
    def __init__(self, path: str) -> None:
        self.path = path


class NumberAsCode(OperationError):
    def __init__(self) -> None:
        super().__init__(404, "not found")  # type: ignore[arg-type]  # that is the point


class CodeRaises(OperationError):
    def __init__(self) -> None:
        Exception.__init__(self, "hidden")

    @property
    def code(self) -> str:  # type: ignore[override]  # that is the point
        raise RuntimeError


class Empty(Exception):
    pass


def long_chain() -> Exception:
    error = ValueError("the last")
    for number in range(30_000):
        cause = ValueError(f"cause {number}")
        cause.__cause__ = error
        error = cause
    return error


def ring() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def deep_group() -> Exception:
    group: ExceptionGroup[Exception] = ExceptionGroup("inner", [ValueError("innermost")])
    for _ in range(2000):
        group = ExceptionGroup("outer", [group])
    return group


HERE = __name__
ERRORS: list[tuple[Callable[[], BaseException], str, str]] = [
    (lambda: KeyError("x"), "operation-failed", "KeyError: 'x'"),
    (lambda: SystemExit(3), "operation-failed", "SystemExit: 3"),
    (lambda: RuntimeError("plain"), "operation-failed", "RuntimeError: plain"),
    (lambda: AssertionError(), "operation-failed", "AssertionError"),
    (lambda: KeyboardInterrupt(), "operation-failed", "KeyboardInterrupt"),
    (lambda: Empty(), "operation-failed", f"{HERE}.Empty"),
    (lambda: Empty("  "), "operation-failed", f"{HERE}.Empty"),
    (TextRaises, "operation-failed", f"{HERE}.TextRaises (its text cannot be made: str() of it fails)"),
    (TextExits, "operation-failed", f"{HERE}.TextExits (its text cannot be made: str() of it fails)"),
    (TextIsNone, "operation-failed", f"{HERE}.TextIsNone (its text cannot be made: str() of it fails)"),
    (NothingHolds, "operation-failed", f"{HERE}.NothingHolds (its text cannot be made: str() of it fails)"),
    (lambda: OperationError("gone", "no such feed"), "gone", "no such feed"),
    (lambda: OperationError("gone", ""), "gone", f"{OperationError.__module__}.OperationError"),
    (
        lambda: NoSuper("/x"),
        "operation-failed",
        f"{HERE}.NoSuper: /x (its error code is not text)",
    ),
    (NumberAsCode, "operation-failed", f"{HERE}.NumberAsCode: not found (its error code is not text)"),
    (CodeRaises, "operation-failed", f"{HERE}.CodeRaises: hidden (its error code is not text)"),
    (lambda: ValueError("a\0b \udc80"), "operation-failed", "ValueError: a\N{REPLACEMENT CHARACTER}b ?"),
    (long_chain, "operation-failed", "ValueError: cause 29999"),
    (ring, "operation-failed", "ValueError: first"),
    (deep_group, "operation-failed", "ExceptionGroup: outer (1 sub-exception)"),
]


@pytest.mark.parametrize(("make", "code", "description"), ERRORS)
def test_whatever_is_raised_is_told_by_its_type_with_a_traceback(
    make: Callable[[], BaseException], code: str, description: str
) -> None:
    try:
        raise make()
    except BaseException as error:
        ended = raised(error)
        name = type(error).__name__
    assert ended.error is not None
    assert (ended.outcome, ended.error.code, ended.error.description) == (Outcome.FAILED, code, description)
    assert ended.error.traceback is not None
    assert "test_worker_words.py" in ended.error.traceback
    assert name in ended.error.traceback
    assert len(encode(event(finished(ATTEMPT, ended)))) < MAX_EVENT_BYTES


def test_a_long_chain_of_causes_is_said_to_be_cut() -> None:
    ended = raised(long_chain())
    assert ended.error is not None
    assert (ended.error.traceback or "").startswith("(more than 20 causes are left out)")


class Colour(enum.Enum):
    RED = "red"


class Pair(msgspec.Struct):
    left: int
    right: float


KEPT: list[tuple[Any, Any]] = [
    ((1, 2), [1, 2]),
    ({3}, [3]),
    ({1: "a"}, {"1": "a"}),
    (b"\xff", base64.b64encode(b"\xff").decode()),
    (decimal.Decimal("1.50"), "1.50"),
    (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00Z"),
    (datetime.timedelta(seconds=90), "PT90S"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "red"),
    (Pair(1, 0.5), {"left": 1, "right": 0.5}),
]


@pytest.mark.parametrize(("value", "read"), KEPT)
def test_what_json_makes_of_a_result(value: Any, read: Any) -> None:
    ended = succeeded(value)
    assert ended.error is None
    assert msgspec.json.decode(bytes(ended.result)) == read


REFUSED: list[tuple[Any, str]] = [
    (math.nan, "nan at the top is not a JSON number"),
    ({"a": [1, math.inf]}, "inf at .a[1] is not a JSON number"),
    (Pair(1, -math.inf), "-inf at .right is not a JSON number"),
    ({"a": {1: "x", "1": "y"}}, "two keys at .a are the same in JSON"),
    ({(1, 2): 3}, "keys"),
    ({True: 1}, "keys"),
    (object(), "object"),
    ((number for number in range(3)), "generator"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED)
def test_what_json_would_change_or_cannot_hold_is_refused(value: Any, words: str) -> None:
    ended = succeeded(value)
    assert ended.error is not None
    assert ended.error.code == "result-not-json"
    assert words in ended.error.description


@pytest.mark.parametrize(("value", "words"), REFUSED[1:2])
def test_progress_that_json_would_change_is_refused(value: Any, words: str) -> None:
    sent: list[bytes] = []
    context: Context[Any] = Context(
        task_id=UUID(int=1), attempt_id=UUID(int=2), arguments={}, storage=Path(), tokens={}, send=sent.append
    )
    with pytest.raises(ValueError, match="not a JSON number"):
        context.report(value)
    assert sent == []


@operation("exiting")
def exiting(context: Context) -> None:
    raise SystemExit(3)


@operation("exiting-async")
async def exiting_async(context: Context) -> None:
    raise SystemExit(3)


async def _awaited(context: Context) -> str:
    return "awaited"


behind_a_decorator = operation("behind-a-decorator")(lambda context: _awaited(context))


@pytest.mark.parametrize("exits", [exiting, exiting_async])
async def test_an_operation_that_exits_fails_in_a_test_as_on_a_worker(exits: Any, tmp_path: Path) -> None:
    outcome = await run_operation(exits, {}, storage=tmp_path)
    assert (outcome.state, outcome.error_description) == ("failed", "SystemExit: 3")


async def test_an_async_function_behind_a_decorator_is_awaited_in_a_test(tmp_path: Path) -> None:
    assert (await run_operation(behind_a_decorator, {}, storage=tmp_path)).result == "awaited"


def test_a_generator_is_no_operation() -> None:
    with pytest.raises(ValueError, match="operation 'yielding': the function has a `yield`"):

        @operation("yielding")
        def yielding(context: Context) -> Any:
            yield 1

    with pytest.raises(ValueError, match="yield"):

        @operation("yielding-async")
        async def yielding_async(context: Context) -> Any:
            yield 1


@pytest.mark.parametrize("line", ["import sys; sys.exit()", "raise SystemExit('stop')", "raise BaseException", "1 +"])
def test_a_module_that_ends_or_breaks_is_named(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_operations.py").write_text(line)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        OperationsNotLoaded, match=r"module broken_operations cannot be loaded: (SystemE|BaseE|SyntaxE)"
    ):
        load_operations(["broken_operations"])


@operation("nested")
async def _nested(context: Context) -> None:
    async def inner() -> None:
        raise OSError("no route")

    try:
        await asyncio.create_task(inner())
    except OSError as error:
        raise ValueError("no feed") from error


@operation("refused-report")
def _refused_report(context: Context) -> None:
    context.report({"text": "x" * 300_000})


async def test_a_traceback_has_the_frames_of_the_operation_and_none_of_the_worker(tmp_path: Path) -> None:
    trace = (await run_operation(_nested, {}, storage=tmp_path)).traceback
    assert trace is not None
    files = [line for line in trace.splitlines() if line.lstrip().startswith("File ")]
    assert [line.rpartition(" in ")[2] for line in files] == ["_nested", "inner", "_nested"]


async def test_what_the_operation_called_last_stays_in_its_traceback(tmp_path: Path) -> None:
    trace = (await run_operation(_refused_report, {}, storage=tmp_path)).traceback
    assert trace is not None
    files = [line for line in trace.splitlines() if line.lstrip().startswith("File ")]
    assert [line.rpartition(" in ")[2] for line in files] == ["_refused_report", "report"]
