"""A fresh database is made ready once, by whoever comes first."""

import asyncio

import psycopg
from pulp_projections.generations import install


async def test_many_processes_may_install_at_once(database: str) -> None:
    async def once() -> int:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            return await install(connection, 4)

    assert await asyncio.gather(*(once() for _ in range(8))) == [1] * 8
