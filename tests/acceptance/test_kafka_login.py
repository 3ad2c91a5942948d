"""The Kafka of `pulp-tasks up` asks for a login: another user of the machine can neither read nor write events."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pulp_deploy.backend import BackendOptions
from pulp_deploy.stack import Stack, StackOptions
from pulp_events import admin, subscribe
from pulp_events.errors import LogRefused, LogUnavailable
from pulp_events.kafka import Kafka
from pulp_events.security import read
from pulp_events.settings import kafka
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.support.command import environment, pulp_tasks

TOPICS = Topics.named()
SCRAM = {"PULP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PULP_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}


def stack_on(folder: Path, *, login: bool) -> Stack:
    backend = BackendOptions(kafka_port=0, kafka_login=login, given_postgres="host=127.0.0.1")
    return Stack(StackOptions(data=folder, api_port=0, backend=backend))


def append(servers: str | Kafka, value: bytes) -> None:
    raw_producer.append(raw_producer.make(servers), TOPICS.events, [RawRecord(None, value, (), 0)])


def values(servers: Kafka) -> list[bytes | None]:
    with subscribe(servers, follow=False) as events:
        return [received.raw for received in events]


@pytest.fixture(scope="module")
def upgraded() -> Iterator[Stack]:
    """A stack with a login, on the data folder of one without a login."""
    folder = Path(tempfile.mkdtemp(prefix="pulp-tasks-test-"))  # which an account without rights may enter, too
    before = stack_on(folder, login=False)
    before.up_backend()
    try:
        admin.create_topics(before.backend.kafka, TOPICS, partitions=1, replication=1)
        append(before.backend.kafka, b"from before")
    finally:
        before.down()
    stack = stack_on(folder, login=True)
    stack.up_backend()
    yield stack
    stack.down()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def servers(upgraded: Stack) -> Kafka:
    return kafka(upgraded.service_environment())


def test_a_folder_of_a_stack_without_a_login_keeps_its_events(servers: Kafka) -> None:
    append(servers, b"from now")
    assert values(servers) == [b"from before", b"from now"]


def test_whoever_has_no_login_can_neither_read_nor_write(upgraded: Stack) -> None:
    bootstrap = upgraded.backend.kafka
    before = values(kafka(upgraded.service_environment()))
    with pytest.raises(LogUnavailable, match=r"does it ask for TLS or a login\? See PULP_KAFKA_SECURITY_PROTOCOL"):
        admin.describe(bootstrap, TOPICS.events, timeout_s=2)
    producer = raw_producer.make(bootstrap)
    producer.produce(TOPICS.events, b"forged", partition=0)
    assert producer.flush(3) == 1  # it waits without a worker
    producer.purge()
    producer.flush(0)
    assert values(kafka(upgraded.service_environment())) == before


def test_a_wrong_password_is_refused_at_once_with_words(upgraded: Stack) -> None:
    security = read({**SCRAM, "PULP_KAFKA_USERNAME": "pulp", "PULP_KAFKA_PASSWORD": "wrong"})
    with pytest.raises(LogRefused, match=r"refuses the login 'pulp' \(PULP_KAFKA_USERNAME\).*SCRAM-SHA-512") as raised:
        admin.describe(Kafka(upgraded.backend.kafka, security), TOPICS.events, timeout_s=60)
    assert "wrong" not in str(raised.value)


def test_the_controller_takes_nobody_without_a_login(upgraded: Stack) -> None:
    ports = json.loads((upgraded.folder.path / "ports.json").read_text())["kafka"]
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": f"127.0.0.1:{ports[1]}"}).list_topics(timeout=2)


def test_the_passwords_are_their_owners_alone(upgraded: Stack) -> None:
    folder = upgraded.folder.path
    secrets = [(folder / "kafka" / "login" / name).read_text().strip() for name in ("password", "broker-password")]
    holding = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if any(secret.encode() in content for secret in secrets):
            holding.append(path.name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, (
                path
            )  # its owner is this user, or the account that Kafka runs as
    assert sorted(holding) == ["broker-password", "client.properties", "password", "server.properties"]  # no log
    shown = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert not [line for line in shown if any(secret in line for secret in secrets)]


def test_a_password_file_that_was_lost_is_made_anew(upgraded: Stack, tmp_path: Path) -> None:
    folder = upgraded.folder.path
    upgraded.down()
    (folder / "kafka" / "login" / "password").unlink()
    stack = stack_on(folder, login=True)
    stack.up_backend()
    try:
        assert values(kafka(stack.service_environment()))[0] == b"from before"
        env = environment(tmp_path, **stack.service_environment())
        assert pulp_tasks("topics", "list", env=env).returncode == 0
        refused = pulp_tasks("topics", "list", env={**env, "PULP_KAFKA_USERNAME": "nobody"})
        assert refused.returncode == os.EX_NOPERM
        assert "refuses the login 'nobody' (PULP_KAFKA_USERNAME)" in refused.stderr
    finally:
        stack.down()
