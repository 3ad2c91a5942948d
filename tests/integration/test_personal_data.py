"""Personal arguments at the API and in Postgres: who can read what before and after an erasure, and which events it
adds."""

import json
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from msgspec import Raw
from psycopg.types.json import Json
from pulp_accounts.users import Role
from pulp_api.auditing.audit import Audit
from pulp_api.limiting.quotas import Quotas
from pulp_api.scheduled import ScheduledSubmitter
from pulp_api.subjects import Subjects, telling_audit
from pulp_api.submitting.personal import PersonalArguments
from pulp_events.audit import AuditRecord, decode_audit, encode_audit
from pulp_events.audit_reader import read_audit
from pulp_events.errors import LogUnavailable
from pulp_events.events import Accepted, Outcome
from pulp_events.schedule import Schedule
from pulp_events.topics import Topics
from pulp_projections.personal.keys import Erasure, SubjectKeys, erase
from pulp_projections.personal.master import MasterKeyMissing, MasterKeys, add_master_key
from pulp_runtime.tick_submission import TickRefusal
from pulp_worker.arguments import schema_of

from tests.integration.test_api_schedules import SCHEDULES, scheduling
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import NOON, finished
from tests.support.personal_operations import Invite
from tests.support.site import PARTITIONS, V2, V3, Site

PERSON, EMAIL = "Jo-Bloggs-4711", "jo.bloggs@example.org"
GIVEN = {"person": PERSON, "email": EMAIL, "note": "hello"}
SECRETS = (PERSON, EMAIL, PERSON.encode().hex(), EMAIL.encode().hex())


@pytest.fixture(autouse=True)
async def _operation(api: Site) -> None:
    await api.execute(
        "insert into operations (name, cancellable, description, resources, tags, arguments, registered_by)"
        " values ('invite', false, '', '[]', null, %s, 'w1')",
        Json(schema_of(Invite, "invite")),
    )


def accepted_of(api: Site, task_id: UUID) -> Accepted:
    [data] = [event.data for event in api.log.events if event.task_id == task_id and isinstance(event.data, Accepted)]
    return data


async def invite(api: Site, **changed: Any) -> UUID:
    return await api.submit({"operation": "invite", "arguments": {**GIVEN, **changed}})


async def shown(api: Site, task_id: UUID) -> tuple[Any, Any]:
    task = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()
    return task["arguments"], task.get("personal")


async def listed(api: Site, task_id: UUID, query: str = "") -> tuple[Any, Any]:
    tasks = (await api.client.get(f"{V3}/tasks/?{query}")).json()["results"]
    [task] = [each for each in tasks if str(task_id) in each["pulp_href"]]
    return task["arguments"], task.get("personal")


async def find(api: Site, name: str = PERSON) -> list[dict[str, Any]]:
    answer = await api.client.post(f"{V3}/subjects/find/", json={"subject": name})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


async def erased(api: Site, reason: str = "request 4711") -> dict[str, Any]:
    [subject] = [each for each in await find(api) if each["erased_at"] is None]
    answer = await api.client.post(f"{subject['pulp_href']}erase/", json={"reason": reason})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "reason",
    [
        f"asked by {PERSON}",
        PERSON,
        f"request 4711 of {PERSON.lower()}.",
        f"({PERSON.upper()})",
        f"see the mail of '{PERSON}', 4711",
    ],
)
async def test_a_reason_that_names_the_person_is_refused(api: Site, reason: str) -> None:
    await invite(api)
    [subject] = await find(api)
    answer = await api.client.post(f"{subject['pulp_href']}erase/", json={"reason": reason})
    assert (answer.status_code, "it names the person" in answer.text) == (400, True)
    assert [each["erased_at"] for each in await find(api)] == [None]
    assert (await erased(api, "request 4711 of Jo"))["reason"] == "request 4711 of Jo"  # a part of it is not the name


async def test_an_erasure_does_not_depend_on_keys_that_are_lost(api: Site) -> None:
    await invite(api)
    [subject] = await find(api)
    await api.execute("update subject_index set master = '0123456789abcdef'")
    answer = await api.client.post(f"{subject['pulp_href']}erase/", json={"reason": "request 4711"})
    assert (answer.status_code, answer.json()["reason"]) == (200, "request 4711"), answer.text


