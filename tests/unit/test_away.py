"""The errors that count as "Postgres is away", and how a call is retried."""

import asyncio
import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout
from pulp_api.failures import STATUS
from pulp_projections.away import AWAY, keep_trying, reason_of


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, in seconds; none of them takes time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("pulp_projections.away.asyncio.sleep", sleep)
    return found


@pytest.mark.parametrize(
    "error",
    [
        errors.AdminShutdown,
        errors.CrashShutdown,
        errors.CannotConnectNow,
        errors.TooManyConnections,
        errors.ConnectionFailure,
        errors.DiskFull,
        errors.ReadOnlySqlTransaction,
        errors.IdleInTransactionSessionTimeout,
        psycopg.InterfaceError,
        PoolTimeout,
    ],
)
def test_what_passes_is_away(error: type[Exception]) -> None:
    assert issubclass(error, AWAY)


@pytest.mark.parametrize(
    "error",
    [errors.UndefinedTable, errors.UniqueViolation, errors.InsufficientPrivilege, errors.UntranslatableCharacter],
)
def test_what_a_caller_or_an_operator_must_change_is_not(error: type[Exception]) -> None:
    assert not issubclass(error, AWAY)


def test_the_api_calls_just_that_unavailable() -> None:
    told = {kind for kind, status in STATUS if status == 503 and issubclass(kind, psycopg.Error)}
    assert told == set(AWAY)


async def test_it_tries_until_it_succeeds(paused: list[float]) -> None:
    answers: list[Exception | int] = [
        psycopg.OperationalError("1"),
        psycopg.InterfaceError("2"),
        errors.DiskFull("3"),
        7,
    ]
    heard: list[tuple[str, float]] = []

    async def action() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = await keep_trying(action, lambda error, pause_s: heard.append((str(error), pause_s)), pauses_s=(0.1, 2.0))
    assert found == 7
    assert heard == [("1", 0.1), ("2", 2.0), ("3", 2.0)]
    assert paused == [0.1, 2.0, 2.0]


async def test_any_other_error_ends_it(paused: list[float]) -> None:
    async def action() -> None:
        raise errors.UndefinedTable("no such table")

    with pytest.raises(errors.UndefinedTable):
        await keep_trying(action, lambda error, pause_s: None)
    assert paused == []


async def test_whoever_hears_of_a_failure_may_give_up(paused: list[float]) -> None:
    async def action() -> None:
        raise psycopg.OperationalError("gone")

    async def failed(error: Exception, _: float) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0)

    with pytest.raises(TimeoutError):
        await keep_trying(action, failed)
    assert paused == []


def test_a_reason_is_one_line() -> None:
    assert reason_of(psycopg.OperationalError("connection failed:\n\tIs the server running?\n")) == (
        "connection failed: Is the server running?"
    )


def test_no_process_has_its_own_idea_of_away() -> None:
    root = Path(__file__).parents[2]
    paths = [path for folder in ("projections", "services") for path in (root / folder).rglob("*.py")]
    own = re.compile(r"\bexcept\b[^\n]*(OperationalError|InterfaceError)|\.join\(str\(error\)\.split\(\)\)")
    assert [path.name for path in paths if own.search(path.read_text())] == ["away.py"]
