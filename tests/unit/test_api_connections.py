"""The order in which waiting requests get connections to Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pulp_api.fairness.connections import Connections
from pulp_api.fairness.turn import Turn
from pulp_api.fairness.turns import Turns


class Lent:
    """A connection that notes whether it was closed."""

    is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Pool:
    """A pool that never lends more than it has."""

    def __init__(self, size: int, timeout_s: float = 60) -> None:
        self.max_size, self.timeout = size, timeout_s
        self.lent: list[Lent] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Lent]:
        assert len(self.lent) < self.max_size
        self.lent.append(Lent())
        mine = self.lent[-1]
        try:
            yield mine
        finally:
            self.lent.remove(mine)


class Scene:
    """Requests that hold a connection until the test ends them; `served` has their names in order."""

    def __init__(self, size: int, timeout_s: float = 60) -> None:
        self.now_s = 0.0
        self.pool = Pool(size, timeout_s)
        self.connections = Connections(cast(AsyncConnectionPool, self.pool), clock_s=lambda: self.now_s)
        self.served: list[str] = []
        self.ended: dict[str, asyncio.Event] = {}
        self._turns = Turns(1000, lambda: 0.0)

    async def ask(self, name: str, client: str) -> "asyncio.Task[None]":
        """Start a request of this client, and let it run as far as it can."""
        self.ended[name] = asyncio.Event()

        async def app(*_: Any) -> None:
            async with self.connections.connection():
                self.served.append(name)
                await self.ended[name].wait()

        turn = Turn(lambda *_: None, self._turns, cast(Any, None), app, (client,))
        task = asyncio.create_task(turn(None, None, None))
        await settle()
        return task

    async def end(self, name: str, held_s: float) -> None:
        """Pretend that it has held its connection for this long."""
        self.now_s += held_s
        self.ended[name].set()
        await settle()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_client_who_waits_with_few_is_served_before_one_who_waits_with_many() -> None:
    scene = Scene(2)
    many = [await scene.ask(f"many {number}", "mallory") for number in range(50)]
    few = [await scene.ask(f"few {number}", "ada") for number in range(2)]
    assert scene.served == ["many 0", "many 1"]
    await scene.end("many 0", 5)
    await scene.end("many 1", 5)
    assert scene.served[2:] == ["few 0", "few 1"]
    await scene.end("few 0", 1)
    assert scene.served[4:] == ["many 2"]
    for task in (*many, *few):
        task.cancel()
    await asyncio.gather(*many, *few, return_exceptions=True)
    assert scene.pool.lent == []


async def test_who_waits_too_long_is_told_and_takes_no_place_any_more() -> None:
    scene = Scene(1, timeout_s=0.01)
    first = await scene.ask("first", "ada")
    late = await scene.ask("late", "bob")
    with pytest.raises(PoolTimeout, match=r"no connection was free for 0\.01 s"):
        await late
    await scene.end("first", 1)
    await first
    scene.pool.timeout = 60
    last = await scene.ask("last", "bob")
    assert scene.served == ["first", "last"]
    await scene.end("last", 1)
    await last


async def test_a_request_that_is_given_up_while_it_waits_leaves_its_place() -> None:
    scene = Scene(1)
    first = await scene.ask("first", "ada")
    given_up = await scene.ask("given up", "bob")
    third = await scene.ask("third", "bob")
    given_up.cancel()
    await settle()
    await scene.end("first", 1)
    assert scene.served == ["first", "third"]
    await scene.end("third", 1)
    await asyncio.gather(first, third)
    assert scene.pool.lent == []


async def test_what_no_request_asks_for_gets_a_connection_too() -> None:
    scene = Scene(1)
    async with scene.connections.connection() as one:
        assert one is not None
    assert scene.pool.lent == []


async def test_a_session_that_was_read_only_is_not_used_again() -> None:
    scene = Scene(1)
    used: Any = None
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        async with scene.connections.connection() as used:
            raise psycopg.errors.ReadOnlySqlTransaction
    assert used.is_closed