async def everything_in(api: Site) -> str:
    """All rows of all tables, as text."""
    tables = await api.execute(
        "select format('%%I.%%I', table_schema, table_name) from information_schema.tables where table_type = 'BASE TABLE'"
        " and (table_schema = 'public' or table_schema like 'generation%%')"
    )
    rows = [row for (table,) in tables for row in await api.execute(f"select t::text from {table} t")]
    assert len(rows) > 10
    return "\n".join(text for (text,) in rows)


ALL = {"person": "shown", "email": "shown"}
NONE = {"person": "(erased)", "email": "(erased)", "note": "hello"}


async def test_a_task_shows_its_values_until_they_are_erased_and_holds_them_nowhere(api: Site) -> None:
    task_id = await invite(api)
    written = json.loads(bytes(accepted_of(api, task_id).arguments))
    assert written["note"] == "hello"
    assert {*written["email"]} == {"pulp_personal", "key", "nonce", "data"}
    await api.until(task_id, "waiting")
    assert await shown(api, task_id) == (GIVEN, ALL)
    assert await listed(api, task_id) == (GIVEN, ALL)
    assert await listed(api, task_id, "fields=pulp_href,arguments,personal") == (GIVEN, ALL)
    short = (await api.client.get(f"{V3}/tasks/?exclude_fields=arguments")).json()["results"][0]
    assert {"arguments", "personal"}.isdisjoint(short)
    stored = await everything_in(api)
    records = b"".join(record.value or b"" for records in api.log.records for record in records).decode()
    history = (await api.client.get(f"{V3}/tasks/{task_id}/history/")).text
    audit = (await api.client.get(f"{V3}/audit/")).text
    assert [text for text in SECRETS for place in (stored, records, history, audit) if text in place] == []
    assert written["email"]["data"] in history

    subject = await erased(api)
    assert (subject["tasks"], subject["unfinished"], subject["erased_by"]) == (1, 1, "user:admin")
    gone = {"person": "erased", "email": "erased"}
    assert await shown(api, task_id) == (NONE, gone)
    assert await listed(api, task_id) == (NONE, gone)
    assert (await api.client.get(f"{V3}/tasks/{task_id}/history/")).text == history
    assert [text for text in SECRETS if text in await everything_in(api)] == []
    assert (await api.client.get(f"{V2}/tasks/{task_id}/")).status_code == 200


async def test_an_erasure_counts_at_once_in_every_process(api: Site) -> None:
    task_id = await invite(api)
    arguments = accepted_of(api, task_id).arguments
    other = PersonalArguments(api.service.connection)  # of another process
    before = (await other.opened({task_id: arguments}))[task_id]
    assert json.loads(bytes(before.arguments)) == GIVEN
    await erased(api)
    assert json.loads(bytes((await other.opened({task_id: arguments}))[task_id].arguments)) == NONE


async def test_two_tasks_of_a_person_share_a_key_and_two_persons_none(api: Site) -> None:
    first, second, third = [await invite(api), await invite(api), await invite(api, person="Kim")]
    keys = [json.loads(bytes(accepted_of(api, each).arguments))["email"]["key"] for each in (first, second, third)]
    assert keys[0] == keys[1] != keys[2]
    await erased(api)
    await api.until(third, "waiting")
    assert (await shown(api, third))[1] == ALL
    assert [each["key_id"] for each in await find(api)] == [keys[0]]
    again = await invite(api)  # the person returns
    await api.until(again, "waiting")
    assert (await shown(api, again))[1] == ALL
    assert [each["erased_at"] is None for each in await find(api)] == [True, False]


async def test_names_that_look_the_same_are_found_and_erased_together(api: Site) -> None:
    """The accent composed and decomposed: an erasure of one left the data under the other."""
    composed, apart = "Zo\u00eb", "Zoe\u0308"
    keys = [
        json.loads(bytes(accepted_of(api, await invite(api, person=name)).arguments))["email"]["key"]
        for name in (composed, apart)
    ]
    assert keys[0] != keys[1]
    for name in (composed, apart):
        assert {each["key_id"] for each in await find(api, name)} == {*keys}


