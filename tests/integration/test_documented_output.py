"""Every command of `pulp-tasks` that needs no local stack prints what docs/reference/output.md says. Each command is
really run."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support import documented
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import TASK
from tests.support.projection import append_all, execute, project, settings_of
from tests.support.records import life

Command = Callable[..., "CompletedProcess[str]"]
EVIL = b"rings \x07 and \x1b[31mreddens"


@pytest.fixture
async def command(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Command:
    """`pulp-tasks` in an installation with a task and a dead letter."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, [(event, 1) for event in life(TASK)])
    raw_producer.append(
        raw_producer.make(backend.kafka), topics.events, [RawRecord(b"k", EVIL, ((EVIL.decode(), b"v"),), 2)]
    )
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    prefix = topics.events.removesuffix(".events")
    env = environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)
    return lambda *arguments: pulp_tasks(*arguments, env=env)


def checked(command: Command, *arguments: str, code: int = 0) -> Any:
    """The JSON that a command prints, checked against the page; nothing else is on standard output."""
    done = command("--output", "json", *arguments)
    assert done.returncode == code, done.stderr
    value = json.loads(done.stdout)
    name = " ".join(word for word in arguments[:2] if word.isalpha() or "-" in word.strip("-"))
    documented.check(name, value)
    return value


async def test_topics(command: Command, topics: Topics) -> None:
    assert checked(command, "topics", "create", "--partitions", str(PARTITIONS)) == [
        {"name": topics.events, "created": False},
        {"name": topics.dead_letters, "created": False},
        {"name": topics.audit, "created": False},
        {"name": topics.schedules, "created": False},
        {"name": topics.subscriptions, "created": False},
        {"name": topics.checkpoints, "created": False},
        {"name": topics.states, "created": False},
    ]
    assert len(checked(command, "topics", "acls", "--worker", "User:w")) == 2
    assert checked(command, "topics", "mend") == {"changed": False, "changes": []}
    events, *_ = checked(command, "topics", "list")
    assert events == {"name": topics.events, "partitions": PARTITIONS, "records": 7}
    assert checked(command, "topics", "describe")["partitions"][1] == {"partition": 1, "begin": 0, "end": 6}


async def test_schedules(command: Command) -> None:
    asked = command("schedules", "rebuild")
    assert (asked.returncode, asked.stdout) == (64, "")
    assert checked(command, "schedules", "rebuild", "--yes") == {"emptied": True}


async def test_states(command: Command) -> None:
    asked = command("states", "rebuild")
    assert (asked.returncode, asked.stdout) == (64, "")
    assert checked(command, "states", "rebuild", "--yes") == {"started_over": True}


async def test_subscriptions(command: Command) -> None:
    asked = command("subscriptions", "rebuild")
    assert (asked.returncode, asked.stdout) == (64, "")
    assert checked(command, "subscriptions", "rebuild", "--yes") == {"emptied": True}


