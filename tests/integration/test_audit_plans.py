"""A page of the audit of a long history reads few rows if its filter matches few events, wherever they are."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from pulp_projections.reading import audit
from pulp_projections.reading.audit import AuditFilter

from tests.support.postgres_plans import nodes_of, table_of

EVENTS: Final = 60_000
"""The number of events in each of two partitions; six for each task."""
FEW: Final = 2000
"""More rows than a page of a hundred and its halving steps read."""
START: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
"""So two months have some of the events."""
GROUP: Final = UUID("00000000-0000-7000-8000-000000000001")


@pytest.fixture
async def connection(database: str) -> Any:
    """Tasks with a second between their events; every 5,000th is rare in every respect."""
    async with await AsyncConnection.connect(database, autocommit=True) as made:
        await made.execute(
            "select make_history_months(1, %s + make_interval(months => n)) from generate_series(0, 1) n", [START]
        )
        await made.execute(
            "insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
            " shared_resources, tags, queue, priority, depends_on, group_id, correlation_id, created_by, accepted_at,"
            " updated_at, partition, accepted_offset, last_offset, version, attempt, cancellable, sequence, progress,"
            " result)"
            " select md5(p || ' ' || n)::uuid, 'successful', case when n %% 5000 = 0 then 'publish' else 'sync' end,"
            " '{}', '[]', case when n %% 5000 = 0 then '{repository:rare}' else '{repository:zoo}' end::text[], '{}',"
            " '{}', 'default', 0, '{}', case when n %% 5000 = 0 then %(group)s::uuid end,"
            " case when n %% 5000 = 0 then 'rare' else 'usual' end, 'user:ann', %(start)s, %(start)s, p, n * 6, n * 6 + 5,"
            " 6, 1, true, 3, '{}', 'null' from generate_series(0, 1) p, generate_series(0, %(tasks)s - 1) n",
            {"group": GROUP, "start": START, "tasks": EVENTS // 6},
        )
        await made.execute(
            "insert into generation_1.task_resources (resource, access, accepted_at, task_id)"
            " select exclusive_resources[1], 'e', accepted_at, task_id from generation_1.tasks"
        )
        await made.execute(
            "insert into generation_1.task_events (partition, record_offset, task_id, event_id, type, event_time,"
            " broker_time, actor, effect, event)"
            " select p, o, md5(p || ' ' || o / 6)::uuid, md5(p || ':' || o)::uuid,"
            " 'org.pulpproject.task.' || case when o %% 30000 = 5 then 'cancel-requested' when o %% 6 = 0 then 'accepted'"
            " when o %% 6 = 1 then 'started' when o %% 6 = 5 then 'finished' else 'progress' end || '.v1',"
            " %(start)s, %(start)s + make_interval(secs => o),"
            " case when o %% 30000 = 5 then 'user:eve' when o %% 6 = 0 then 'user:ann' else 'worker:w1' end,"
            " case when o %% 30000 = 5 then 'final' else 'applied' end, '{}'"
            " from generate_series(0, 1) p, generate_series(0, %(events)s - 1) o",
            {"start": START, "events": EVENTS},
        )
        await made.execute("update generation_1.positions set next_offset = %s where partition < 2", [EVENTS])
        await made.execute("vacuum analyze generation_1.tasks, generation_1.task_resources, generation_1.task_events")
        yield made


class Counting:
    """The rows of the history and of tasks that statements read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        monkeypatch.setattr(audit, "_rows", self._read)

    async def _read(self, connection: AsyncConnection, statement: Any, values: Any) -> list[Any]:
        cursor = psycopg.AsyncClientCursor(connection)
        await cursor.execute("explain (analyze, format json) " + statement, values)
        [(plan,)] = await cursor.fetchall()
        for node in nodes_of(plan[0]["Plan"]):
            if table_of(node) in ("task_events", "tasks", "task_resources") or "Bitmap Index" in node["Node Type"]:
                passed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
                self.rows += (node["Actual Rows"] + passed) * node["Actual Loops"]
        await cursor.execute(statement, values)
        return await cursor.fetchall()


FILTERS: Final = {
    "everything": AuditFilter(),
    "a rare actor": AuditFilter(actors=("user:eve",)),
    "nobody": AuditFilter(actors=("user:nobody",)),
    "rare actors": AuditFilter(actors=("user:eve", "user:nobody")),
    "a rare type": AuditFilter(types=("org.pulpproject.task.cancel-requested.v1",)),
    "a type that is not there": AuditFilter(types=("org.pulpproject.task.purged.v1",)),
    "a frequent type": AuditFilter(types=("org.pulpproject.task.accepted.v1",)),
    "ignored": AuditFilter(effects=("ignored",)),
    "an effect": AuditFilter(effects=("stale",)),
    "a rare operation": AuditFilter(operations=("publish",)),
    "a frequent operation": AuditFilter(operations=("sync",)),
    "no such operation": AuditFilter(operations=("nothing",)),
    "a rare resource": AuditFilter(resources=("repository:rare",)),
    "a group": AuditFilter(groups=(GROUP,)),
    "a correlation": AuditFilter(correlations=("rare",)),
    "a frequent correlation": AuditFilter(correlations=("usual",)),
    "a task": AuditFilter(tasks=(UUID("cfcd208495d565ef66e7dff9f98764da"),)),
}


async def test_a_page_reads_little_more_than_it_shows(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    stops = {0: EVENTS, 1: EVENTS}
    for name, wanted in FILTERS.items():
        counting = Counting(monkeypatch)
        await audit.read_page(connection, wanted, {0: 100, 1: 100}, stops, limit=100)
        found[name] = counting.rows
    # If more tasks match than are looked up by id, this many are read to find that out.
    most = {"a frequent operation": FEW + audit.MOST_TASKS, "a frequent correlation": FEW + audit.MOST_TASKS}
    assert {name: rows for name, rows in found.items() if rows > most.get(name, FEW)} == {}


async def test_a_span_of_time_is_found_without_reading_what_is_before_it(connection: AsyncConnection) -> None:
    time = START + timedelta(seconds=50_000) + audit.CLOCK_SLACK
    cursor = psycopg.AsyncClientCursor(connection)
    await cursor.execute("explain (analyze, format json) " + audit._SQL["since"], {"time": time - audit.CLOCK_SLACK})
    [(plan,)] = await cursor.fetchall()
    scans = [node for node in nodes_of(plan[0]["Plan"]) if table_of(node) == "task_events"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) < 100
    found = await audit.offsets_at(connection, time)
    assert (found[0], found[1]) == (50_000, 50_000)