async def test_a_search_never_finds_the_value(api: Site) -> None:
    task_id = await invite(api)
    await api.until(task_id, "waiting")
    for wanted, count in (({"note": "hello"}, 1), ({"email": EMAIL}, 0), ({"person": PERSON}, 0)):
        answer = await api.client.get(f"{V3}/tasks/", params={"arguments__contains": json.dumps(wanted)})
        assert (answer.status_code, answer.json()["count"]) == (200, count), wanted


async def test_a_repeated_submission_makes_one_task_also_after_the_erasure(api: Site) -> None:
    body = {"operation": "invite", "arguments": GIVEN}
    first = await api.submit(body, **{"Idempotency-Key": "k1"})
    await api.until(first, "waiting")
    assert await api.submit(body, **{"Idempotency-Key": "k1"}) == first
    other = await api.client.post(
        f"{V3}/tasks/", json={**body, "arguments": {**GIVEN, "email": "x"}}, headers={"Idempotency-Key": "k1"}
    )
    assert other.status_code == 422
    await erased(api)
    assert await api.submit(body, **{"Idempotency-Key": "k1"}) == first


async def test_a_rerun_encrypts_anew_and_needs_other_values_once_they_are_erased(api: Site) -> None:
    task_id = await invite(api)
    await api.until(task_id, "waiting")
    ended = finished(task_id, outcome=Outcome.CANCELLED, attempt_id=None)
    await api.add(ended, api.partition_of(task_id))
    again = await api.client.post(f"{V3}/tasks/{task_id}/rerun/")
    assert again.status_code == 202, again.text
    second = UUID(again.json()["task"].rstrip("/").rsplit("/", 1)[-1])
    assert accepted_of(api, second).arguments != accepted_of(api, task_id).arguments
    await api.until(second, "waiting")
    assert await shown(api, second) == (GIVEN, ALL)
    await erased(api)
    refused = await api.client.post(f"{V3}/tasks/{task_id}/rerun/")
    assert refused.status_code == 400
    assert "'person' is personal data that was erased" in refused.json()["detail"]
    given = await api.client.post(f"{V3}/tasks/{task_id}/rerun/", json={"arguments": {"person": "Kim", "email": None}})
    assert given.status_code == 202, given.text


async def test_a_child_is_encrypted_for_itself(api: Site) -> None:
    parent = await invite(api)
    await api.until(parent, "waiting")
    child = await api.submit({"operation": "invite", "arguments": GIVEN, "parent_task": str(parent)})
    await api.until(child, "waiting")
    assert await shown(api, child) == (GIVEN, ALL)


@pytest.mark.parametrize("argument", ["email", "note"])
async def test_nobody_submits_an_envelope_of_another_task(api: Site, argument: str) -> None:
    task_id = await invite(api)
    envelope = json.loads(bytes(accepted_of(api, task_id).arguments))["email"]
    body = {"operation": "invite", "arguments": {"person": "Eve", argument: envelope}}
    answer = await api.client.post(f"{V3}/tasks/", json=body)
    assert answer.status_code == 400
    assert "pulp_personal" in answer.json()["detail"]
    free = {"operation": "remove-orphans", "arguments": {"x": envelope}}  # which declares no arguments
    assert (await api.client.post(f"{V3}/tasks/", json=free)).status_code == 400


async def test_envelopes_of_a_foreign_producer_are_unreadable_and_no_list_fails(api: Site) -> None:
    task_id = await invite(api)
    envelope = json.loads(bytes(accepted_of(api, task_id).arguments))["email"]
    for wrong in (
        envelope,  # moved to another task
        {**envelope, "key": "0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de"},
        {**envelope, "nonce": 7},
        {"pulp_personal": 1},
        {"pulp_personal": {"deep": [1]}},
    ):
        foreign = await api.task("invite", arguments=Raw(json.dumps({"email": wrong, "note": "x"}).encode()))
        told = ({"email": "(unreadable)", "note": "x"}, {"email": "unreadable"})
        assert await shown(api, foreign) == told
        assert await listed(api, foreign) == told


