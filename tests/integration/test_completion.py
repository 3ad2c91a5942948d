"""Completion for `pulp-tasks`: words, and values that only the installation knows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pulp_deploy.local.ports import free_ports
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.events import TASK
from tests.support.projection import append_all, execute, project, settings_of
from tests.support.records import life

Completed = Callable[[str], list[str]]


def completed(line: str, env: dict[str, str]) -> list[str]:
    """The completions of the last word of a line; nothing else may be printed."""
    asked = {"_PULP_TASKS_COMPLETE": "bash_complete", "COMP_WORDS": line}
    command = [sys.executable, "-m", "pulp_deploy"]
    done = subprocess.run(command, env={**env, **asked}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


@pytest.fixture
async def env(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> dict[str, str]:
    """An installation with a task, a dead letter and two users."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, [(event, 1) for event in life(TASK)])
    raw_producer.append(raw_producer.make(backend.kafka), topics.events, [RawRecord(b"k", b"odd", (), 2)])
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    await execute(
        database, "insert into users (name, password_hash, role) values ('jo', '', 'admin'), ('kim', '', 'viewer')"
    )
    prefix = topics.events.removesuffix(".events")
    return environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)


async def test_values_of_the_installation(env: dict[str, str], topics: Topics) -> None:
    assert completed("pulp-tasks users remove ", env) == ["jo", "kim"]
    assert completed("pulp-tasks users password k", env) == ["kim"]
    assert completed("pulp-tasks topics describe ", env) == list(topics)
    assert completed("pulp-tasks dead-letters show ", env) == ["2:0"]
    assert completed("pulp-tasks dead-letters retry 2:0 ", env) == ["2:0"]
    assert completed("pulp-tasks events tail --task ", env) == [str(TASK)]
    assert completed("pulp-tasks rebuild verify --accept tasks.work", env) == ["tasks.worker"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pulp-tasks sta", ["status", "states"]),
        ("pulp-tasks dead-letters re", ["retry"]),
        ("pulp-tasks completion ", ["bash", "zsh", "fish"]),
        ("pulp-tasks topics list --output ", ["table", "json", "yaml"]),
        ("pulp-tasks users add jo --role s", ["submitter"]),
        ("pulp-tasks rebuild prune --y", ["--yes"]),
    ],
)
def test_words(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, environment(tmp_path)) == offered


@pytest.mark.parametrize(
    "line",
    [
        "pulp-tasks users remove ",
        "pulp-tasks dead-letters show ",
        "pulp-tasks events tail --task ",
        "pulp-tasks topics describe ",
        "pulp-tasks logs ",
        "pulp-tasks logs --data /nowhere ",
    ],
)
def test_where_nothing_answers_nothing_is_offered_or_said(line: str, tmp_path: Path) -> None:
    away = f"host=127.0.0.1 port={free_ports(1)[0]} user=pulp"
    nowhere = environment(tmp_path, XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path))
    assert completed(line, {**nowhere, "PULP_POSTGRES": away, "PULP_LOG_LEVEL": "WARNING"}) in ([], _TOPICS)
    assert completed(line, {**nowhere, "PULP_POSTGRES": "no connection string"}) in ([], _TOPICS)


_TOPICS = [
    "pulp.tasks.events",
    "pulp.tasks.dead-letters",
    "pulp.tasks.audit",
    "pulp.schedules.events",
    "pulp.subscriptions.events",
    "pulp.tasks.checkpoints",
    "pulp.tasks.state",
]


def in_bash(line: str, env: dict[str, str]) -> list[str]:
    """What bash offers in place of the text after the last break of a word."""
    script = """
eval "$(pulp-tasks completion bash)"
COMP_LINE=$1 COMP_POINT=${#1}
_pulp_tasks_completion pulp-tasks
printf '%s\\n' "${COMPREPLY[@]}"
"""
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    command = ["bash", "-c", script, "bash", line]
    done = subprocess.run(command, env={**env, "PATH": path}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


async def test_bash_completes_words_that_it_breaks_at_a_colon(env: dict[str, str]) -> None:
    assert in_bash("pulp-tasks dead-letters show ", env) == ["2:0"]
    assert in_bash("pulp-tasks dead-letters show 2:", env) == ["0"]
    assert in_bash("pulp-tasks topics list --output=j", env) == ["json"]
    assert in_bash("pulp-tasks users remove j", env) == ["jo"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pulp_deploy", "completion", shell]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert f"_PULP_TASKS_COMPLETE={shell}_complete" in done.stdout
