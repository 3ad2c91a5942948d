"""The statements of dispatch read only the rows that they need, however many others exist.

The statistics date from when the tables were empty, as a queue's nearly always are.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection
from pulp_events.codec import TYPES
from pulp_events.events import Accepted, Progress
from pulp_processor.dispatching import tables
from pulp_processor.dispatching.tables import PLANNING as DISPATCHER
from pulp_processor.dispatching.traces import ACCEPTED
from pulp_projections.plans import BY_KEYS as WORKER
from pulp_projections.sql import load

from tests.support.postgres_plans import nodes_of, table_of

MANY: Final = 3000
FEW: Final = 20
READ: Final = {"tasks", "claims", "holds", "reservations", "task_events"}
INSTANCE: Final = uuid4()
CLAIMS_SQL: Final = load("pulp_worker", "claims.sql")


class Statement(NamedTuple):
    """A statement, the settings of its connection, and its parameters for these tasks, with their attempts and holds."""

    text: str
    planning: dict[str, str]
    values: Callable[[list[UUID], list[UUID], list[UUID]], dict[str, Any]]
    most: int = FEW
    """Rows of one table that a part of it reads."""


STATEMENTS: Final = {
    "what is assigned to a worker, and how it stands": Statement(
        CLAIMS_SQL["look"],
        WORKER,
        lambda tasks, attempts, holds: {
            "task_ids": tasks,
            "attempt_ids": attempts,
            "attempts": [1 for _ in attempts],
            "hold_ids": [],
            "worker": "w1",
            "instance_id": INSTANCE,
        },
    ),
    "a worker's end of claims": Statement(
        CLAIMS_SQL["end"], WORKER, lambda tasks, attempts, holds: {"task_ids": tasks, "attempt_ids": attempts}
    ),
    "a worker's release of claims": Statement(
        CLAIMS_SQL["release"], WORKER, lambda tasks, attempts, holds: {"attempt_ids": attempts}
    ),
    "some tasks": Statement(tables._SQL["some"], DISPATCHER, lambda tasks, attempts, holds: {"task_ids": tasks}),
    "what has moved": Statement(
        tables._SQL["moved"],
        DISPATCHER,
        lambda tasks, attempts, holds: {
            "partitions": [0],
            "offsets": [MANY - FEW],
            "still": [TYPES[Progress]],
            "accepted": ACCEPTED,
        },
    ),
    "a page of what waits": Statement(
        tables._SQL["waiting"],
        DISPATCHER,
        lambda tasks, attempts, holds: {
            "accepted_at": "2026-11-24T12:00:01Z",
            "task_id": UUID(int=0),
            "most": FEW,
        },
        most=FEW + 1,
    ),
    "the dispatcher's end of claims and holds": Statement(
        tables._SQL["end"],
        DISPATCHER,
        lambda tasks, attempts, holds: {"epoch": 0, "task_ids": tasks, "hold_ids": holds},
    ),
    "assignments": Statement(
        tables._SQL["assign"],
        DISPATCHER,
        lambda tasks, attempts, holds: {
            "epoch": 0,
            "hold_ids": [uuid4() for _ in tasks],
            "workers": ["w1" for _ in tasks],
            "instance_ids": [INSTANCE for _ in tasks],
            "task_ids": tasks,
            "holds_of": [uuid4() for _ in tasks],
            "places": [0 for _ in tasks],
            "channels": ["c"],
        },
    ),
}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


async def fill_unseen(connection: AsyncConnection, state: str) -> None:
    """Many tasks in this state, each with an event, a claim and a hold of one of many workers."""
    for table in ("generation_1.tasks", "generation_1.task_events", "claims", "holds", "reservations"):
        await connection.execute(f"analyze {table}".encode())
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), %s, 'sync', '{}', '[]', array['r' || n], '{}', '{}', 'default', 0, '{}',
                  'user:x', timestamptz '2026-11-24T12:00Z' + n * interval '1 ms', now(), 0, n, n, 1, 0, false, 0, '{}',
                  'null'
             from generate_series(1, %s) n""",
        [state, MANY],
    )
    await connection.execute(
        """insert into generation_1.task_events (partition, record_offset, task_id, event_id, type, event_time,
               broker_time, actor, effect, event)
           select 0, accepted_offset - 1, task_id, gen_random_uuid(), %s, now(), now(), 'user:x', 'applied', ''
             from generation_1.tasks""",
        [TYPES[Accepted]],
    )
    await connection.execute(
        """insert into holds select task_id, 'w' || (accepted_offset / 20),
                  case when accepted_offset / 20 = 1 then %s else gen_random_uuid() end from generation_1.tasks""",
        [INSTANCE],
    )
    await connection.execute(
        """insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, tokens)
           select t.task_id, 1, t.task_id, h.worker, h.instance_id, 0, h.hold_id, '{1}'
             from generation_1.tasks t join holds h on h.hold_id = t.task_id"""
    )


@pytest.mark.parametrize("state", ["waiting", "successful"])
@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_reads_only_what_it_is_about(connection: AsyncConnection, name: str, state: str) -> None:
    statement = STATEMENTS[name]
    await fill_unseen(connection, state)
    cursor = await connection.execute("select task_id from tasks order by accepted_offset limit %s", [FEW])
    tasks = [row[0] for row in await cursor.fetchall()]  # an attempt and a hold have the id of their task here
    if name == "assignments":
        await connection.execute("delete from claims where task_id = any (%s)", [tasks])
    for setting, value in statement.planning.items():
        await connection.execute("select set_config(%s, %s, false)", [setting, value])
    explain = "explain (analyze, format json) " + statement.text
    [(plan,)] = await (await connection.execute(explain.encode(), statement.values(tasks, tasks, tasks))).fetchall()
    read = {
        (node["Relation Name"], node["Node Type"]): int(node["Actual Rows"] * node["Actual Loops"])
        + int(node.get("Rows Removed by Filter", 0) * node["Actual Loops"])
        for node in nodes_of(plan[0]["Plan"])
        if table_of(node) in READ
    }
    assert read
    assert max(read.values()) <= statement.most, read