async def test_a_subject_has_to_be_named_and_no_refusal_repeats_a_value(api: Site) -> None:
    for arguments in ({"email": EMAIL}, {"person": "", "email": EMAIL}, {"person": 7, "email": EMAIL}):
        answer = await api.client.post(f"{V3}/tasks/", json={"operation": "invite", "arguments": arguments})
        assert (answer.status_code, EMAIL in answer.text) == (400, False), answer.text


async def test_only_administrators_see_and_erase_subjects(api: Site) -> None:
    await invite(api)
    [subject] = await find(api)
    assert PERSON not in json.dumps(subject)
    for role in (Role.SUBMITTER, Role.OPERATOR, Role.AUDITOR, Role.VIEWER):
        await api.add_user(f"a-{role}", role)
        client = api.as_user(f"a-{role}")
        answers = [
            await client.get(f"{V3}/subjects/"),
            await client.get(subject["pulp_href"]),
            await client.post(f"{V3}/subjects/find/", json={"subject": PERSON}),
            await client.post(f"{subject['pulp_href']}erase/", json={"reason": "x"}),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
    assert (await api.client.get(f"{V3}/subjects/")).json()["results"] == [subject]
    assert (await api.client.get(f"{V3}/subjects/?erased=true")).json()["results"] == []
    assert (await api.client.get(subject["pulp_href"])).json() == subject
    assert await find(api, PERSON.lower()) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("find/", {}, 400),
        ("find/", {"subject": ""}, 400),
        ("find/", {"subject": 7}, 400),
        ("find/", {"subject": "x", "more": 1}, 400),
        ("0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de/erase/", {"reason": "x"}, 404),
        ("0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de/erase/", {"reason": ""}, 400),
        ("0b6f7a0e-30a4-4b0b-9d0e-54e8f3a1c0de/erase/", {"reason": "x" * 301}, 400),
        ("jo/erase/", {"reason": "x"}, 404),
    ],
)
async def test_odd_requests_are_refused(api: Site, path: str, body: dict[str, Any], status: int) -> None:
    assert (await api.client.post(f"{V3}/subjects/{path}", json=body)).status_code == status


async def test_an_erasure_is_told_once_with_who_when_why_and_how_many(api: Site) -> None:
    heard: list[AuditRecord] = []

    async def tell(record: AuditRecord) -> None:
        heard.append(record)

    app: Any = api.client._transport.app  # type: ignore[attr-defined]
    app.state.subjects = Subjects(api.service.connection, tell)
    await invite(api)
    await invite(api)
    subject = await erased(api)
    [record] = heard
    assert (record.what, record.actor, record.target) == ("subject-erased", "user:admin", subject["key_id"])
    assert record.detail == "2 tasks, 2 of them unfinished: request 4711"
    assert (str(record.id), record.method, record.outcome) == (subject["event_id"], "basic", "success")
    assert record.correlation_id is not None
    assert [text for text in SECRETS if text in encode_audit(record).decode()] == []
    assert decode_audit(encode_audit(record)).id == record.id
    again = (await api.client.post(f"{subject['pulp_href']}erase/", json={"reason": "another"})).json()
    assert (again, len(heard)) == (subject, 1)


async def test_without_kafka_a_key_is_destroyed_and_the_audit_is_told_later(api: Site) -> None:
    heard: list[AuditRecord] = []
    is_away = True

    async def tell(record: AuditRecord) -> None:
        if is_away:
            raise LogUnavailable("Kafka is away")
        heard.append(record)

    app: Any = api.client._transport.app  # type: ignore[attr-defined]
    app.state.subjects = subjects = Subjects(api.service.connection, tell)
    task_id = await invite(api)
    await api.until(task_id, "waiting")
    subject = await erased(api)
    assert (subject["told"], heard) == (False, [])
    assert (await shown(api, task_id))[0] == NONE
    is_away = False
    await subjects.tell()
    await subjects.tell()
    assert [str(record.id) for record in heard] == [subject["event_id"]]
    assert (await api.client.get(subject["pulp_href"])).json()["told"] is True


