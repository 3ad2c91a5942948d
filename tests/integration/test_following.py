"""Commands that print for ever do end: when their reader goes away, or somebody interrupts them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.events import TASK
from tests.support.projection import append_all
from tests.support.records import life

LIMIT_S = 60
Process = subprocess.Popen[str]


@pytest.fixture
async def events_tail(backend: Backend, topics: Topics, tmp_path: Path) -> list[str]:
    """The command that follows the events of an installation; and its environment, as `KEY=VALUE` for env."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, [(event, 1) for event in life(TASK)])
    await log.close()
    prefix = topics.events.removesuffix(".events")
    return ["env", f"PULP_KAFKA={backend.kafka}", f"PULP_TOPIC_PREFIX={prefix}", *_program("events", "tail")]


@pytest.fixture
def logs_follow(tmp_path: Path) -> list[str]:
    """The command that follows the logs of a data folder."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker.log").write_text("first\nsecond\n")
    return _program("logs", "--follow", "--data", str(tmp_path))


@pytest.fixture(params=["events_tail", "logs_follow"])
def following(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """One of them, once it has printed a line; nothing more will come."""
    with subprocess.Popen(
        request.getfixturevalue(request.param),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def test_it_ends_when_its_reader_goes_though_nothing_more_is_printed(following: Process) -> None:
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.close()
    assert following.wait(LIMIT_S) == 128 + signal.SIGPIPE
    assert following.stderr.read() == ""


def test_ctrl_c_ends_it_without_a_traceback(following: Process) -> None:
    following.send_signal(signal.SIGINT)
    assert following.wait(LIMIT_S) == 128 + signal.SIGINT
    assert following.stderr is not None
    assert following.stderr.read().strip() == ""


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pulp_deploy", *arguments]
