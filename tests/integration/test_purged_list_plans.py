"""Lists with many purged tasks: no list reads tasks of the kind that it does not show."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_api.v2.filters import FILTERS
from pulp_api.v3.filters import TASK_FILTERS, order_of
from pulp_projections.reading import bounded, pages, queue
from pulp_projections.reading.groups import _SQL as GROUPS
from pulp_projections.reading.queries import PURGED, SHOWN, Condition, parameters_of, reading_of

from tests.support.postgres_plans import nodes_of

GONE: Final = 20_000
LEFT: Final = 3000
LARGE: Final = UUID("00000000-0000-7000-8000-000000000001")
"""A group, and a parent, of thousands of purged tasks and thirty others."""
FEW: Final = 700
"""More rows than the page of any list that an index serves needs."""
NEWEST: Final = order_of([])


@pytest.fixture
async def connection(database: str) -> Any:
    """Thousands of tasks, and many older ones that are purged: all on one repository, and every other one in the large
    group."""
    async with await AsyncConnection.connect(database, autocommit=True) as made:
        await made.execute(
            "insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
            " shared_resources, tags, queue, priority, depends_on, group_id, parent_id, correlation_id, created_by,"
            " accepted_at, updated_at, started_at, finished_at, partition, accepted_offset, last_offset, version, attempt,"
            " worker, cancellable, sequence, progress, result, purged_at, purged_by)"
            " select case when n = 2 then %(large)s else md5(n::text)::uuid end, case when n = 1 then 'waiting' when n % 1000 = 0 then 'failed'"
            "        else 'successful' end,"
            " case when n % 1000 = 0 then 'publish' else 'sync' end, '{}', '[]', '{repository:zoo}', '{}',"
            " case when n % 1000 = 0 then '{rare}' else '{usual}' end::text[],"
            " case when n % 1000 = 0 then 'rare' else 'default' end, 0, '{}',"
            " case when n > %(left)s and n % 2 = 0 or n % 100 = 0 then %(large)s else md5((n / 10)::text)::uuid end,"
            " case when n > %(left)s and n % 2 = 0 or n % 100 = 0 then %(large)s end,"
            " case when n % 1000 = 0 then 'rare' else md5(n::text) end,"
            " case when n % 1000 = 0 then 'user:rare' else 'user:ann' end,"
            " now() - make_interval(secs => n), now(), now(), now(), 0, n, n, 1, 0,"
            " case when n % 1000 = 0 then 'rare' else 'w' end, false, 0, '{}', 'null',"
            " case when n > %(left)s then now() end, case when n > %(left)s then 'user:ann' end"
            " from generate_series(1, %(all)s) n".replace("n % ", "n %% "),
            {"left": LEFT, "all": GONE + LEFT, "large": LARGE},
        )
        await made.execute(
            "insert into generation_1.task_resources (resource, access, accepted_at, task_id)"
            " select 'repository:zoo', 'e', accepted_at, task_id from generation_1.tasks union all"
            " select 'repository:rare', 's', accepted_at, task_id from generation_1.tasks where operation = 'publish'"
        )
        await made.execute(
            "insert into generation_1.task_causes select task_id, %s from generation_1.tasks where operation = 'publish'",
            [LARGE],
        )
        await made.execute("vacuum analyze generation_1.tasks, generation_1.task_resources, generation_1.task_causes")
        yield made


async def read(connection: AsyncConnection, statement: LiteralString, values: Mapping[str, Any]) -> int:
    """How many rows of tasks, and of their resources, the statement reads, including those of indexes alone."""
    cursor = psycopg.AsyncClientCursor(connection)
    await cursor.execute("explain (analyze, format json) " + statement, values)
    [(plan,)] = await cursor.fetchall()
    scans = [node for node in nodes_of(plan[0]["Plan"]) if node.get("Relation Name", "") in ("tasks", "task_resources")]
    scans += [node for node in nodes_of(plan[0]["Plan"]) if node["Node Type"] == "Bitmap Index Scan"]
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in scans
    )


async def page(connection: AsyncConnection, conditions: Sequence[Condition], order: LiteralString = NEWEST) -> int:
    """How many rows a page of a hundred reads, including its count unless counters have it."""
    reading = reading_of(conditions, order)
    way: LiteralString = "counters" if pages._have_counters(conditions) else "up_to"
    text = pages._statement("page", reading, bounded.behind(reading, 0), way, 100, bounded.EVERYTHING)
    values = {**parameters_of(conditions), "limit": 100, "skip": 0, "most": 10_001}
    return await read(connection, text, values)


def v3(**query: str) -> list[Condition]:
    return [TASK_FILTERS.condition(name, [value]) for name, value in query.items()]


def v2(**values: Any) -> list[Condition]:
    return FILTERS.conditions({**dict.fromkeys(FILTERS.names), **values})


GROUP: Final = f"/pulp/api/v3/task-groups/{LARGE}/"
PARENT: Final = f"/pulp/api/v3/tasks/{LARGE}/"
INDEXED: Final[Mapping[str, list[Condition]]] = {
    "state": v3(state="failed"),
    "states": v3(state__in="failed,skipped"),
    "no such state": v3(state="skipped"),
    "name": v3(name="publish"),
    "no such name": v3(name="nothing"),
    "correlation": v3(logging_cid="rare"),
    "tags": v3(tags="rare"),
    "first digits": v3(pulp_id__startswith="c4ca4238"),
    "resource": v3(reserved_resources="repository:rare"),
    "v2: resource": v2(resource=["repository:rare"]),
}
"""Filters with few matches, which an index serves, of tasks that are shown and of those that are purged."""
OF_PURGED: Final[Mapping[str, list[Condition]]] = {
    "queue": v3(queue="rare"),
    "no such queue": v3(queue="nothing"),
    "queues": v3(queue__in="rare,nothing"),
    "user": v3(created_by="rare"),
    "no such user": v3(created_by="nothing"),
    "users": v3(created_by__in="rare,nothing"),
    "v2: queue": v2(queue=["rare"]),
    "v2: worker": v2(worker=["rare"]),
    "v2: no such worker": v2(worker=["nothing"]),
    "v2: user": v2(user=["rare"]),
}
"""The same for purged tasks only: the others, which are fewer, have no such index."""
EVERY: Final[Mapping[str, list[Condition]]] = {
    **INDEXED,
    **OF_PURGED,
    "all": [],
    "not the state": v3(state__ne="completed"),
    "part of the name": v3(name__contains="ubli"),
    "part of the correlation": v3(logging_cid__contains="rar"),
    "group": v3(task_group=GROUP),
    "parent": v3(parent_task=PARENT),
    "exclusive resource": v3(exclusive_resources="repository:zoo"),
    "reserved resource": v3(reserved_resources="repository:zoo"),
    "worker": v3(worker="none"),
    "created": v3(pulp_created__gte="2000-01-01T00:00:00Z"),
    "started": v3(started_at__gte="2100-01-01T00:00:00Z"),
    "finished": v3(finished_at__lt="2000-01-01T00:00:00Z"),
    "not started": v3(started_at__isnull="true"),
    "v2: operation": v2(operation=["publish"]),
    "v2: since": v2(since="2000-01-01T00:00:00Z"),
    "reruns": v3(rerun_of__isnull="false"),
    "v2: reruns": v2(has_reruns=True),
}


async def pages_of(
    connection: AsyncConnection, filters: Mapping[str, list[Condition]], kind: Condition
) -> dict[str, int]:
    """The result of `page` for each filter."""
    return {name: await page(connection, [*conditions, kind]) for name, conditions in filters.items()}


def above(most: int, found: Mapping[str, int]) -> dict[str, int]:
    """The statements that read more rows."""
    return {name: rows for name, rows in found.items() if rows > most}


async def test_no_list_reads_purged_tasks(connection: AsyncConnection) -> None:
    # at most each task that is shown: for the page, its parent and its children, for the count
    assert above(5 * LEFT, await pages_of(connection, EVERY, SHOWN)) == {}
    orders = ("pulp_created", "name", "-finished_at", "state")
    assert above(5 * LEFT, {name: await page(connection, [SHOWN], order_of([name])) for name in orders}) == {}


async def test_a_list_by_an_index_reads_what_it_shows(connection: AsyncConnection) -> None:
    assert above(FEW, await pages_of(connection, INDEXED, SHOWN)) == {}
    assert above(FEW, await pages_of(connection, {**INDEXED, **OF_PURGED}, PURGED)) == {}


async def test_what_is_left_of_a_large_group_is_read_without_the_rest(connection: AsyncConnection) -> None:
    found = await pages_of(connection, {"parent": v3(parent_task=PARENT)}, SHOWN)
    for name in ("counts", "first_tasks"):
        text = SQL(GROUPS[name]).format(scope=SQL("true")).as_string()
        found[name] = await read(connection, text, {"group_ids": [LARGE], "most": 20})
    assert above(FEW, found) == {}


async def test_the_list_of_task_groups_passes_over_those_that_are_purged(connection: AsyncConnection) -> None:
    groups = SQL(GROUPS["groups"]).format(where=SQL("true"), scope=SQL("true"))
    found = {}
    for name in ("page", "count"):
        text = SQL(GROUPS[name]).format(groups=groups).as_string()
        found[name] = await read(connection, text, {"limit": 20, "skip": 0})
    assert above(3 * (LEFT // 10 + 2), found) == {}  # some look-ups for each of the groups that are left


async def test_what_waits_is_told_without_reading_the_rest(connection: AsyncConnection) -> None:
    values = {
        **{"unserved_s": 60.0, "rooms": "{}", "limit": 100, "skip": 0, "resource": "repository:zoo", "most": 10},
        "task_id": UUID("c4ca4238-a0b9-2382-0dcc-509a6f75849b"),
    }
    names = ("queues", "busiest", "in_line", "held_by", "before", "users")
    found = {
        name: await read(
            connection, SQL(queue._SQL[name]).format(**queue._PIECES, **queue._UNSCOPED).as_string(), values
        )
        for name in names
    }
    assert above(FEW, found) == {}