KILLED = """
import asyncio, os, signal, sys
from contextlib import asynccontextmanager
from uuid import UUID
from pulp_api.subjects import Subjects, telling_audit
from pulp_projections.connection import connect
from pulp_projections.personal.keys import Erasure

kafka, topic, database, key_id, when = sys.argv[1:]
append = telling_audit(kafka, topic)

async def tell(record):
    if when == "after":
        await append(record)
    os.kill(os.getpid(), signal.SIGKILL)

@asynccontextmanager
async def opened():
    async with await connect(database, "killed") as connection:
        yield connection

asyncio.run(Subjects(opened, tell).erase(UUID(key_id), Erasure("user:admin", "request 4711")))
"""


def killed(*arguments: str) -> int:
    """The exit status of an erasure whose process is killed around its append to the audit."""
    return subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_around_the_append_it_is_erased_and_told_as_one_event(
    api: Site, backend: Backend, topics: Topics, tmp_path: Path, when: str
) -> None:
    task_id = await invite(api)
    await api.until(task_id, "waiting")
    [subject] = await find(api)
    assert killed(backend.kafka, topics.audit, api.database, subject["key_id"], when) == -signal.SIGKILL
    assert (await shown(api, task_id))[0] == NONE  # whatever happens then
    [left] = await find(api)
    assert (left["told"], left["reason"]) == (False, "request 4711")
    for _ in range(2):  # two processes, one after the other
        await Subjects(api.service.connection, telling_audit(backend.kafka, topics.audit)).tell()
    records = [entry.record for entry in read_audit(backend.kafka, topics.audit) if entry is not None]
    assert len(records) == (1 if when == "before" else 2)
    assert {str(record.id) for record in records if record is not None} == {left["event_id"]}
    prefix = topics.events.removesuffix(".events")
    env = environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=api.database, PULP_TOPIC_PREFIX=prefix)
    listing = pulp_tasks("audit", "list", "--kind", "subject-erased", "--output", "json", env=env)
    [told] = json.loads(listing.stdout)
    assert (told["id"], told["target"]) == (left["event_id"], left["key_id"])
    assert (await find(api))[0]["told"] is True

    # A restore of a backup from before the erasure brings the key back, and the audit knows that it was destroyed.
    await api.execute(
        "update subjects set key = decode(repeat('00', 32), 'hex'), erased_at = null, erased_by = null, reason = null,"
        " event_id = null, told_at = null"
    )
    again = pulp_tasks("subjects", "erase-again", "--output", "json", env=env)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["destroyed"] == [left["key_id"]]
    assert (await shown(api, task_id))[0] == NONE
    assert json.loads(pulp_tasks("subjects", "erase-again", "--output", "json", env=env).stdout)["destroyed"] == []


async def test_a_schedule_holds_envelopes_and_submits_what_was_given(api: Site) -> None:
    log = await scheduling(api)
    body = {"name": "nightly", "task_name": "invite", "arguments": GIVEN, "cron": "30 2 * * *"}
    made = await api.client.post(SCHEDULES, json=body, headers={"Idempotency-Key": "s"})
    assert made.status_code == 201, made.text
    href = made.json()["pulp_href"]
    assert made.json()["arguments"] == GIVEN
    assert (await api.client.post(SCHEDULES, json=body, headers={"Idempotency-Key": "s"})).json() == made.json()
    unchanged = await api.client.patch(href, json={"arguments": GIVEN})
    assert (unchanged.json()["version"], unchanged.json()["arguments"]) == (1, GIVEN)
    changed = await api.client.patch(href, json={"priority": 7})
    assert (changed.json()["version"], changed.json()["arguments"]) == (2, GIVEN)
    assert (await api.client.get(SCHEDULES)).json()["results"][0]["arguments"] == GIVEN

    schedule = await schedules_of(api).get(UUID(href.rstrip("/").rsplit("/", 1)[-1]))
    submitted = await ticked(api, schedule, 1)
    await api.until(submitted, "waiting")
    assert await shown(api, submitted) == (GIVEN, ALL)
    everything = b"".join(record.value or b"" for record in log.records).decode() + await everything_in(api)
    assert [text for text in SECRETS if text in everything] == []

    await erased(api)
    assert (await api.client.get(href)).json()["arguments"] == NONE
    with pytest.raises(TickRefusal, match="'person' is personal data that was erased"):
        await ticked(api, schedule, 2)
    disabled = await api.client.post(f"{href}disable/")
    assert (disabled.status_code, disabled.json()["enabled"]) == (200, False)
    refused = await api.client.patch(href, json={"priority": 8})
    assert (refused.status_code, "erased" in refused.text) == (400, True)
    given = await api.client.patch(href, json={"arguments": {"person": "Kim"}, "enabled": True})
    assert (given.status_code, given.json()["arguments"]) == (200, {"person": "Kim"})


