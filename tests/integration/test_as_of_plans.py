"""A list of the past reads some days around its moment and its own page, however long the history is. One task reads
its own events, and those between them and a moment within the last day.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from psycopg import AsyncConnection
from pulp_projections.reading import as_of, bounded, moments, queries
from pulp_projections.reading.as_of import Past
from pulp_projections.reading.moments import moment_of, stops_of_task
from pulp_projections.reading.queries import SHOWN, Condition

from tests.support.postgres_plans import nodes_of, table_of

TASKS: Final = 40_000
"""In each of two partitions, one each three minutes: 83 days. Each has two events, and ended after a minute."""
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
OPEN: Final = 40
"""Every thousandth task waits to this day."""


@pytest.fixture
async def connection(database: str) -> Any:
    async with await AsyncConnection.connect(database, autocommit=True) as made:
        await made.execute(
            "select make_history_months(1, %s + make_interval(months => n)) from generate_series(0, 3) n", [START]
        )
        await made.execute(
            "insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
            " shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, started_at,"
            " finished_at, partition, accepted_offset, last_offset, version, attempt, cancellable, sequence, progress,"
            " result)"
            " select md5(p || ' ' || n)::uuid, case when n %% 1000 = 7 then 'waiting' else 'successful' end, 'sync', '{}',"
            " '[]', '{}', '{}', '{}', 'default', 0, '{}', 'user:ann', t.at, t.at + interval '1 minute',"
            " case when n %% 1000 <> 7 then t.at end, case when n %% 1000 <> 7 then t.at + interval '1 minute' end,"
            " p, n * 2, case when n %% 1000 = 7 then n * 2 else n * 2 + 1 end, 2, 1, true, 3, '{}', 'null'"
            " from generate_series(0, %(tasks)s - 1) n cross join generate_series(0, 1) p"
            " cross join lateral (select %(start)s + make_interval(mins => n * 3) as at) t order by n, p",
            {"start": START, "tasks": TASKS},
        )
        await made.execute(
            "insert into generation_1.task_events (partition, record_offset, task_id, event_id, type, event_time,"
            " broker_time, actor, effect, event)"
            " select partition, accepted_offset, task_id, md5('a' || task_id)::uuid,"
            " 'org.pulpproject.task.accepted.v1', accepted_at, accepted_at, 'user:ann', 'applied', '{}'::bytea"
            " from generation_1.tasks union all"
            " select partition, last_offset, task_id, md5('f' || task_id)::uuid, 'org.pulpproject.task.finished.v1',"
            " finished_at, finished_at, 'worker:w', 'applied', '{}'::bytea from generation_1.tasks where finished_at is not null"
            " order by 1, 2"
        )
        await made.execute("update generation_1.positions set next_offset = %s where partition < 2", [TASKS * 2])
        await made.execute("vacuum analyze generation_1.tasks, generation_1.task_events")
        yield made


class Counting:
    """The rows of tasks and of the history that statements have read."""

    def __init__(self) -> None:
        self.rows = 0.0

    async def read(self, connection: AsyncConnection, text: Any, values: Any = None) -> None:
        cursor = psycopg.AsyncClientCursor(connection)
        await cursor.execute("explain (analyze, format json) " + text, values)
        [(plan,)] = await cursor.fetchall()
        for node in nodes_of(plan[0]["Plan"]):
            if table_of(node) in ("task_events", "tasks"):
                passed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
                self.rows += (node["Actual Rows"] + passed) * node["Actual Loops"]


@pytest.mark.parametrize("day", [20, 60])
async def test_a_list_of_the_past_reads_the_days_around_it(
    connection: AsyncConnection, day: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days have 1,920 tasks; a summary of the index by time stands for some 128 pages of rows, so a few thousand."""
    then = START + timedelta(days=day, seconds=30)
    counting = Counting()
    moment = await moment_of(connection, then)
    past = Past(moment)
    statement, values = past.changed_since()
    await counting.read(connection, statement, values)
    assert counting.rows < 12_000
    found = await (await psycopg.AsyncClientCursor(connection).execute(statement, values)).fetchall()
    assert len(found) == 2  # one of each partition ran then
    counting.rows = 0

    async def counted(connection: AsyncConnection, statement: Any, values: Any, past: Past) -> Any:
        await counting.read(connection, past.around(statement), {**values, **past.values})
        return await queries.rows_of(connection, statement, values, past)

    monkeypatch.setattr(as_of, "rows_of", counted)
    monkeypatch.setattr(bounded, "rows_of", counted)
    for condition in ("true", "t.state = 'waiting'", "t.operation = 'sync'"):
        wanted = [Condition(condition), SHOWN]
        rows = await bounded.tasks(
            connection, wanted, order="t.accepted_at desc, t.task_id desc", limit=20, wanted=frozenset(), past=past
        )
        assert len(rows) == 20
        assert counting.rows < 6000


@pytest.mark.parametrize(("minutes", "most"), [(0, 2000), (60 * 24 * 30, 100)])
async def test_one_task_of_the_past_reads_its_own_events(
    connection: AsyncConnection, minutes: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of right after its end, and thirty days later: a day of one partition has 960 events, and all days have
    80,000."""
    number = 20_000
    then = START + timedelta(minutes=number * 3 + 1 + minutes)
    [(task_id,)] = await (
        await connection.execute("select task_id from tasks where partition = 1 and accepted_offset = %s", [number * 2])
    ).fetchall()
    counting = Counting()
    execute = AsyncConnection.execute

    async def counted(self: AsyncConnection, statement: Any, values: Any = None, **options: Any) -> Any:
        if self is connection and "task_events" in str(statement):
            await counting.read(connection, statement, values)
        return await execute(self, statement, values, **options)

    monkeypatch.setattr(AsyncConnection, "execute", counted)
    assert await stops_of_task(connection, task_id, then) == {1: number * 2 + 2}
    assert counting.rows < most
    counting.rows = 0
    await moments.PastEvents(connection).stops_of(then)
    assert counting.rows > 1800  # of both partitions
