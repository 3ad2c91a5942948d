"""A process shows by a file that it is at work; `pulp-tasks-probe` reads it for a container engine."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pulp_deploy.probe import answer
from pulp_events.declared_settings import read
from pulp_events.settings import SettingsError
from pulp_runtime import heartbeat
from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.heartbeat_file import STARTING, UP, Beat, HeartbeatFile
from pulp_runtime.installation import Installation

WANTED = {"PULP_KAFKA": "127.0.0.1:9092", "PULP_POSTGRES": "host=127.0.0.1"}


def probe(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as an engine does."""
    code = "from pulp_deploy.probe import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


def aged(path: Path, state: str, age_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat written this long ago."""
    file = HeartbeatFile(str(path))
    then = time.monotonic() - age_s
    with monkeypatch.context() as patched:
        patched.setattr("time.monotonic", lambda: then)
        file.beat(state)


def test_a_process_that_is_up_is_live_and_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    aged(path, UP, 0, monkeypatch)
    assert [probe(word, PULP_HEARTBEAT=str(path)).returncode for word in ("live", "ready")] == [0, 0]


def test_a_process_that_starts_is_live_and_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    aged(path, STARTING, 0, monkeypatch)
    assert probe("live", PULP_HEARTBEAT=str(path)).returncode == 0
    result = probe("ready", PULP_HEARTBEAT=str(path))
    assert (result.returncode, result.stderr) == (1, "pulp-tasks-probe: the process is still starting\n")


def test_a_process_whose_loop_is_stuck_is_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    aged(path, UP, 1_000, monkeypatch)
    for word in ("live", "ready"):
        result = probe(word, PULP_HEARTBEAT=str(path))
        assert result.returncode == 1
        assert "its event loop does not turn" in result.stderr


def test_a_clock_that_is_set_meanwhile_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    aged(path, UP, 0, monkeypatch)
    os.utime(path, (0, 0))
    assert answer(["live"], str(path)) == 0
    aged(path, UP, 1_000, monkeypatch)
    os.utime(path)
    assert answer(["live"], str(path)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the process has not started, or has ended"),
        (b"", "nothing has been written yet: the process has not started"),
        (b"up", "not the file of a heartbeat"),
        (b"\xff up", "not the file"),
    ],
)
def test_what_is_no_heartbeat_is_not_live(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "heartbeat"
    if content is not None:
        path.write_bytes(content)
    assert answer(["live"], str(path)) == 1
    assert said in capsys.readouterr().err


def test_a_probe_does_not_wait_for_a_pipe_or_follow_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert answer(["live"], str(tmp_path / "pipe")) == 1
    aged(tmp_path / "heartbeat", UP, 0, monkeypatch)
    (tmp_path / "link").symlink_to(tmp_path / "heartbeat")
    assert answer(["live"], str(tmp_path / "link")) == 1


@pytest.mark.parametrize(("arguments", "code"), [([], 64), (["alive"], 64), (["live", "ready"], 64), (["--help"], 0)])
def test_the_words_of_a_probe(arguments: list[str], code: int) -> None:
    result = probe(*arguments)
    assert result.returncode == code
    assert "Usage: pulp-tasks-probe live|ready" in result.stdout + result.stderr


def test_a_probe_without_a_file_says_which_setting_is_missing() -> None:
    result = probe("live")
    assert result.returncode == 78
    assert "PULP_HEARTBEAT is not set" in result.stderr


def test_a_probe_loads_nothing_but_python() -> None:
    code = "import sys; import pulp_deploy.probe; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {"pulp_deploy", "pulp_runtime"}
    assert {*loaded} >= ours
    assert not {*loaded} & {"asyncio", "click", "confluent_kafka", "dataclasses", "logging", "msgspec", "psycopg"}


async def test_the_file_says_how_far_a_process_is_while_its_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_PERIOD_S", 0.01)
    path = tmp_path / "heartbeat"
    async with Heartbeat(path) as beating:
        assert not Beat.read(str(path)).is_up
        beating.up()
        assert Beat.read(str(path)).is_up
        written = path.read_bytes()
        async with asyncio.timeout(30):
            while path.read_bytes() == written:  # noqa: ASYNC110  # a file cannot be waited for
                await asyncio.sleep(0.01)
        assert Beat.read(str(path)).is_up
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_process_that_was_killed_leaves_a_file_that_the_next_one_takes(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    HeartbeatFile(str(path)).beat(UP)
    async with Heartbeat(path):
        assert not Beat.read(str(path)).is_up


async def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("kept")
    (tmp_path / "heartbeat").symlink_to(tmp_path / "other")
    with pytest.raises(SettingsError, match="PULP_HEARTBEAT="):
        async with Heartbeat(tmp_path / "heartbeat"):
            pass
    assert (tmp_path / "other").read_text() == "kept"


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PULP_HEARTBEAT=.*/nowhere/heartbeat: the file cannot be written"):
        async with Heartbeat(tmp_path / "nowhere" / "heartbeat"):
            pass


@pytest.mark.parametrize(
    ("value", "path"), [({}, None), ({"PULP_HEARTBEAT": " "}, None), ({"PULP_HEARTBEAT": "/x"}, Path("/x"))]
)
async def test_without_the_setting_nothing_is_written(value: dict[str, str], path: Path | None) -> None:
    found = read(Installation, WANTED | value)["heartbeat"]
    assert found == path
    if found is None:
        async with Heartbeat(found) as beating:
            beating.up()