async def test_users(command: Command, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse battery\n")
    file = ("--password-file", str(tmp_path / "password"))
    assert checked(command, "users", "add", "jo", "--role", "Viewer", *file) == {"name": "jo", "role": "viewer"}
    assert checked(command, "users", "password", "jo", *file) == {"name": "jo"}
    changed = checked(command, "users", "role", "jo", "operator")
    assert changed == {"name": "jo", "role": "operator", "before": "viewer"}
    assert [user["name"] for user in checked(command, "users", "list")] == ["jo"]
    asked = command("users", "remove", "jo")
    assert (asked.returncode, asked.stdout) == (64, "")
    assert checked(command, "users", "remove", "jo", "--yes") == {"name": "jo"}
    assert checked(command, "users", "list") == []


async def test_quotas(command: Command, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse battery\n")
    checked(command, "users", "add", "jo", "--role", "submitter", "--password-file", str(tmp_path / "password"))
    assert checked(command, "quotas", "set", "jo", "rate=5/s", "unfinished=100") == {
        "name": "jo",
        "quota": "rate=5/s unfinished=100",
    }
    checked(command, "quotas", "set", "jo", "unfinished=none,priority=7")
    listed = checked(command, "quotas", "list")
    assert listed[-1] == {"name": "jo", "role": "submitter", "quota": "rate=5/s unfinished=none priority=7"}
    assert [each["role"] for each in listed if each["name"] is None] == [
        "viewer",
        "operator",
        "submitter",
        "auditor",
        "admin",
    ]
    assert checked(command, "quotas", "clear", "jo") == {"name": "jo", "quota": ""}
    assert checked(command, "quotas", "list")[-1]["quota"] == ""
    for wrong, told in (("rat=1/s", "did you mean 'rate'?"), ("rate=fast", "such as rate=20/s"), ("rate", "no value")):
        refused = command("quotas", "set", "jo", wrong)
        assert (refused.returncode, refused.stdout) == (65, "")
        assert told in refused.stderr
    unknown = command("quotas", "set", "nobody", "rate=1/s")
    assert (unknown.returncode, "there is no user nobody" in unknown.stderr) == (65, True)


async def test_events(command: Command) -> None:
    done = command("events", "tail", "--no-follow", "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    values = [json.loads(line) for line in done.stdout.splitlines()]
    for value in values:
        documented.check("events tail", value)
    assert sorted(value["event"] is None for value in values) == [False] * 6 + [True]
    assert command("events", "tail", "--no-follow", "--json").stdout == done.stdout
    assert list(yaml.safe_load_all(command("events", "tail", "--no-follow", "--output", "yaml").stdout)) == values


@pytest.mark.parametrize(
    "form", ["{}", " {} ", "/pulp/api/v3/tasks/{}/", "https://pulp.test/pulp/api/v2/tasks/{}/", "prn:core.task:{}"]
)
async def test_events_of_one_task(command: Command, form: str) -> None:
    found = command("events", "tail", "--no-follow", "--task", form.format(TASK))
    assert (found.returncode, len(found.stdout.splitlines())) == (0, 6), found.stderr


async def test_a_task_is_found_by_the_beginning_of_its_id(command: Command) -> None:
    assert len(command("events", "tail", "--no-follow", "--task", str(TASK)[:6]).stdout.splitlines()) == 6
    unknown = command("events", "tail", "--no-follow", "--task", "0dd0")
    assert (unknown.returncode, unknown.stdout) == (64, "")
    assert "The id of no task begins with '0dd0'" in unknown.stderr
    assert "is not the id of a task" in command("events", "tail", "--task", "../content").stderr


async def test_events_by_filter_and_from_the_cursor_of_a_line(command: Command) -> None:
    tail = ("events", "tail", "--no-follow")
    values = [json.loads(line) for line in command(*tail, "--output", "json").stdout.splitlines()]
    for number, value in enumerate(values):
        rest = command(*tail, "--output", "json", "--since", value["cursor"]).stdout.splitlines()
        assert [json.loads(line) for line in rest] == values[number + 1 :]
    assert command(*tail, "--since", "now").stdout == ""
    assert len(command(*tail, "--since", "beginning").stdout.splitlines()) == 7
    finished = [value for value in values if value["event"] and value["event"]["type"].endswith(".finished.v1")]
    assert len(command(*tail, "--operation", "sync", "--type", "finished").stdout.splitlines()) == len(finished) == 1
    assert command(*tail, "--operation", "publish").stdout == ""
    assert len(command(*tail, "--actor", "user:admin").stdout.splitlines()) == 6
    wrong = command(*tail, "--resource", "zoo")
    assert (wrong.returncode, wrong.stdout) == (64, "")
    assert "resource=zoo: TYPE:ID is expected, such as repository:zoo" in wrong.stderr


@pytest.mark.parametrize(
    "since", ["0001-01-01", "1h", "2 hours ago", "yesterday", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00"]
)
async def test_events_since_a_time_in_every_form(command: Command, since: str) -> None:
    assert len(command("events", "tail", "--no-follow", "--since", since).stdout.splitlines()) == 7


async def test_dead_letters(command: Command) -> None:
    (letter,) = checked(command, "dead-letters", "list")
    assert letter["position"] == "2:0"
    assert checked(command, "dead-letters", "show", "2:0")["value"] == EVIL.decode()
    (result,) = checked(command, "dead-letters", "retry", "2:0", code=65)
    assert result["appended"] is None
    assert checked(command, "dead-letters", "retry", "--all") == [result]
    (result,) = checked(command, "dead-letters", "discard", "2:0", "--yes", code=65)
    assert "parks no task" in result["error"]


async def test_the_read_model(command: Command, database: str) -> None:
    assert checked(command, "verify")["equal"]
    assert checked(command, "rebuild", "start") == {"generation": 2, "comparison": None, "activation": None}
    assert checked(command, "rebuild", "verify")["rows"]["tasks"] == {"live": 1, "log": 1}
    assert checked(command, "rebuild", "activate") == {"active": 2, "before": 1}
    assert checked(command, "rebuild", "rollback") == {"active": 1, "before": 2}
    assert [(each["generation"], each["status"]) for each in checked(command, "rebuild", "status")] == [
        (1, "active"),
        (2, "retired"),
    ]
    assert checked(command, "rebuild", "prune", "--yes") == {"dropped": [2]}
    await execute(database, "update generation_1.tasks set worker = 'someone'")
    refused = checked(command, "rebuild", "--activate", code=1)
    assert (refused["comparison"]["differences"], refused["activation"]) == ({"tasks.worker": 1}, None)
    assert checked(command, "rebuild", "cancel") == {"dropped": [2]}
    assert len(checked(command, "verify", code=1)["examples"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("events", "tail", "--no-follow"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "2:0"),
        ("dead-letters", "retry", "2:0"),
        ("events", "tail", "--no-follow", "--output", "json"),
        ("dead-letters", "show", "2:0", "--output", "json"),
        ("dead-letters", "show", "2:0", "--output", "yaml"),
    ],
)
async def test_no_control_character_reaches_a_terminal(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.stdout + done.stderr
    assert not set(done.stdout + done.stderr) & set("\x07\x1b")


async def test_raw_writes_the_bytes_as_they_are(command: Command) -> None:
    assert command("dead-letters", "show", "2:0", "--raw").stdout.encode() == EVIL
