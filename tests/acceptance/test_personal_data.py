"""Personal data on a whole stack: the text is nowhere, an erasure counts everywhere, and log, proofs and rebuild stay
intact."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from pulp_deploy.stack import Stack, StackOptions
from pulp_projections.personal.master import add_master_key

from tests.acceptance.test_admin_against_the_api import ROOT, User
from tests.support import documented
from tests.support.command import environment, pulp_tasks
from tests.support.personal_operations import Invite, proof_of

GIVEN = Invite(person="Jo-Bloggs-4711", email="jo.bloggs@example.org", note="welcome")
ARGUMENTS = {"person": GIVEN.person, "email": GIVEN.email, "note": GIVEN.note}
SECRETS = (GIVEN.person, str(GIVEN.email))
REASON = "request 4711"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    keys = tmp_path_factory.mktemp("keys") / "personal"
    add_master_key(keys)
    settings = {
        "PULP_WORKER_MODULES": "tests.support.personal_operations",
        "PYTHONPATH": str(ROOT),
        "PULP_PERSONAL_KEY_FILE": str(keys),
        "PULP_API_ACCESS_LOG": "on",
        "PULP_STATE_TOPIC": "yes",
        "PULP_TRANSPARENCY_INTERVAL_S": "0.5",
        "PULP_LOG_LEVEL": "debug",
    }
    with Stack(StackOptions.throwaway(settings=settings, transparency=True)) as stack:
        yield User(stack, tmp_path_factory.mktemp("home"))


def api(user: User, method: str, path: str, **request: Any) -> Any:
    answer = httpx.request(
        method,
        f"{user.stack.url}/pulp/api/v3/{path}",
        auth=("admin", user.password),
        timeout=60,
        trust_env=False,
        **request,
    )
    assert answer.is_success, answer.text
    return answer.json()


def submit(user: User, operation: str = "invite", **more: Any) -> str:
    body = {"operation": operation, "arguments": ARGUMENTS, **more}
    return str(api(user, "POST", "tasks/", json=body)["task"].split("/")[-2])


def task_of(user: User, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api(user, "GET", f"tasks/{task_id}/", params={"wait": "60s"})
    return found


def records_of(stack: Stack) -> bytes:
    """All bytes of all records of all topics, including Kafka's internal ones."""
    kafka = stack.service_environment()["PULP_KAFKA"]
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "grep", "enable.auto.commit": False})
    topics = consumer.list_topics(timeout=20).topics
    parts = [TopicPartition(name, number) for name, each in topics.items() for number in each.partitions]
    ends = {(each.topic, each.partition): consumer.get_watermark_offsets(each, timeout=20) for each in parts}
    left = {place for place, (begin, end) in ends.items() if begin < end}
    consumer.assign([TopicPartition(topic, number, ends[topic, number][0]) for topic, number in left])
    found = bytearray()
    while left:
        for message in consumer.consume(1000, timeout=1):
            if message.error() is None:
                found += b"".join([message.key() or b"", message.value() or b"", repr(message.headers()).encode()])
        for place in list(left):
            [at] = consumer.position([TopicPartition(*place)])
            if at.offset >= ends[place][1]:
                left.discard(place)
    consumer.close()
    return bytes(found)


def rows_of(stack: Stack) -> bytes:
    """All rows of all tables, as text."""
    found = []
    with psycopg.connect(stack.service_environment()["PULP_POSTGRES"], autocommit=True) as connection:
        tables = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            found += [row[0] for row in connection.execute(f"select t::text from {table} t").fetchall()]
    return "\n".join(found).encode()


