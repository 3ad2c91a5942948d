"""`pulp-tasks rebuild` as an operator uses it."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.projection import append_all, execute, project, settings_of, stories

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
async def command(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Command:
    """`pulp-tasks rebuild` on an installation with some tasks."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS))
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    env = environment(
        tmp_path,
        PULP_KAFKA=backend.kafka,
        PULP_POSTGRES=database,
        PULP_TOPIC_PREFIX=topics.events.removesuffix(".events"),
    )
    return lambda *arguments: pulp_tasks("rebuild", *arguments, env=env)


def statuses(command: Command) -> list[list[str]]:
    """Generation and status of each line."""
    return [line.split()[:2] for line in command("status").stdout.splitlines()[1:]]


async def test_from_the_start_to_a_rollback(command: Command) -> None:
    events = PARTITIONS * 210
    built = command()
    assert (built.returncode, built.stdout.splitlines()[0]) == (0, "generation 2 is ready")
    assert f"100.0 %  {events} of {events} events" in built.stderr
    assert statuses(command) == [["1", "active"], ["2", "ready"]]
    verified = command("verify")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "equal")
    activated = command("activate")
    assert activated.stdout == "generation 2 is active; generation 1 is kept for a rollback\n"
    assert command("rollback").stdout == "generation 1 is active again; generation 2 is kept\n"
    assert command("prune").stdout == "dropped: 2\n"
    assert statuses(command) == [["1", "active"]]


async def test_all_in_one(command: Command) -> None:
    done = command("start", "--activate")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "generation 2 is active; generation 1 is kept for a rollback"


async def test_a_difference_is_shown_and_stops_it(command: Command, database: str) -> None:
    await execute(database, "update generation_1.tasks set worker = 'someone' where accepted_offset = 0")
    assert command("start", "--activate").returncode == 1
    shown = command("verify")
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

    assert "start one" in refused("cancel")
    assert "start a rebuild" in refused("activate")
    assert "no generation to roll back to" in refused("rollback")
    assert command("start").returncode == 0
    assert "generation 2 is ready (100 %)" in refused("start")
    assert "verify it first" in refused("activate")
    assert "no table of the read model has a column nonsense" in refused("verify", "--accept", "nonsense")
    assert command("cancel").stdout == "generation 2: cancelled and dropped\n"
