"""Wrong input to `pulp-tasks` ends in 64, 65, 69 or 78, and says what is wrong and where; it is never an unexpected
error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pulp_events import settings
from pulp_events.settings import SettingsError
from pulp_projections.conninfo import place_of

from tests.support.command import environment, pulp_tasks, shown_on_a_terminal

AWAY = {"PULP_KAFKA": "127.0.0.1:1", "PULP_POSTGRES": "host=127.0.0.1 port=1"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without an installation."""
    return environment(tmp_path, HOME=str(tmp_path), PULP_DATA=str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["topics", "describe", "\udcff"], 64, "The argument '\\udcff' is not valid UTF-8."),
        (["status", "--data", ""], 64, "An empty name is not a folder."),
        (["status", "--data", __file__], 64, "is a file"),
        (["status", "--data", "~nobody-of-this-name/x"], 64, "The home folder of '~nobody-of-this-name/x' is unknown."),
        (["status"], 69, "start it with: pulp-tasks up --data"),
        (["logs"], 69, "start a stack with: pulp-tasks up --data"),
        (["logs", "-n", "-1"], 64, "-1 is not in the range"),
        (["down"], 69, "there is nothing to stop"),
        (["down", "--timeout", "nan"], 64, "nan is not a number of seconds"),
        (["events", "tail", "--task", "../content/orphans"], 64, "is not the id of a task"),
        (["events", "tail", "--since", "soon"], 64, "5m, 2h30m, 3d ago, today, yesterday"),
        (["dead-letters", "show", "3"], 64, "is not a position such as 3:1042"),
        (["dead-letters", "retry"], 64, "Give positions, or --all."),
        (["topics", "list"], 78, "start one with pulp-tasks up, give its folder with --data or PULP_DATA, or set them"),
        (["users", "add", "jo", "--role", "admin", "--password-file", "/nowhere"], 64, "No such file or directory"),
        (["users", "remove", "jo"], 64, "add --yes"),
        (["rebuild", "--processes", "0"], 64, "0 is not in the range"),
        (["rebuild", "--activate", "status"], 64, "--activate stands alone"),
        (["up", "--data", f"{__file__}/x"], 78, "cannot be used"),
        (["up", "--temporary", "--data", "x"], 64, "exclude each other"),
        (["up", "--api-port", "70000"], 64, "70000 is not in the range"),
    ],
)
def test_wrong_words(arguments: list[str], code: int, said: str, env: dict[str, str]) -> None:
    done = pulp_tasks(*arguments, env=env)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "given",
    [
        {"PULP_KAFKA": ":abc"},
        {"PULP_KAFKA": "[::1"},
        {"PULP_KAFKA": "127.0.0.1:99999"},
        {"PULP_KAFKA": "kafka://jo:secret-word@127.0.0.1:9092"},
        {"PULP_KAFKA": "kafka://jo:secret-word,x@127.0.0.1:9092"},
        {"PULP_KAFKA": "\udcff"},
        {"PULP_KAFKA": "127.0.0.1:1", "PULP_TOPIC_PREFIX": "a b"},
        {"PULP_POSTGRES": "secret-word"},
        {"PULP_POSTGRES": "postgresql://jo:secret-word@[::1/pulp"},
        {"PULP_POSTGRES": "postgresql://jo:p@secret-word@127.0.0.1/pulp"},
        {"PULP_POSTGRES": "postgresql://jo:secret-word/x@127.0.0.1/pulp"},
        {"PULP_POSTGRES": "postgresql://jo:12/secret-word@127.0.0.1/pulp"},
        {"PULP_POSTGRES": "host=127.0.0.1 port=abc"},
        {"PULP_POSTGRES": "host=\udcff"},
    ],
)
@pytest.mark.parametrize("command", [["topics", "list"], ["users", "list"], ["processor"]])
def test_wrong_settings_are_named_without_a_password(
    given: dict[str, str], command: list[str], env: dict[str, str]
) -> None:
    done = pulp_tasks(*command, env={**env, **given})
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    assert "PULP_" in done.stderr
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize(
    "value", ["kafka", "kafka:9092", "10.0.0.1:9092, 10.0.0.2:9092", "[::1]:9092", "broker_1.example.test:1"]
)
def test_addresses_of_brokers(value: str) -> None:
    assert settings.brokers({"PULP_KAFKA": value}) == value.replace(" ", "")


@pytest.mark.parametrize(
    ("conninfo", "place"),
    [
        ("host=127.0.0.1 port=5432 dbname=pulp", "127.0.0.1:5432/pulp"),
        ("postgresql://jo:p%40ss%2F@db.example.test/pulp", "db.example.test:5432/pulp"),
        ("host=a,b port=1,2 dbname=pulp", "a,b:1,2/pulp"),
        ("host=/var/run/postgresql", "/var/run/postgresql:5432/"),
    ],
)
def test_places_of_databases(conninfo: str, place: str) -> None:
    assert place_of(conninfo) == place


def test_a_prefix_that_cannot_begin_a_topic_is_refused() -> None:
    assert settings.topic_prefix({}) == "pulp.tasks"
    for odd in ("a/b", "a b", ".", "é", "x" * 201):
        with pytest.raises(SettingsError, match="PULP_TOPIC_PREFIX"):
            settings.topic_prefix({"PULP_TOPIC_PREFIX": odd})


def test_what_is_away_is_said_with_the_next_step(env: dict[str, str]) -> None:
    done = pulp_tasks("users", "list", env={**env, **AWAY})
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
    assert "Postgres does not answer" in done.stderr
    assert "pulp-tasks status" in done.stderr


def test_a_full_disk_behind_the_output_is_said(env: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pulp_deploy", "completion", "bash"]
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == os.EX_IOERR
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_standard_output_a_command_does_its_work(env: dict[str, str]) -> None:
    script = 'exec >&-; exec "$0" -m pulp_deploy completion bash'
    done = subprocess.run(["bash", "-c", script, sys.executable], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "is_red"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_an_error_is_red_on_a_terminal(settings: dict[str, str], is_red: bool, env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pulp_deploy", "topics", "list"]
    code, shown = shown_on_a_terminal(command, env={**env, "TERM": "xterm", **settings})
    assert (code, "no stack runs on" in shown) == (os.EX_CONFIG, True)
    assert ("\x1b[31m" in shown) is is_red


def test_a_key_in_a_folder_that_there_is_not(env: dict[str, str], tmp_path: Path) -> None:
    done = pulp_tasks("subjects", "keygen", str(tmp_path / "none" / "keys"), env=env)
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"pulp-tasks: {tmp_path}/none/keys: no key can be written: No such file or directory.")
