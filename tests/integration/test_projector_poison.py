"""Records that are not events, or that Postgres refuses, are set aside and park their task; everything else is
projected."""

import json
import re

import pytest
from pulp_events.codec import encode, key_of
from pulp_events.ids import new_id
from pulp_events.reader import Record
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import TASK, accepted, event, finished, progress, started
from tests.support.projection import execute, rows
from tests.support.records import NOON_MS, record

KEY = key_of(TASK)
STARTED = json.loads(encode(started(TASK)))
SOUND = [accepted(TASK), started(TASK), progress(TASK, sequence=1), finished(TASK)]


def changed(**fields: object) -> bytes:
    """A sound `started`, except for these fields."""
    return json.dumps({**STARTED, **fields}).encode()


POISON: dict[str, tuple[bytes | None, bytes | None]] = {
    "null value": (KEY, None),
    "empty value": (KEY, b""),
    "bad JSON": (KEY, b'{"specversion": "1.0",'),
    "JSON of another kind": (KEY, b"[1, 2]"),
    "no UTF-8": (KEY, changed().replace(b"worker:w1", b"worker:\xff\xfe")),
    "no key": (None, changed()),
    "the key of another task": (key_of(new_id()), changed()),
    "a task id that is none": (KEY, changed(subject="nobody")),
    "unknown version of CloudEvents": (KEY, changed(specversion="9.9")),
    "data of another shape": (KEY, changed(data={"attempt": "first"})),
    "a number out of range": (KEY, changed(data={**STARTED["data"], "attempt": 2**31})),
    "U+0000": (KEY, changed(actor="a\0b")),
    "a megabyte": (KEY, b'{"a": "' + b"x" * 1_048_000 + b'"}'),
    "deep nesting": (KEY, b"[" * 200_000 + b"]" * 200_000),
    "a deep nest in an event": (KEY, changed(data={**STARTED["data"], "more": json.loads("[" * 300 + "]" * 300)})),
}


@pytest.mark.parametrize("name", POISON)
async def test_poison_is_set_aside(name: str, projector: Projector, database: str) -> None:
    key, value = POISON[name]
    headers = (("content-type", b"text/plain"), ("empty", None))
    poison = Record(0, 2, NOON_MS, key, value, headers)
    batch = [record(SOUND[0], 0), record(SOUND[1], 1), poison, record(SOUND[2], 3), record(SOUND[3], 4)]
    assert await projector.project(batch) == 5
    letter, *waiting = await rows(database, "dead_letters")
    assert (letter["partition"], letter["record_offset"], letter["key"], letter["value"]) == (0, 2, key, value)
    assert letter["headers"] == [["content-type", "dGV4dC9wbGFpbg=="], ["empty", None]]
    assert letter["reason"]
    assert letter["standing"] == ("dead" if key is None else "parks")
    behind = [3, 4] if key == KEY else []
    assert [(each["record_offset"], each["standing"]) for each in waiting] == [(offset, "waits") for offset in behind]
    history = [row["record_offset"] for row in await rows(database, "task_events")]
    assert history == [offset for offset in (0, 1, 3, 4) if offset not in behind]
    (task,) = await rows(database, "tasks")
    shown = (task["state"], task["version"], task["last_offset"])
    assert shown == (("running", 2, 1) if behind else ("successful", 4, 4))


async def test_an_event_of_an_unknown_type_is_kept_without_effect(projector: Projector, database: str) -> None:
    strange = changed(type="org.pulpproject.task.renamed.v9", data={"anything": 1})
    await projector.project([record(SOUND[0], 0), Record(0, 1, NOON_MS, KEY, strange)])
    assert await rows(database, "dead_letters") == []
    kept = (await rows(database, "task_events"))[1]
    assert (kept["type"], kept["effect"], kept["event"]) == ("org.pulpproject.task.renamed.v9", "unknown type", strange)
    assert [row["state"] for row in await rows(database, "tasks")] == ["waiting"]


@pytest.mark.parametrize("zone", ["+23:59", "-23:59", "+05:30"])
@pytest.mark.parametrize("most_records_of_a_small_batch", [0, 100])
async def test_a_time_of_any_zone_is_stored(
    zone: str, most_records_of_a_small_batch: int, projector: Projector, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records_of_a_small_batch)
    value = re.sub(rb'"time":"[^"]*"', f'"time":"2026-11-24T12:00:00{zone}"'.encode(), encode(SOUND[0]))
    await projector.project([Record(0, 0, NOON_MS, KEY, value)])
    assert await rows(database, "dead_letters") == []
    hours, minutes = int(zone[:3]), int(zone[0] + zone[4:])
    ((is_the_same,),) = await execute(
        database,
        "select event_time = timestamptz '2026-11-24T12:00:00Z' - make_interval(hours => %s, mins => %s)"
        " from task_events",
        [hours, minutes],
    )
    assert is_the_same


@pytest.mark.parametrize("is_folded_early", [False, True])
@pytest.mark.parametrize("most_records_of_a_small_batch", [0, 100])
async def test_what_postgres_refuses_is_set_aside_alone(
    most_records_of_a_small_batch: int,
    is_folded_early: bool,
    projector: Projector,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records_of_a_small_batch)
    await execute(
        database,
        "create function refuse() returns trigger language plpgsql as"
        " $$begin raise exception 'too good for us' using errcode = 'data_exception'; end$$",
    )
    await execute(
        database,
        "create trigger refuse before insert on generation_1.task_events for each row"
        " when (new.actor = 'user:poison') execute function refuse()",
    )
    ids = [new_id() for _ in range(20)]
    actors = {3: "user:poison", 4: "user:poison", 17: "user:poison"}
    batch = [
        record(event(accepted().data, task_id=task_id, actor=actors.get(offset, "user:a")), offset)
        for offset, task_id in enumerate(ids)
    ]
    if is_folded_early:
        first, batch_after = batch[:2], batch[2:]
        assert await projector.project(first, lambda: batch_after) == 2
        assert await projector.project(batch_after) == 20
    else:
        assert await projector.project(batch) == 20
    letters = sorted(await rows(database, "dead_letters"), key=lambda letter: letter["record_offset"])
    assert [letter["record_offset"] for letter in letters] == [3, 4, 17]
    assert {letter["reason"] for letter in letters} == {"Postgres cannot store it: too good for us"}
    assert [letter["value"] for letter in letters] == [batch[offset].value for offset in (3, 4, 17)]
    written = {row["record_offset"] for row in await rows(database, "task_events")}
    assert written == set(range(20)) - actors.keys()
    assert {row["task_id"] for row in await rows(database, "tasks")} == set(ids) - {ids[3], ids[4], ids[17]}
