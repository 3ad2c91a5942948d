"""`pulp-tasks dead-letters` as an operator and a script use it."""

import asyncio
import getpass
import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pulp_deploy.local.ports import free_ports
from pulp_events import admin
from pulp_events.codec import encode, key_of
from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import TASK, accepted, finished, progress, started
from tests.support.projection import execute, project, rows, settings_of

Command = Callable[..., "CompletedProcess[str]"]
BELL = b"rings \x07 and \x1b[31mreddens"
KNOWN_NOW = encode(accepted(TASK))
TASK_KEY = key_of(TASK)


@pytest.fixture
async def env(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> dict[str, str]:
    """An installation with four dead letters; an older release did not understand the one at 2:0."""
    producer = raw_producer.make(backend.kafka)
    odd = [
        RawRecord(b"k", BELL, (("origin", b"elsewhere"),), 1),
        RawRecord(None, None, (), 1),
        RawRecord(b"\xff", b"\xff\xfe", (), 3),
        RawRecord(b"k", b"a word", (), 2),
    ]
    await asyncio.to_thread(raw_producer.append, producer, topics.events, odd)
    ends = await asyncio.to_thread(admin.end_offsets, backend.kafka, topics.events, PARTITIONS)
    await project(settings_of(backend.kafka, database, topics), ends)
    await execute(
        database, "update generation_1.dead_letters set key = %s, value = %s where partition = 2", [TASK_KEY, KNOWN_NOW]
    )
    prefix = topics.events.removesuffix(".events")
    return environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)


@pytest.fixture
def command(env: dict[str, str]) -> Command:
    return lambda *arguments, **more: pulp_tasks("dead-letters", *arguments, env={**env, **more})


def log_of(backend: Backend, topics: Topics, partition: int, start: int) -> list[Record]:
    """The contents of a partition from an offset on."""
    end = admin.end_offsets(backend.kafka, topics.events, PARTITIONS)[partition]
    with Reader(backend.kafka, topics.events, {partition: start}) as reader:
        return [record for _, records in reader.until({partition: end}) for record in records]


async def test_list(command: Command) -> None:
    listed = command("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["POSITION", "TIME", "BYTES", "SENT", "STANDING", "BEHIND", "REASON"]
    assert [line.split()[0] for line in lines] == ["1:0", "1:1", "2:0", "3:0"]
    assert [line.split()[2:4] for line in lines] == [
        [str(len(BELL)), "no"],
        ["-", "no"],
        [str(len(KNOWN_NOW)), "no"],
        ["2", "no"],
    ]
    assert lines[1].endswith("the record has no value")


async def test_list_for_scripts(command: Command, topics: Topics) -> None:
    found = json.loads(command("list", "--output", "json").stdout)
    assert [letter["position"] for letter in found] == ["1:0", "1:1", "2:0", "3:0"]
    assert found[0]["coordinates"] == f"{topics.events}/1/0"
    assert [letter["size_bytes"] for letter in found] == [len(BELL), None, len(KNOWN_NOW), 2]
    assert {letter["sent"] for letter in found} == {False}
    (one,) = json.loads(command("list", "--output", "json", "--after", "1:0", "--limit", "1").stdout)
    assert one["position"] == "1:1"
    assert command("list", "--output", "json", "--after", "3:0").stdout == "[]\n"


async def test_show(command: Command, topics: Topics) -> None:
    shown = command("show", "1:0")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0] == f"Position  1:0 of {topics.events}"
    assert lines[3:] == [
        "Sent      not yet",
        "Standing  dead: nothing waits for it",
        "Key       1 byte: k",
        "Header    origin: 9 bytes: elsewhere",
        "Value     24 bytes: rings ␇ and ␛[31mreddens",
    ]
    assert "Value     none" in command("show", "1:1").stdout.splitlines()
    assert "Value     2 bytes: base64 //4=" in command("show", "3:0").stdout.splitlines()


async def test_show_for_scripts(command: Command, env: dict[str, str]) -> None:
    letter = json.loads(command("show", "1:0", "--output", "json").stdout)
    assert b64decode(letter["value_base64"]) == BELL
    assert letter["value"] == BELL.decode()
    assert letter["headers"] == [{"name": "origin", "value_base64": "ZWxzZXdoZXJl"}]
    assert json.loads(command("show", "3:0", "--output", "json").stdout)["value"] is None
    program = [sys.executable, "-m", "pulp_deploy", "dead-letters", "show", "3:0", "--raw"]
    raw = await asyncio.to_thread(subprocess.run, program, env=env, capture_output=True, check=True)
    assert raw.stdout == b"\xff\xfe"


async def test_retry(command: Command, backend: Backend, topics: Topics, database: str) -> None:
    done = command("retry", "2:0")
    assert (done.returncode, done.stdout) == (0, "2:0  appended at 2:1\n")
    (record,) = log_of(backend, topics, 2, 1)
    assert (record.key, record.value) == (TASK_KEY, KNOWN_NOW)
    assert record.headers == (("retry-of", f"{topics.events}/2/0".encode()),)
    await project(settings_of(backend.kafka, database, topics), {2: 2})
    assert [row["task_id"] for row in await rows(database, "tasks")] == [TASK]
    assert len(json.loads(command("list", "--output", "json").stdout)) == 4  # it stays


async def test_retry_of_what_is_still_no_event(command: Command, backend: Backend, topics: Topics) -> None:
    done = command("retry", "1:0", "2:0")
    assert (done.returncode, done.stdout) == (65, "2:0  appended at 2:1\n")
    assert "1:0 cannot be projected" in done.stderr
    assert "Nothing was appended" in done.stderr
    assert log_of(backend, topics, 1, 2) == []