def files_with(folder: Path, texts: list[bytes]) -> list[str]:
    """The files that hold one of the texts: logs, tiles, the storage, and the files of Kafka and Postgres."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("index"))
    return [str(path) for path in files if any(text in path.read_bytes() for text in texts)]


def spellings() -> list[bytes]:
    """The secrets as bytes, in hex, and in base64 at each offset within a group of three."""
    found = []
    for text in map(str.encode, SECRETS):
        found += [text, text.hex().encode()]
        found += [base64.b64encode(b"\0" * shift + text)[4:-4] for shift in range(3)]
    return found


def check_nowhere(user: User, more: bytes) -> None:
    places = {
        "Kafka": records_of(user.stack),
        "Postgres": rows_of(user.stack),
        "outputs": more,
    }
    assert b"pulp_personal" in places["Kafka"]
    assert b"pulp_personal" in places["Postgres"]
    assert [(place, text) for place, held in places.items() for text in spellings() if text in held] == []
    assert files_with(user.stack.folder.path, spellings()) == []


def outputs_of(user: User, task_id: str, folder: Path) -> bytes:
    """What people export and pass on, and what streams send."""
    folder.mkdir()
    exported, bundle = folder / "audit.jsonl", folder / "bundle.json"
    assert user("audit", "export", "--to", str(exported)).returncode == 0
    assert user("tasks", "bundle", "--task-id", task_id, "--to", str(bundle)).returncode == 0
    assert json.loads(bundle.read_text())["task"]["arguments"]["email"] == "..."
    history = user("--output", "json", "tasks", "history", "--task-id", task_id).stdout
    listed = user("--output", "json", "audit", "list", "--limit", "1000").stdout
    stream = next(iter(user.follow(task_id)))
    assert all("pulp_personal" in text for text in (exported.read_text(), history, listed, stream))
    return (exported.read_text() + bundle.read_text() + history + listed + stream).encode()


def test_the_text_of_a_personal_argument_is_nowhere(user: User, tmp_path: Path) -> None:
    """Neither while operations get it and people see it, nor after the erasure; afterwards log, proofs and rebuild are
    intact."""
    done = [submit(user), submit(user, "invite-apart")]
    rerun = str(api(user, "POST", f"tasks/{task_ended(user, done[0])}/rerun/")["task"].split("/")[-2])
    child = submit(user, parent_task=done[1])
    for task_id in (*done, rerun, child):
        task = task_of(user, task_id)
        assert (task["state"], task["result"]) == ("completed", proof_of(GIVEN)), task["error"]
        assert task["arguments"] == ARGUMENTS
        assert task["personal"] == {"person": "shown", "email": "shown"}
    check_nowhere(user, outputs_of(user, done[0], tmp_path / "before"))

    user.stack.stop("worker")
    waiting = submit(user)
    shown = json_of(user, "subjects", "show", "--name", GIVEN.person)
    documented.check("subjects show", shown, "pulp-admin")
    assert [(each["tasks"], each["unfinished"], each["erased_at"]) for each in shown] == [(5, 1, None)]
    named = user("subjects", "erase", "--name", GIVEN.person, "--reason", f"for {GIVEN.person.lower()}", "--yes")
    assert (named.returncode, "names the person" in named.stderr) == (65, True)
    asked = user("subjects", "erase", "--name", GIVEN.person, "--reason", REASON)
    assert (asked.returncode, "Erase the personal data in 5 tasks, of which 1" in asked.stderr) == (64, True)
    [erased] = json_of(user, "subjects", "erase", "--name", GIVEN.person, "--reason", REASON, "--yes")
    assert (erased["erased_by"], erased["reason"], erased["told"]) == ("user:admin", REASON, True)
    user.stack.start("worker")
    failed = task_of(user, waiting)
    assert (failed["state"], failed["error"]["error_code"]) == ("failed", "personal-data-erased")
    assert failed["error"]["description"] == "The argument person was personal data, which was erased."
    for task_id in (*done, rerun, child):
        task = task_of(user, task_id)
        assert task["arguments"] == {**ARGUMENTS, "person": "(erased)", "email": "(erased)"}
        assert task["personal"] == {"person": "erased", "email": "erased"}
    again = json_of(user, "subjects", "erase", "--name", GIVEN.person, "--reason", "another", "--yes")
    assert again == [erased]
    documented.check("subjects erase", again, "pulp-admin")
    documented.check("subjects list", json_of(user, "subjects", "list", "--erased"), "pulp-admin")
    check_nowhere(user, outputs_of(user, done[0], tmp_path / "after"))
    check_whole(user, done[0], tmp_path)
    check_the_page(user, erased)


def check_whole(user: User, task_id: str, folder: Path) -> None:
    """Every record matches the signed log; the record that accepted the task is proved; a rebuild equals the read
    model."""
    env = environment(user.home, **user.stack.service_environment())
    data = ("--data", str(user.stack.folder.path))

    def command(*arguments: str) -> str:
        result = pulp_tasks(*arguments, *data, env=env, timeout_s=180)
        assert result.returncode == 0, (arguments, result.stderr)
        return result.stdout

    assert json.loads(command("audit", "verify", "--output", "json"))["is_intact"]
    [entry] = [
        each
        for each in json_of(user, "tasks", "history", "--task-id", task_id)
        if each["event"]["type"].endswith("accepted.v2")
    ]
    assert "pulp_personal" in json.dumps(entry)
    place = f"{entry['partition']}-{entry['offset']}"
    command("audit", "prove", place.replace("-", ":"), "--to", str(folder))
    keys = json.loads(command("audit", "keys", "--partition", str(entry["partition"]), "--output", "json"))
    checker = [sys.executable, ROOT / "examples" / "check_proof.py", "--vkey", keys[0]["vkey"]]
    checked = subprocess.run(
        [*checker, folder / f"{place}.tlog-proof", "--record", folder / f"{place}.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, "proved" in checked.stdout) == (0, True), checked.stderr
    command("rebuild")
    command("verify")


def check_the_page(user: User, erased: dict[str, Any]) -> None:
    """docs/audit.md shows what these commands print."""
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    subject = user("subjects", "show", "--name", GIVEN.person).stdout.splitlines()
    audit = pulp_tasks(
        *("audit", "list", "--kind", "subject-erased", "--data", str(user.stack.folder.path)),
        env=environment(user.home, **user.stack.service_environment()),
    ).stdout.splitlines()
    assert len(subject) == len(audit) == 2
    for head in (subject[0], audit[0]):
        assert squeezed(head) in squeezed(page)
    assert squeezed(subject[1]) == squeezed(
        f"{erased['key_id']} {erased['pulp_created'][:19]}Z 5 1 {erased['erased_at'][:19]}Z user:admin {REASON}"
    )
    assert squeezed(audit[1]).endswith(f"{erased['key_id']} 5 tasks, 1 of them unfinished: {REASON}")
    assert re.search(r"subject-erased +user:admin +127\.0\.0\.1 +1 +", audit[1])
    assert [text for text in SECRETS if text in "".join(subject + audit)] == []


def task_ended(user: User, task_id: str) -> str:
    assert task_of(user, task_id)["state"] == "completed"
    return task_id


def squeezed(text: str) -> str:
    return " ".join(text.split())


def json_of(user: User, *arguments: str) -> Any:
    result = user("--output", "json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