async def test_master_keys_wrap_what_the_database_holds(api: Site, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = add_master_key(file)
    master = MasterKeys(file)
    keys = SubjectKeys(master)
    task = UUID(int=7)
    arguments = b'{"email": "jo@example.org"}'
    env = environment(tmp_path, PULP_KAFKA="127.0.0.1:1", PULP_POSTGRES=api.database, PULP_PERSONAL_KEY_FILE=str(file))
    async with api.connect() as connection:
        sealed = bytes(await keys.sealed(connection, {"email": (PERSON, b'"jo@example.org"')}, arguments, task))
        plain = (await keys.opened(connection, {task: sealed}))[task]
        assert bytes(plain.arguments) == b'{"email":"jo@example.org"}'
        assert {each[0] for each in await masters(api)} == {old}

        made = pulp_tasks("subjects", "keygen", str(file), "--output", "json", env=env)
        new = json.loads(made.stdout)["master"]
        other = bytes(await keys.sealed(connection, {"email": ("Kim", b'"k"')}, arguments, UUID(int=8)))
        assert {each[0] for each in await masters(api)} == {old}  # nothing is wrapped with the new key yet

        done = pulp_tasks("subjects", "rewrap", "--output", "json", env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"keys": 2, "master": new}
        assert {each[0] for each in await masters(api)} == {new}
        file.write_text(file.read_text().splitlines()[1])
        for holder, text in ((task, sealed), (UUID(int=8), other)):
            assert (await keys.opened(connection, {holder: text}))[holder].personal == {"email": "shown"}
        with pytest.raises(MasterKeyMissing):
            await SubjectKeys(MasterKeys()).opened(connection, {task: sealed})
        with pytest.raises(MasterKeyMissing):
            await SubjectKeys(MasterKeys()).find(connection, PERSON)
        [subject] = await keys.find(connection, PERSON)
        assert await erase(connection, subject.key_id, Erasure("user:admin", "r")) is not None
        assert json.loads(pulp_tasks("subjects", "rewrap", "--output", "json", env=env).stdout)["keys"] == 1
        assert (await keys.opened(connection, {task: sealed}))[task].personal == {"email": "erased"}


async def masters(api: Site) -> list[Any]:
    return await api.execute("select master from subjects union all select master from subject_index")


async def test_without_the_master_key_a_list_shows_what_it_can_and_a_submission_is_refused(
    api: Site, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    add_master_key(file)
    personal = PersonalArguments(api.service.connection, MasterKeys(file))
    operation = await api.service.submitter._operations.get("invite")
    task_id = UUID(int=9)
    sealed = await personal.sealed(operation, Raw(json.dumps(GIVEN).encode()), task_id)
    await api.task("invite", arguments=sealed)
    listing = await api.client.get(f"{V3}/tasks/")  # this API has no file
    assert listing.json()["results"][0]["arguments"] == {**GIVEN, "person": "(unreadable)", "email": "(unreadable)"}
    refused = await api.client.post(f"{V3}/tasks/", json={"operation": "invite", "arguments": GIVEN})
    assert (refused.status_code, "PULP_PERSONAL_KEY_FILE" in refused.text) == (503, True)


class Ticking(ScheduledSubmitter):
    """Submits for a schedule that has just become due."""

    async def _need_pending(self, schedule: Schedule, tick: datetime) -> None: ...


async def ticked(api: Site, schedule: Schedule, number: int) -> UUID:
    """The task of a tick, as a processor submits it."""
    service = api.service
    quotas = Quotas(service.connection, {}, Audit(lambda _: None))
    submitter = Ticking(service.log, service.freshness, service.connection, quotas, PARTITIONS)
    made = await submitter.submit(schedule, NOON + timedelta(days=number))
    assert made is not None
    return made


def schedules_of(api: Site) -> Any:
    transport = api.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    app: Any = transport.app
    return app.state.schedules
