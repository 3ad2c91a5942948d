"""The proxy loses the answer to a statement, also of one that the client has prepared and sends by its name."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_deploy.local.ports import free_ports

from tests.faults.proxy import Proxy, Trap
from tests.support.projection import execute


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    [port] = free_ports(1)
    proxy = Proxy(port, int(str(conninfo_to_dict(database)["port"])))
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest.mark.parametrize("threshold", [None, 0])
async def test_an_answer_is_lost_of_a_statement_and_of_a_prepared_one(
    database: str, proxy: Proxy, threshold: int | None
) -> None:
    await execute(database, "create table written (number int)")
    through = make_conninfo(database, port=proxy.port, application_name="one")
    async with await AsyncConnection.connect(through, autocommit=True, prepare_threshold=threshold) as connection:
        for number in range(2):
            await connection.execute("insert into written values (%s)", [100 + number])
        proxy.trap = Trap(b"two", b"insert into written")
        await connection.execute("insert into written values (%s)", [102])
        proxy.trap = Trap(b"one", b"insert into written")
        await connection.execute("select %s::int", [1])
        assert not proxy.trap.sprung.is_set()
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("insert into written values (%s)", [103])
        assert proxy.trap.sprung.is_set()
    found = await execute(database, "select number from written order by 1")
    assert found == [(number,) for number in range(100, 104)]
