"""Dead letters through the API: who sees and does what, what is appended for it, and the messages of refusals."""

import asyncio
import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pulp_accounts.users import Role
from pulp_api import dead_letters
from pulp_events import admin
from pulp_events.audit_reader import read_audit
from pulp_events.codec import decode, encode, key_of
from pulp_events.events import Event, Unparked, Unparking
from pulp_events.reader import Reader
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.letters import discard_letter
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_projections.connection import connect_blocking

from tests.conftest import PARTITIONS
from tests.support import later_release
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.events import TASK, accepted, cancel_requested, finished, started
from tests.support.projection import execute, project, rows, settings_of
from tests.support.records import garbage, record
from tests.support.site import ASKED, V3, Site

ALL = f"{V3}/dead-letters/"
ODD = b"rings \x07 and \xff"


async def put(site: Site, value: bytes | None, partition: int, task_id: UUID | None) -> Position:
    """Append any bytes, with or without a task; they are projected together with the next records."""
    log = site.log.records[partition]
    key = b"k" if task_id is None else key_of(task_id)
    log.append(garbage(value, len(log), partition, key=key))
    site.log.appended.set()
    position = Position(partition, len(log) - 1)
    await site.positions.reach({partition: position.offset + 1}, 10)
    return position


async def parked(site: Site, value: bytes = b"{") -> tuple[UUID, Position]:
    """A task that a record parks, with a request to cancel it after that record."""
    task_id = await site.task()
    partition = site.partition_of(task_id)
    position = await put(site, value, partition, task_id)
    await site.add(cancel_requested(task_id), partition)
    return task_id, position


async def state_of(site: Site, task_id: UUID) -> str:
    return str((await site.client.get(f"{V3}/tasks/{task_id}/")).json()["state"])


def acts(site: Site) -> list[Event]:
    """The actions on dead letters; the log also holds records that are not events."""
    found = [each for records in site.log.records for each in records if b"task.unparked." in (each.value or b"")]
    events = [decode(each.key, each.value) for each in found]
    return [event for event in events if isinstance(event, Event)]


def positions(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["position"] for each in answer.json()["results"]]


async def test_the_list_is_paged_and_filtered(api: Site) -> None:
    (one, first), (_, second) = await parked(api), await parked(api)
    odd = await put(api, None, 3, None)
    found = (await api.client.get(ALL)).json()
    by_position = {each["position"]: each for each in found["results"]}
    assert set(by_position) == {str(first), str(second), str(odd)}
    assert found["count"] == 3
    assert by_position[str(first)] == {
        "pulp_href": f"{ALL}{first}/",
        "position": str(first),
        "time": by_position[str(first)]["time"],
        "reason": by_position[str(first)]["reason"],
        "published": False,
        "size_bytes": 1,
        "standing": "parks",
        "behind": 1,
        "task": f"{V3}/tasks/{one}/",
    }
    assert [by_position[str(odd)][name] for name in ("size_bytes", "standing", "behind", "task")] == [
        *(None, "dead", 0, None)
    ]
    pages = [(await api.client.get(ALL, params={"limit": 2, "offset": start})).json() for start in (0, 2)]
    assert [each for page in pages for each in page["results"]] == found["results"]
    assert [page["next"] is None for page in pages] == [False, True]

    def of(**query: Any) -> Any:
        return api.client.get(ALL, params=query)

    waits = str(Position(first.partition, first.offset + 1))
    assert set(positions(await of(task=str(one)))) == {str(first), waits}
    assert set(positions(await of(task=f"{V3}/tasks/{one}/", standing="waits"))) == {waits}
    assert set(positions(await of(partition=3))) == {each for each in by_position if each.startswith("3:")}
    assert set(positions(await of(standing="dead"))) == {str(odd)}
    assert set(positions(await of(standing="parks,discarded"))) == {str(first), str(second)}
    assert positions(await of(task=str(uuid4()))) == []
    for query, field in ({"standing": "gone"}, "standing"), ({"partition": "x"}, "partition"):
        refused = await of(**query)
        assert (refused.status_code, list(refused.json())) == (400, [field])
    assert (await of(task="zoo")).status_code == 400


async def test_who_sees_and_who_acts(api: Site) -> None:
    task_id, position = await parked(api)
    for role in Role:
        await api.add_user(f"a-{role}", role)
        user = api.as_user(f"a-{role}")
        assert positions(await user.get(ALL)) == [str(position)]
        may = role in (Role.OPERATOR, Role.ADMIN)
        assert (await user.get(f"{ALL}{position}/")).status_code == (200 if may else 403)
        if not may:
            for action in ("retry", "discard"):
                refused = await user.post(f"{ALL}{position}/{action}/")
                assert refused.status_code == 403
                assert refused.json()["detail"].endswith("this needs admin or operator")
    assert acts(api) == []
    assert await state_of(api, task_id) == "waiting"


