"""Lists do not read purged tasks, however many there are, and a rebuild hides the same ones again."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_projections.reading import bounded
from pulp_projections.reading.groups import _SQL as GROUPS
from pulp_projections.reading.groups import groups
from pulp_projections.reading.queries import PURGED, SHOWN, Condition, parameters_of, reading_of

MANY = 20_000
NEWEST = "t.accepted_at desc, t.task_id desc"


@pytest.fixture
async def connection(database: str) -> Any:
    """Many purged tasks on one repository, older than the few that are shown."""
    async with await AsyncConnection.connect(database, autocommit=True) as made:
        await made.execute(
            "insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
            " shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, finished_at,"
            " group_id, partition, accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result,"
            " purged_at, purged_by)"
            " select gen_random_uuid(), 'successful', 'sync', '{}', '[]', '{repository:zoo}', '{}', '{}', 'default', 0,"
            " '{}', 'user:ann', now() - make_interval(secs => n), now(), now(), md5((n / 10)::text)::uuid, 0, n, n, 1, 0, false, 0, '{}', 'null',"
            " case when n > 20 then now() end, case when n > 20 then 'user:ann' end"
            f" from generate_series(1, {MANY}) n"
        )
        await made.execute(
            "insert into generation_1.task_resources (resource, access, accepted_at, task_id)"
            " select 'repository:zoo', 'e', accepted_at, task_id from generation_1.tasks"
        )
        await made.execute("vacuum analyze generation_1.tasks, generation_1.task_resources")
        yield made


async def touched(connection: AsyncConnection, conditions: Sequence[Condition], *, limit: int, offset: int) -> int:
    """How many blocks the page of a list reads."""
    reading = bounded.behind(reading_of(conditions, NEWEST), offset)
    statement = "explain (analyze, buffers, format json) select " + bounded.tasks_sql(reading, limit, frozenset())
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    cursor = psycopg.AsyncClientCursor(connection)
    await cursor.execute(statement, values)
    [(plan,)] = await cursor.fetchall()
    return int(plan[0]["Plan"]["Shared Hit Blocks"]) + int(plan[0]["Plan"]["Shared Read Blocks"])


def groups_statement(name: str) -> bytes:
    """A statement about all groups, as it is run."""
    matching = SQL(GROUPS["groups"]).format(where=SQL("true"), scope=SQL("true"))
    return SQL(GROUPS[name]).format(groups=matching).as_bytes()


STATE = Condition("t.state = %(state)s", {"state": "successful"}, is_counted=True)
OPERATION = Condition("t.operation = %(name)s", {"name": "sync"}, is_counted=True)


@pytest.mark.parametrize("conditions", [[], [STATE], [OPERATION]], ids=["all", "state", "operation"])
@pytest.mark.parametrize("offset", [0, 2000])
async def test_a_page_of_a_list_reads_no_purged_task(
    connection: AsyncConnection, conditions: list[Condition], offset: int
) -> None:
    assert await touched(connection, [*conditions, SHOWN], limit=100, offset=offset) < 150


async def test_a_page_of_purged_tasks_is_read_by_an_index(connection: AsyncConnection) -> None:
    assert await touched(connection, [PURGED], limit=100, offset=0) < 700


async def test_a_page_of_groups_reads_no_purged_task(connection: AsyncConnection) -> None:
    """Groups of ten; those of the newest 20 tasks have some that are not purged."""
    page = await groups(connection, [], limit=100, offset=0, most_tasks=10)
    assert (page.total, len(page.rows)) == (3, 3)
    assert sum(count for row in page.rows for count in row.counts.values()) == 20
    for name, statement in (("page", groups_statement("page")), ("count", groups_statement("count"))):
        cursor = psycopg.AsyncClientCursor(connection)
        await cursor.execute(b"explain (analyze, buffers, format json) " + statement, {"limit": 100, "skip": 0})
        [(plan,)] = await cursor.fetchall()
        touched_blocks = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        assert touched_blocks < 100, name


async def test_the_purged_tasks_of_a_group_are_found_by_an_index(connection: AsyncConnection) -> None:
    group = Condition("t.group_id = md5('1000')::uuid", {})
    assert await touched(connection, [group, PURGED], limit=100, offset=0) < 50
