"""The audit topic, on a real Kafka: records can be read, and an installation without the topic works."""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pulp_api.auditing.audit import auditing
from pulp_events.audit import AuditRecord, What, audit_record
from pulp_events.audit_log import AuditLog, topic_fault, write_audit
from pulp_events.audit_reader import AuditEntry, read_audit
from pulp_events.errors import TopicNotFound
from pulp_events.topics import Topics

from tests.support import documented
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks


def write_all(backend: Backend, topics: Topics, records: Sequence[AuditRecord]) -> None:
    for record in records:
        write_audit(backend.kafka, topics.audit, record)


def entries(backend: Backend, topics: Topics) -> list[AuditEntry]:
    return [entry for entry in read_audit(backend.kafka, topics.audit) if entry is not None]


async def test_what_was_noted_is_in_the_topic_after_a_graceful_end(backend: Backend, topics: Topics) -> None:
    async with auditing(backend.kafka, topics.audit) as audit:
        assert audit.fault is None
        for _ in range(5):
            audit.note(What.LOGIN_FAILED, actor="user:admin", address="10.0.0.1", is_claimed=True, detail="wrong")
        audit.note(What.FORBIDDEN, actor="user:jo", address="10.0.0.2", correlation_id="c-1")
    found = [entry.record for entry in entries(backend, topics)]
    assert [(each.what, each.count) for each in found if each] == [
        ("login-failed", 1),
        ("forbidden", 1),
        ("login-failed", 4),
    ]
    assert found[1] is not None
    assert (found[1].actor, found[1].address, found[1].correlation_id) == ("user:jo", "10.0.0.2", "c-1")


async def test_without_the_topic_it_works_and_says_so_once(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "pulp.audit")
    log = AuditLog(backend.kafka, "nowhere.audit", most=2)
    for _ in range(3):
        log.append(audit_record(What.FORBIDDEN, actor="user:jo"))
    for _ in range(3):
        await log.check()
    assert log.fault == "there is no topic nowhere.audit: pulp-tasks topics create makes it"
    assert topic_fault(backend.kafka, "nowhere.audit") == log.fault
    await log.close(1)
    assert log.lost == 1
    told = [record.getMessage() for record in caplog.records]
    assert told.count(f"nothing is audited: {log.fault}") == 1
    assert caplog.records[-1].records == 3  # type: ignore[attr-defined]  # a field of the line
    with pytest.raises(TopicNotFound):
        write_audit(backend.kafka, "nowhere.audit", audit_record(What.FORBIDDEN, actor="user:jo"))


async def test_an_api_without_the_topic_notes_what_it_can(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pulp.audit")
    async with auditing(backend.kafka, "nowhere.audit") as audit:
        audit.note(What.FORBIDDEN, actor="user:jo", address="10.0.0.2")
        assert audit.fault == "there is no topic nowhere.audit: pulp-tasks topics create makes it"
    assert [vars(each)["actor"] for each in caplog.records if each.getMessage() == "forbidden"] == ["user:jo"]


async def test_what_waited_for_the_topic_is_written_once_it_is_there(backend: Backend, topics: Topics) -> None:
    log = AuditLog(backend.kafka, topics.audit)
    log.append(audit_record(What.FORBIDDEN, actor="user:jo"))
    await log.check()
    assert log.fault is None
    await log.close(10)
    assert len(entries(backend, topics)) == 1


@pytest.fixture
def env(backend: Backend, topics: Topics, tmp_path: Path) -> dict[str, str]:
    prefix = topics.events.removesuffix(".events")
    return environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES="user=nobody", PULP_TOPIC_PREFIX=prefix)


RECORDS = (
    audit_record(What.LOGIN_FAILED, actor="user:admin", address="10.0.0.1", is_claimed=True, detail="\x1b[31mred"),
    audit_record(What.LOGIN_SUCCEEDED, actor="user:admin", address="10.0.0.2"),
    audit_record(What.ROLE_CHANGED, actor="os:root", address="host-1", target="jo", detail="viewer to admin"),
)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ([], [0, 1, 2]),
        (["--actor", "admin"], [0, 1]),
        (["--actor", "os:root"], [2]),
        (["--kind", "login-failed", "--kind", "role-changed"], [0, 2]),
        (["--address", "10.0.0.2"], [1]),
        (["--since", "1h"], [0, 1, 2]),
        (["--limit", "1"], [2]),
        (["--actor", "nobody"], []),
    ],
)
def test_an_auditor_lists_what_is_there(
    backend: Backend, topics: Topics, env: dict[str, str], filters: list[str], wanted: list[int]
) -> None:
    write_all(backend, topics, RECORDS)
    done = pulp_tasks("audit", "list", *filters, "--output", "json", env=env)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    documented.check("audit list", value)
    assert [each["id"] for each in value] == [str(RECORDS[number].id) for number in wanted]


def test_a_table_brackets_whom_nobody_proved_and_obeys_no_escape(
    backend: Backend, topics: Topics, env: dict[str, str]
) -> None:
    write_all(backend, topics, RECORDS)
    head, failed, succeeded, changed = pulp_tasks("audit", "list", env=env).stdout.splitlines()
    assert head.split() == ["TIME", "WHAT", "ACTOR", "ADDRESS", "COUNT", "DETAIL"]
    assert "  (user:admin)  10.0.0.1  " in failed
    assert "\x1b" not in failed
    assert "  user:admin    10.0.0.2  " in succeeded
    assert changed.endswith("jo viewer to admin")


def test_what_comes_is_printed_as_it_comes(backend: Backend, topics: Topics, env: dict[str, str]) -> None:
    write_all(backend, topics, RECORDS[:1])
    command = [sys.executable, "-m", "pulp_deploy", "audit", "tail", "--since", "1h", "--output", "json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())]
        write_all(backend, topics, RECORDS[1:])
        seen += [json.loads(process.stdout.readline()), json.loads(process.stdout.readline())]
        process.terminate()
    for value in seen:
        documented.check("audit tail", value)
    assert [value["what"] for value in seen] == [record.what for record in RECORDS]


def test_without_the_topic_the_command_says_what_makes_it(env: dict[str, str]) -> None:
    done = pulp_tasks("audit", "list", env={**env, "PULP_TOPIC_PREFIX": "nowhere"})
    assert (done.returncode, done.stdout) == (66, "")
    assert "there is no topic nowhere.audit" in done.stderr
    assert "pulp-tasks topics create" in done.stderr