async def test_retry_of_all(command: Command) -> None:
    done = command("retry", "--all")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["2:0  appended at 2:1", "1 retried, 3 left: they still cannot be projected"]
    results = json.loads(command("retry", "--all", "--output", "json").stdout)
    assert [result["appended"] for result in results] == [None, None, "2:2", None]


async def test_each_refusal_has_its_exit_code(command: Command) -> None:
    unknown = command("show", "0:99")
    assert (unknown.returncode, unknown.stdout) == (66, "")
    assert "no dead letter at 0:99" in unknown.stderr
    assert command("retry", "0:99").returncode == 66
    for nonsense in ("nonsense", "3", "3:-1", "99999999999:1", "0:99999999999999999999", "²:1"):
        assert command("show", nonsense).returncode == 64
    assert command("show", "nonsense").returncode == 64
    assert "is not a position such as 3:1042" in command("show", "nonsense").stderr
    assert command("retry").returncode == 64
    assert command("retry", "--all", "1:0").returncode == 64
    away = command("list", PULP_POSTGRES=f"host=127.0.0.1 port={free_ports(1)[0]} user=pulp password=secret-word")
    assert away.returncode == 69
    assert "Postgres does not answer" in away.stderr
    assert "secret-word" not in away.stderr


async def test_help_has_examples(command: Command) -> None:
    for arguments in ((), ("list",), ("show",), ("retry",), ("discard",)):
        assert "pulp-tasks dead-letters" in command(*arguments, "--help").stdout.split("Example", 1)[1]


async def parked(backend: Backend, topics: Topics, database: str) -> None:
    """A task that a record parks at 0:1, with two behind it; they are projected."""
    bad = RawRecord(TASK_KEY, b"{", (), 0)
    events = [RawRecord(TASK_KEY, encode(each), (), 0) for each in (accepted(TASK), started(TASK), finished(TASK))]
    producer = raw_producer.make(backend.kafka)
    await asyncio.to_thread(raw_producer.append, producer, topics.events, [events[0], bad, *events[1:]])
    await project(settings_of(backend.kafka, database, topics), {0: 4})


async def test_a_parked_task_is_told_and_discarded(
    command: Command, backend: Backend, topics: Topics, database: str
) -> None:
    await parked(backend, topics, database)
    letter = json.loads(command("list", "--output", "json").stdout)[0]
    assert [letter[name] for name in ("position", "standing", "task_id", "behind")] == ["0:1", "parks", str(TASK), 2]
    waiting = json.loads(command("list", "--task-id", str(TASK), "--output", "json").stdout)
    assert [(each["position"], each["standing"]) for each in waiting] == [
        ("0:1", "parks"),
        ("0:2", "waits"),
        ("0:3", "waits"),
    ]
    shown = command("show", "0:1").stdout.splitlines()
    assert "Standing  parks its task: 2 records wait behind it" in shown
    assert f"Task      {TASK}" in shown
    refused = command("retry", "0:1")
    assert (refused.returncode, refused.stdout) == (65, "")
    assert "discard it, and append what it should have been" in refused.stderr
    behind = command("discard", "0:2", "--yes")
    assert behind.returncode == 65
    assert "waits behind 0:1" in behind.stderr
    assert command("discard", "1:0", "--yes").returncode == 65  # it has no task
    assert command("discard", "0:1").returncode == 64  # nobody is there to answer
    dry = command("discard", "0:1", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "0:1  would be done; behind it: 2\n")
    assert log_of(backend, topics, 0, 4) == []
    done = command("discard", "0:1", "--yes", "--reason", "by a broken script")
    assert (done.returncode, done.stdout) == (0, "0:1  appended at 0:4\n")
    await project(settings_of(backend.kafka, database, topics), {0: 5})
    [row] = await rows(database, "tasks")
    assert (row["state"], row["last_offset"]) == ("successful", 3)
    act = (await rows(database, "task_events"))[-1]
    event = json.loads(act["event"])
    assert (act["type"], act["effect"]) == ("org.pulpproject.task.unparked.v1", "about a dead letter")
    assert act["actor"] == f"os:{getpass.getuser()}"
    assert event["data"] == {"action": "discard", "offset": 1, "reason": "by a broken script"}
    letters = json.loads(command("list", "--output", "json").stdout)
    assert (letters[0]["position"], letters[0]["standing"]) == ("0:1", "discarded")
    assert command("discard", "0:1", "--yes").returncode == 65  # it parks nothing any more


async def test_what_is_understood_now_is_retried_in_order(
    command: Command, backend: Backend, topics: Topics, database: str
) -> None:
    await parked(backend, topics, database)
    sound = encode(progress(TASK))
    await execute(
        database, "update generation_1.dead_letters set value = %s where partition = 0 and record_offset = 1", [sound]
    )
    retried = json.loads(command("retry", "--all", "--reason", "upgraded", "--output", "json").stdout)
    assert [(each["position"], each["appended"], each["behind"]) for each in retried] == [
        ("0:1", "0:4", 2),
        ("1:0", None, 0),
        ("1:1", None, 0),
        ("2:0", "2:1", 0),
        ("3:0", None, 0),
    ]
    await project(settings_of(backend.kafka, database, topics), {0: 5, 2: 2})
    history = [
        (row["record_offset"], row["effect"]) for row in await rows(database, "task_events") if row["partition"] == 0
    ]
    assert history == [(0, "applied"), (1, "not started"), (2, "applied"), (3, "applied"), (4, "about a dead letter")]
    assert command("list", "--task-id", str(TASK), "--output", "json").stdout == "[]\n"
