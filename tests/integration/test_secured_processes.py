"""Every process of an installation, each with its own login on a broker with TLS and ACLs, as an operator runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_deploy.acls import Role
from pulp_deploy.local.ports import free_ports
from pulp_events import admin
from pulp_events.kafka import Kafka
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.support.command import environment, pulp_tasks
from tests.support.secured_kafka import ADMIN, SecuredKafka, secured_kafka
from tests.support.site import PASSWORD, V3

PREFIX = "secured"
TOPICS = Topics.named(PREFIX)
USERS = {role: f"pulp-{role}" for role in Role}
GRANTS = [word for role in (*Role,) for word in (f"--{role}", f"User:{USERS[role]}")]
LIMIT_S = 60


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredKafka]:
    with secured_kafka() as secured:
        secured.add_users(*USERS.values(), "nobody")
        yield secured


@pytest.fixture
def env_of(broker: SecuredKafka, database: str, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment of a process with this user's login."""

    def env(user: str) -> dict[str, str]:
        more = {"PULP_POSTGRES": database, "PULP_TOPIC_PREFIX": PREFIX, "PULP_STORAGE": str(tmp_path / "storage")}
        return environment(tmp_path, **broker.settings(user), **more)

    return env


def done(*arguments: str, env: dict[str, str], code: int = 0) -> "subprocess.CompletedProcess[str]":
    finished = pulp_tasks(*arguments, env=env)
    assert finished.returncode == code, finished.stderr
    return finished


@contextmanager
def running(name: str, env: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """One of our processes; it ends in good order when asked."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "pulp_deploy", name], env=env, stdout=log, stderr=log)
    try:
        yield process
        assert process.poll() is None, (folder / f"{name}.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_S)


def until(condition: Callable[[], Any], what: str) -> Any:
    ends = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < ends, what
        time.sleep(0.1)
    return found


def test_every_process_works_with_its_rights_alone(
    broker: SecuredKafka, env_of: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    operator, reader, processor = (env_of(USERS[role]) for role in (Role.OPERATOR, Role.READER, Role.PROCESSOR))
    refused = done("topics", "create", env=operator, code=os.EX_NOPERM)
    assert "pulp-tasks topics acls" in refused.stderr
    tried = done("topics", "acls", *GRANTS, "--apply", "--dry-run", "--output", "json", env=env_of(ADMIN))
    assert {rule["state"] for rule in json.loads(tried.stdout)} == {"missing"}
    granted = done("topics", "acls", *GRANTS, "--apply", "--output", "json", env=env_of(ADMIN))
    assert {rule["state"] for rule in json.loads(granted.stdout)} == {"added"}
    again = done("topics", "acls", *GRANTS, "--apply", "--output", "json", env=env_of(ADMIN))
    assert {rule["state"] for rule in json.loads(again.stdout)} == {"exists"}
    done("topics", "create", "--partitions", "4", env=operator)
    assert done("topics", "mend", env=operator).stdout == "nothing to mend\n"
    (tmp_path / "password").write_text(PASSWORD)
    done("users", "add", "admin", "--role", "admin", "--password-file", str(tmp_path / "password"), env=operator)
    done("audit", "list", env=operator)
    [port] = free_ports(1)
    with ExitStack() as stack:
        api = {**env_of(USERS[Role.API]), "PULP_API_PORT": str(port)}
        stack.enter_context(running("api", api, tmp_path))
        stack.enter_context(running("processor", processor, tmp_path))
        stack.enter_context(running("worker", env_of(USERS[Role.WORKER]), tmp_path))
        client = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", auth=("admin", PASSWORD), trust_env=False, timeout=LIMIT_S
            )
        )
        until(lambda: answers(client), "the API answers")
        until(lambda: client.get(f"{V3}/operations/").text.count("remove-orphans"), "the worker is there")
        submitted = client.post(f"{V3}/tasks/", json={"operation": "remove-orphans"})
        assert submitted.status_code == 202, submitted.text
        task = submitted.json()["task"]
        until(lambda: is_completed(client, task), "the task has run")
        with client.stream("GET", f"{V3}/events/") as events:
            assert events.status_code == 200
        poison = RawRecord(b"k", b"no event", (), 0)
        raw_producer.append(raw_producer.make(Kafka(broker.bootstrap, broker.operator)), TOPICS.events, [poison])
        until(lambda: is_sent(operator), "the dead letter is in its topic")
        done("dead-letters", "retry", "--all", env=operator)
        done("verify", env=processor)
        done("verify", "--processes", "2", env=reader)
        assert "remove-orphans" in done("events", "tail", "--no-follow", env=reader).stdout
        done("rebuild", "--activate", env=processor)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get(f"{V3}/readyz/").status_code == 200
    except httpx.TransportError:
        return False


def is_completed(client: httpx.Client, task: str) -> bool:
    answer = client.get(task)
    if answer.status_code == 404:
        return False  # its submission has not been projected yet
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] not in ("failed", "canceled"), answer.text
    return bool(answer.json()["state"] == "completed")


def is_sent(env: dict[str, str]) -> bool:
    letters = json.loads(done("dead-letters", "list", "--output", "json", env=env).stdout)
    return bool(letters) and all(letter["sent"] for letter in letters)


@pytest.mark.parametrize("name", ["api", "processor", "worker"])
def test_a_process_whose_login_is_refused_ends_at_once_with_words(
    name: str, env_of: Callable[[str], dict[str, str]]
) -> None:
    env = {**env_of(USERS[Role.API]), "PULP_KAFKA_PASSWORD": "not-this-one"}
    refused = done(name, env=env, code=os.EX_NOPERM)
    assert "refuses the login 'pulp-api' (PULP_KAFKA_USERNAME)" in refused.stderr
    assert "not-this-one" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("name", ["api", "processor", "worker"])
def test_a_process_without_rights_is_told_which_command_gives_them(
    name: str, broker: SecuredKafka, env_of: Callable[[str], dict[str, str]]
) -> None:
    refused = done(name, env=env_of("nobody"), code=os.EX_NOPERM)
    assert "pulp-tasks topics acls lists what each process needs" in refused.stderr


def test_a_processor_without_its_group_ends_with_words(
    broker: SecuredKafka, env_of: Callable[[str], dict[str, str]]
) -> None:
    given = ["--reader", "User:nobody", "--worker", "User:nobody"]  # all but the group
    done("topics", "acls", *given, "--apply", env=env_of(ADMIN))
    admin.create_topics(Kafka(broker.bootstrap, broker.operator), TOPICS, partitions=4, replication=1)
    refused = done("processor", env=env_of("nobody"), code=os.EX_NOPERM)
    assert "secured.events.processor" in refused.stderr
    assert "pulp-tasks topics acls" in refused.stderr
