"""A connection that listens is closed whatever interrupts its owner; Postgres is a double."""

import asyncio
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from pulp_events.errors import ReadModelUnavailable
from pulp_projections import notices as notices_module
from pulp_projections.notices import Notices
from pulp_projections.reading import positions as positions_module
from pulp_projections.reading.positions import Positions

LIMIT_S = 10


class Open:
    """A connection, or a listener on it, that fails with an error that leaves it open."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.is_closed = False
        self.connection = self

    def add_notify_handler(self, _: object) -> None:
        """There are no notifications."""

    async def execute(self, *_: object) -> Any:
        raise self.error

    async def wait(self, _: float) -> None:
        raise self.error

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("error", [psycopg.errors.QueryCanceled("too long"), asyncio.CancelledError()])
async def test_one_that_is_interrupted_before_it_listens_is_closed(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Open(error)

    async def connect(*_: object, **__: object) -> Open:
        return made

    monkeypatch.setattr(notices_module, "connect", connect)
    with pytest.raises(type(error)):
        await Notices.open("", "test", ("channel",), lambda *_: None)
    assert made.is_closed


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.errors.QueryCanceled("too long"), ReadModelUnavailable),
        (asyncio.CancelledError(), asyncio.CancelledError),
    ],
)
async def test_one_whose_positions_cannot_be_read_is_closed(
    error: BaseException, told: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Open(error)

    async def listen(*_: object) -> Open:
        return made

    monkeypatch.setattr(positions_module, "Notices", SimpleNamespace(open=listen))
    with pytest.raises(told):
        await Positions("").start()
    assert made.is_closed


async def test_one_that_fails_later_is_closed_before_another_one_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, is_second = Open(psycopg.errors.QueryCanceled("too long")), asyncio.Event()

    async def listen(*_: object) -> Open:
        is_second.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(positions_module, "Notices", SimpleNamespace(open=listen))
    following = asyncio.create_task(Positions("")._follow(first))  # type: ignore[arg-type]
    async with asyncio.timeout(LIMIT_S):
        await is_second.wait()
    assert first.is_closed
    following.cancel()
    await asyncio.wait([following])