async def test_one_is_shown_with_what_it_holds(api: Site) -> None:
    task_id = await api.task()
    position = await put(api, ODD, api.partition_of(task_id), task_id)
    shown = (await api.client.get(f"{ALL}{position}/")).json()
    assert b64decode(shown["value_base64"]) == ODD
    assert b64decode(shown["key_base64"]) == key_of(task_id)
    assert (shown["value"], shown["size_bytes"], shown["parked_by"]) == (None, len(ODD), None)
    assert shown["headers"] == [{"name": "origin", "value_base64": "ZWxzZXdoZXJl"}]
    behind = await api.add(cancel_requested(task_id), position.partition)
    waiting = (await api.client.get(f"{ALL}{behind}/")).json()
    assert (waiting["standing"], waiting["parked_by"]) == ("waits", str(position))
    assert json.loads(waiting["value"])["subject"] == str(task_id)
    missing = await api.client.get(f"{ALL}0:999/")
    assert missing.status_code == 404
    assert missing.json()["detail"].startswith("there is no dead letter at 0:999: it was projected meanwhile")
    nonsense = await api.client.get(f"{ALL}nonsense/")
    assert (nonsense.status_code, "such as 3:1042" in nonsense.json()["detail"]) == (400, True)


async def test_a_discard_lets_the_task_go_on_and_says_who_did_it(api: Site) -> None:
    task_id, position = await parked(api)
    await api.add_user("op", Role.OPERATOR)
    reason = {"reason": "by a broken script"}
    done = await api.as_user("op").post(f"{ALL}{position}/discard/", json=reason)
    assert done.status_code == 200, done.text
    appended = done.json()["appended"]
    assert done.json() == {
        **{"position": str(position), "action": "discard", "appended": appended, "behind": 1, "projected": True}
    }
    assert done.headers["pulp-position"] == appended
    assert await state_of(api, task_id) == "canceling"
    [event] = acts(api)
    assert (event.actor, event.correlation_id) == ("user:op", done.headers["correlation-id"])
    assert event.data == Unparked(
        action=Unparking.DISCARD, offset=position.offset, reason="by a broken script", request=ASKED
    )
    [told] = (await api.client.get(f"{V3}/audit/", params={"type": "unparked"})).json()["results"]
    assert [told[name] for name in ("actor", "authentication", "reason", "effect")] == [
        *("user:op", "basic", "by a broken script", "about a dead letter")
    ]
    assert str(Position(told["partition"], told["offset"])) == appended
    [letter] = (await api.client.get(ALL)).json()["results"]
    assert (letter["standing"], letter["behind"]) == ("discarded", 0)
    again = await api.client.post(f"{ALL}{position}/discard/")
    assert (again.status_code, "parks no task" in again.json()["detail"]) == (409, True)


