"""Rows of tasks as Postgres reads them back: each column matches the events, whichever way the batch was written."""

from datetime import timedelta
from random import Random
from uuid import UUID

import msgspec
import pytest
from pulp_events.events import Access, Outcome, Resource, Retry, TaskError
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import (
    ATTEMPT,
    NOON,
    TASK,
    accepted,
    attempt_failed,
    cancel_requested,
    finished,
    progress,
    purged,
    started,
)
from tests.support.projection import rows
from tests.support.records import records

ODD = 'tab\t, line\n, "quoted", back\\slash, {braces}, NULL, \\N, Zoë, ☃'
OTHERS = [UUID(int=number) for number in (1, 2**127, 2**128 - 1)]
SHARED = Resource(type="repository", id="b", access=Access.SHARED)
ALL = msgspec.structs.replace(
    accepted(
        operation=ODD,
        arguments=msgspec.Raw(b'{"a": ["\\u2603", 1e3, null]}'),
        resources=(Resource(type="repository", id=ODD), SHARED, Resource(type="x", id="y")),
        tags=(ODD, "pulp:action:sync", "NULL"),
        queue="slow",
        priority=-1000,
        group_id=OTHERS[0],
        parent_id=OTHERS[1],
        depends_on=tuple(OTHERS),
        timeout_seconds=315_360_000,
        retry=Retry(100, 0.25, 86_400),
        deadline_seconds=315_360_000,
    ),
    correlation_id=ODD,
)
LIFE = [
    ALL,
    started(attempt=2**31 - 1, worker="w☃"),
    progress(sequence=2**63 - 1, value={"done": ODD}),
    cancel_requested(),
    finished(outcome=Outcome.FAILED, error=TaskError(code="odd", description=ODD, traceback=ODD)),
    purged(by=ODD),
]


def at(offset: int) -> object:
    """The broker's time of the record (`tests/support/records.py`)."""
    return NOON + timedelta(seconds=offset)


@pytest.mark.parametrize("most_records", [100, 0], ids=["one statement", "by COPY"])
@pytest.mark.parametrize("size", [len(LIFE), 1], ids=["one batch", "many"])
async def test_everything_that_can_be_said_of_a_task(
    database: str, most_records: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    told = records(LIFE)
    projector = Projector(database, 0)
    await projector.locate()
    for start in range(0, len(told), size):
        await projector.project(told[start : start + size])
    await projector.close()
    assert await rows(database, "tasks") == [
        {
            "task_id": TASK,
            "state": "failed",
            "operation": ODD,
            "arguments": {"a": ["☃", 1000.0, None]},
            "resources": [
                {"type": "repository", "id": ODD, "access": "exclusive"},
                {"type": "repository", "id": "b", "access": "shared"},
                {"type": "x", "id": "y", "access": "exclusive"},
            ],
            "exclusive_resources": [f"repository:{ODD}", "x:y"],
            "shared_resources": ["repository:b"],
            "tags": [ODD, "pulp:action:sync", "NULL"],
            "queue": "slow",
            "priority": -1000,
            "group_id": OTHERS[0],
            "parent_id": OTHERS[1],
            "depends_on": OTHERS,
            "timeout_seconds": 315_360_000,
            "created_by": "user:admin",
            "correlation_id": ODD,
            "accepted_at": at(0),
            "updated_at": at(5),
            "started_at": at(1),
            "cancel_requested_at": at(3),
            "finished_at": at(4),
            "partition": 0,
            "accepted_offset": 0,
            "last_offset": 5,
            "version": 6,
            "attempt": 2**31 - 1,
            "attempt_id": ATTEMPT,
            "worker": "w☃",
            "cancellable": True,
            "sequence": 2**63 - 1,
            "progress": {"done": ODD},
            "result": None,
            "error": {"code": "odd", "description": ODD, "traceback": ODD},
            "purged_at": at(5),
            "purged_by": ODD,
            "retry": {"retries": 100, "backoff_seconds": 0.25, "max_backoff_seconds": 86_400},
            "deadline_seconds": 315_360_000,
            "failed_attempts": 0,
            "retry_at": None,
        }
    ]
    assert await rows(database, "task_resources") == [
        {"task_id": TASK, "accepted_at": at(0), "resource": resource, "access": access}
        for resource, access in (("repository:b", "s"), (f"repository:{ODD}", "e"), ("x:y", "e"))
    ]


@pytest.mark.parametrize("most_records", [100, 0], ids=["one statement", "by COPY"])
async def test_the_longest_name_of_a_resource_has_room_in_its_index(
    database: str, most_records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    random = Random(1)  # compressed data would test nothing
    kind, name = ("".join(chr(random.randint(0x20000, 0x2A000)) for _ in range(255)) for _ in range(2))
    longest = Resource(kind, name)
    projector = Projector(database, 0)
    await projector.locate()
    await projector.project(records([accepted(resources=(longest,))]))
    await projector.close()
    assert [row["resource"] for row in await rows(database, "task_resources")] == [longest.key]


@pytest.mark.parametrize("most_records", [100, 0], ids=["one statement", "by COPY"])
async def test_what_a_failed_attempt_leaves_behind(
    database: str, most_records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    retry_at = NOON + timedelta(seconds=7, milliseconds=250)
    life = [accepted(retry=Retry(1, 5, 60)), started(), progress(), attempt_failed(retry_at=retry_at)]
    projector = Projector(database, 0)
    await projector.locate()
    for record in records(life):  # one batch each, so that each goes on from the row
        await projector.project([record])
    await projector.close()
    [row] = await rows(database, "tasks")
    expected = {
        **{"state": "waiting", "attempt": 1, "attempt_id": None, "failed_attempts": 1, "retry_at": retry_at},
        **{"started_at": None, "worker": "w1", "cancellable": False, "sequence": 0, "progress": {}, "version": 4},
        "error": {"code": "operation-failed", "description": "no route to host"},
    }
    assert {name: row[name] for name in expected} == expected
