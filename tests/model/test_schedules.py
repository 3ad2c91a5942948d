"""Several workers, dispatchers and reactors, and a projector, in thousands of orders: assignments, heartbeats, cancels,
takeovers and lost races."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from pulp_processor.dispatching.tables import Deposed, Written

from tests.model.replay import Replay
from tests.model.simulation import Simulation, simulate
from tests.model.witness import Witness

ROOT = Path(__file__).parents[2]
SEEDS = range(20261124, 20261124 + 200)
SITUATIONS: Final[dict[str, Callable[[Simulation], bool]]] = {
    "a deposed dispatcher writes": lambda schedule: any(
        isinstance(written, Deposed) for _, written in writes(schedule)
    ),
    "a task has ended meanwhile": lambda schedule: any(
        isinstance(written, Written) and wanted > len(written.claimed) for wanted, written in writes(schedule)
    ),
    "tasks follow each other": lambda schedule: schedule.dispatch_witness.followed > 1,
    "a worker wakes too late": lambda schedule: schedule.witness.refused > 0,
}


def test_no_schedule_breaks_a_promise() -> None:
    done = [simulate(seed) for seed in SEEDS]
    # Schedules prove something only if the interesting situations occur in them.
    assert sum(schedule.witness.begun for schedule in done) > len(SEEDS)
    assert sum(schedule.witness.windows for schedule in done) > 0
    assert sum(schedule.witness.refused for schedule in done) > 0
    assert sum(schedule.dispatch_witness.elected for schedule in done) > len(SEEDS)
    assert sum(schedule.dispatch_witness.refused for schedule in done) > 0
    assert sum(schedule.dispatch_witness.followed for schedule in done) > 0


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_makes_the_same_schedule_again_in_any_process(hash_seed: str) -> None:
    program = "from tests.model.simulation import simulate; print(simulate(7).digest)"
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert again.stdout.strip() == simulate(7).digest


def test_a_failure_names_its_seed_and_tells_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Witness, "judge", lambda *_: pytest.fail("something is wrong"))
    with pytest.raises(AssertionError, match=r"(?s)seed 7: something is wrong.*is accepted.*calm"):
        simulate(7)


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_what_a_schedule_does_to_the_tables_it_does_on_postgres(database: str, situation: str) -> None:
    """The tables in memory must behave like the SQL in the situations that schedules reach."""
    schedule = first_with(situation)
    async with Replay(database) as replay:
        for number, call in enumerate(schedule.doors.trace):
            try:
                await replay.step(*call)
            except AssertionError as error:
                step = f"seed {schedule.seed}, step {number}, {call.name} at {call.now_s:.3f} s"
                raise AssertionError(f"{step}: {error}") from error
        await replay.check_end()


def first_with(situation: str) -> Simulation:
    """The first schedule with it. In a thread, since the test runs on a loop itself."""
    is_met = SITUATIONS[situation]
    with ThreadPoolExecutor(1) as pool:
        schedules = (pool.submit(simulate, seed).result() for seed in SEEDS)
        return next(schedule for schedule in schedules if is_met(schedule))


def writes(schedule: Simulation) -> Iterator[tuple[int, Any]]:
    """How many tasks each write of a dispatcher was to assign, and what came of it."""
    for call in schedule.doors.trace:
        if call.name == "write":
            yield sum(len(one.tasks) for one in call.arguments[2]), call.result