async def test_what_a_later_release_understands_is_retried(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await api.task()
    partition = api.partition_of(task_id)
    attempt = started(task_id)
    later = later_release.written_later(record(attempt, 0)).value
    position = await put(api, later, partition, task_id)
    await api.add(finished(task_id), partition)
    too_early = await api.client.post(f"{ALL}{position}/retry/")
    assert (too_early.status_code, too_early.json()["detail"].endswith("Nothing was appended; upgrade first")) == (
        *(409, True),
    )
    behind = await api.client.post(f"{ALL}{partition}:{position.offset + 1}/retry/")
    assert (behind.status_code, f"waits behind {position}: retry or discard that one" in behind.text) == (409, True)
    later_release.upgrade(monkeypatch)
    done = await api.client.post(f"{ALL}{position}/retry/", json={"reason": "upgraded"})
    assert (done.status_code, done.json()["behind"], done.json()["projected"]) == (200, 1, True)
    assert await state_of(api, task_id) == "completed"
    assert positions(await api.client.get(ALL)) == []
    gone = await api.client.post(f"{ALL}{position}/retry/")
    assert (gone.status_code, "it was projected meanwhile" in gone.text) == (404, True)


async def test_what_is_wrong_with_a_request(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id, position = await parked(api)
    odd = await put(api, b"a word", 3, None)

    async def refused(where: object, action: str, **request: Any) -> tuple[int, str]:
        answer = await api.client.post(f"{ALL}{where}/{action}/", **request)
        return answer.status_code, answer.text

    status, text = await refused(position, "retry")
    assert (status, "cannot be projected: " in text, "discard it, and append what it should have been" in text) == (
        *(409, True, True),
    )
    assert (await refused(odd, "discard"))[0] == 409
    assert (await refused(odd, "retry"))[0] == 409  # it is still not an event
    assert (await api.client.get(ALL, params={"standings": "parks"})).status_code == 400  # it would list all
    assert (await refused("3:77", "discard"))[0] == 404
    assert (await refused(position, "discard", json={"reson": "x"}))[0] == 400
    assert (await refused(position, "discard", json={"reason": "x" * 1025}))[0] == 400
    assert (await refused(position, "discard", content=b"{"))[0] == 400
    assert acts(api) == []
    monkeypatch.setattr(dead_letters, "ACT_S", 0.05)
    api.may_project.clear()
    done = await api.client.post(f"{ALL}{position}/discard/")
    assert (done.status_code, done.json()["projected"]) == (202, False)
    api.may_project.set()
    await api.until(task_id, "cancelling")


async def test_with_a_real_log_the_same_is_appended_as_by_the_command(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    """Only the requester differs. A record without a task is appended again as it was, and audited on its own."""
    sound, tasks = encode(accepted(TASK)), (uuid4(), uuid4())
    no_task = RawRecord(b"k", b"a word", (("origin", b"elsewhere"), ("empty", None)), 2)
    producer = raw_producer.make(backend.kafka)
    bad = [RawRecord(key_of(task_id), b"{", (), 0) for task_id in tasks]
    await asyncio.to_thread(raw_producer.append, producer, topics.events, [no_task, *bad])
    settings = settings_of(backend.kafka, database, topics)
    await project(settings, {0: 2, 2: 1})
    await execute(  # as if an older release had not understood it
        database,
        "update generation_1.dead_letters set key = %s, value = %s where partition = 2",
        [key_of(TASK), sound],
    )
    await add_admin(database)

    def by_command() -> Position:
        with connect_blocking(database, "test", connect_timeout_s=10) as connection:
            return discard_letter(connection, producer, topics, Position(0, 0), actor="os:root", reason="why")

    assert await asyncio.to_thread(by_command) == Position(0, 2)
    async with api_process(backend.kafka, database, topics, tmp_path) as api, api.client() as client:
        done = await client.post(f"{ALL}2:0/retry/", json={"reason": "upgraded"})
        assert (done.status_code, done.json()["appended"]) == (202, "2:1"), done.text  # no processor is up
        done = await client.post(f"{ALL}0:1/discard/", json={"reason": "why"})
        assert (done.status_code, done.json()["appended"]) == (202, "0:3"), done.text
        assert await api.stopped() == 0  # its audit records are in the topic
    ends = await asyncio.to_thread(admin.end_offsets, backend.kafka, topics.events, PARTITIONS)
    with Reader(backend.kafka, topics.events, {0: 2, 2: 1}) as reader:
        found = {(each.partition, each.offset): each for _, some in reader.until({0: 4, 2: 2}) for each in some}
    again, command, request = found[2, 1], found[0, 2], found[0, 3]
    assert (again.key, again.value) == (key_of(TASK), sound)
    assert again.headers == (*no_task.headers, ("retry-of", f"{topics.events}/2/0".encode()))
    assert command.headers == request.headers
    assert [command.key, request.key] == [*map(key_of, tasks)]
    one, other = (json.loads(each.value or b"") for each in (command, request))
    told = other["data"].pop("request")
    assert (one["actor"], other["actor"], told["authentication"]) == ("os:root", "user:admin", "basic")
    assert other.pop("correlationid")
    assert (one["data"].pop("offset"), other["data"].pop("offset")) == (0, 1)
    for name in ("id", "time", "actor", "subject"):
        del one[name], other[name]
    assert one == other
    await project(settings, ends)
    assert [row["task_id"] for row in await rows(database, "tasks")] == [TASK]
    assert [row["standing"] for row in await rows(database, "dead_letters")] == ["discarded", "discarded", "dead"]
    entries = await asyncio.to_thread(lambda: list(read_audit(backend.kafka, topics.audit)))
    [act] = [each.record for each in entries if each and each.record and each.record.what == "dead-letter-retried"]
    assert [act.actor, act.method, act.target, act.detail] == ["user:admin", "basic", "2:0", "upgraded"]
