"""`pulp-tasks rebuild` as an operator uses it."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, on_a_terminal, pulp_tasks, shown_on_a_terminal
from tests.support.projection import append_all, execute, project, settings_of, stories

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
async def env(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> dict[str, str]:
    """The environment of an installation with some tasks."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS))
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    return environment(
        tmp_path,
        PULP_KAFKA=backend.kafka,
        PULP_POSTGRES=database,
        PULP_TOPIC_PREFIX=topics.events.removesuffix(".events"),
    )


@pytest.fixture
def command(env: dict[str, str]) -> Command:
    """`pulp-tasks rebuild` there."""
    return lambda *arguments: pulp_tasks("rebuild", *arguments, env=env)


@pytest.fixture
def terminal_command(env: dict[str, str]) -> Callable[..., str]:
    """The same on a terminal of 80 columns; returns all that it shows."""
    return lambda *arguments: on_a_terminal("rebuild", *arguments, env=env)


def statuses(command: Command) -> list[list[str]]:
    """Generation and status of each line."""
    return [line.split()[:2] for line in command("status").stdout.splitlines()[1:]]


async def test_from_the_start_to_a_rollback(command: Command) -> None:
    events = PARTITIONS * 210
    built = command()
    assert (built.returncode, built.stdout.splitlines()[0]) == (0, "generation 2 is ready")
    assert f"100.0 %  {events} of {events} events" in built.stderr
    verified = command("verify")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "equal")
    activated = command("activate")
    assert activated.stdout == "generation 2 is active; generation 1 is kept for a rollback\n"
    assert command("rollback").stdout == "generation 1 is active again; generation 2 is kept\n"
    assert statuses(command) == [["1", "active"], ["2", "retired"]]
    asked = command("prune")
    assert (asked.returncode, asked.stdout) == (64, "")
    assert "Drop generation 2? No rollback is possible afterwards. There is no terminal" in asked.stderr
    assert statuses(command) == [["1", "active"], ["2", "retired"]]
    assert command("prune", "--yes").stdout == "dropped: 2\n"
    assert command("prune").stdout == "there is nothing to drop\n"  # so there is nothing to ask


async def test_all_in_one(command: Command) -> None:
    done = command("--activate")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "generation 2 is active; generation 1 is kept for a rollback"
    told = done.stderr.splitlines()
    assert len(told) == len(set(told))


async def test_on_a_terminal_no_line_wraps(terminal_command: Callable[..., str]) -> None:
    shown = terminal_command("--activate")
    lines = re.split(r"\r\x1b\[K|\r\n", shown)
    assert max(map(len, lines)) < 80
    assert any(re.match(r"filling  \d+\.\d %", line) for line in lines)
    assert lines[-2] == "generation 2 is active; generation 1 is kept for a rollback"


async def test_a_data_folder_may_be_named_without_a_subcommand_and_before_one(command: Command, tmp_path: Path) -> None:
    for arguments in (
        ["--data", str(tmp_path)],
        ["--data", str(tmp_path), "status"],
        ["status", "--data", str(tmp_path)],
    ):
        refused = command(*arguments)
        assert refused.returncode == 78
        assert f"no stack runs on {tmp_path}" in refused.stderr


async def test_a_difference_is_shown_and_stops_it(command: Command, database: str) -> None:
    await execute(database, "update generation_1.tasks set worker = 'someone' where accepted_offset = 0")
    shown = command("start", "--activate")
    assert shown.returncode == 1
    assert f"DIFFERENT: tasks.worker in {PARTITIONS} rows" in shown.stdout
    assert "worker is someone in the active generation" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "not equal"
    assert command("verify", "--accept", "worker").stdout.splitlines()[-1] == "equal, but for what was accepted"
    assert command("activate").returncode == 0


async def test_what_the_generations_do_not_allow_is_said(command: Command) -> None:
    def refused(*arguments: str) -> str:
        result = command(*arguments)
        assert (result.returncode, result.stdout) == (64, "")
        return result.stderr

    assert "--activate stands alone" in refused("--activate", "status")
    assert "start a rebuild" in refused("activate")
    assert "no generation to roll back to" in refused("rollback")


async def test_a_generation_that_is_not_wanted_is_dropped(command: Command) -> None:
    assert command().returncode == 0
    assert command("cancel").stdout == "generation 2: cancelled and dropped\n"


async def test_on_a_terminal_prune_asks(command: Command, env: dict[str, str]) -> None:
    def prune(answer: str) -> tuple[int, str]:
        return shown_on_a_terminal([sys.executable, "-m", "pulp_deploy", "rebuild", "prune"], env=env, typed=answer)

    assert command("--activate").returncode == 0
    code, shown = prune("n\n")
    assert code == 1
    assert "Drop generation 1? No rollback is possible afterwards. [y/N]: " in shown
    assert statuses(command) == [["1", "retired"], ["2", "active"]]
    code, shown = prune("y\n")
    assert (code, shown.rstrip().endswith("dropped: 1")) == (0, True)
