"""Finding the data folder of the local stack, and its Kafka."""

import json
from pathlib import Path

import pytest
from pulp_events.admin import Connection
from pulp_events.kafka import Kafka
from pulp_events.local_stack import data_folder, find_kafka, services
from pulp_events.settings import SettingsError
from pulp_events.subscription import subscribe

SERVICES = {"PULP_KAFKA": "127.0.0.1:7", "PULP_TOPIC_PREFIX": "other"}


@pytest.fixture
def running(tmp_path: Path) -> Path:
    (tmp_path / "owner.json").write_text("{}")
    (tmp_path / "services.json").write_text(json.dumps(SERVICES))
    return tmp_path


@pytest.mark.parametrize(
    ("user", "env", "folder"),
    [
        (1000, {"PULP_DATA": "/data", "XDG_DATA_HOME": "/x", "HOME": "/home/jo"}, "/data"),
        (1000, {"XDG_DATA_HOME": "/x", "HOME": "/home/jo"}, "/x/pulp-tasks"),
        (1000, {"XDG_DATA_HOME": "relative", "HOME": "/home/jo"}, "/home/jo/.local/share/pulp-tasks"),  # as XDG says
        (1000, {"HOME": "/home/jo"}, "/home/jo/.local/share/pulp-tasks"),
        (0, {"HOME": "/home/jo"}, "/var/lib/pulp-tasks"),
        (0, {"PULP_DATA": "/data"}, "/data"),
    ],
)
def test_where_the_data_is(user: int, env: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("sys.platform", "linux")
    assert data_folder(env) == Path(folder)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(SettingsError, match="name a data folder with PULP_DATA"):
        data_folder({})


def test_what_is_set_goes_before_the_local_stack(running: Path) -> None:
    env = {"PULP_DATA": str(running)}
    assert find_kafka(env) == (Kafka("127.0.0.1:7"), "other")
    assert find_kafka({**env, "PULP_KAFKA": "kafka:9092"}) == (Kafka("kafka:9092"), "pulp.tasks")


def test_without_either_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text(json.dumps(SERVICES))  # of a stack that was stopped
    with pytest.raises(SettingsError, match=rf"no local stack runs on {tmp_path}: start one with pulp-tasks up"):
        find_kafka({"PULP_DATA": str(tmp_path)})


def test_subscribe_finds_it_and_says_what_to_do(running: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def describe(connection: Connection, topic: str) -> None:
        asked.append((str(connection.kafka), topic))
        raise LookupError

    monkeypatch.setattr("pulp_events.admin.describe", describe)
    monkeypatch.delenv("PULP_KAFKA", raising=False)
    monkeypatch.setenv("PULP_DATA", str(running))
    with pytest.raises(LookupError):
        subscribe()
    with pytest.raises(LookupError):
        subscribe("given:1")
    assert asked == [("127.0.0.1:7", "other.events"), ("given:1", "pulp.tasks.events")]
    monkeypatch.setenv("PULP_DATA", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="start one with pulp-tasks up"):
        subscribe()


def test_subscribe_takes_the_login_by_its_settings_names() -> None:
    with pytest.raises(SettingsError, match="PULP_KAFKA_USER is not a setting for connecting to Kafka"):
        subscribe("given:1", security={"PULP_KAFKA_USER": "jo"})
    with pytest.raises(SettingsError, match="PULP_KAFKA_SASL_MECHANISM is not set"):
        subscribe("given:1", security={"PULP_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})


def test_a_damaged_file_is_named(running: Path) -> None:
    (running / "services.json").write_text("{")
    with pytest.raises(SettingsError, match=r"services\.json cannot be read"):
        services(running)
