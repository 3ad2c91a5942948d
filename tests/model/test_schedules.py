"""Several workers, a reactor or two and a projector, in thousands of orders: claims, heartbeats, cancels and lost races."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model.replay import Replay
from tests.model.simulation import Simulation, simulate
from tests.model.witness import Witness

ROOT = Path(__file__).parents[2]
SEEDS = range(20261124, 20261124 + 200)


def test_no_schedule_breaks_a_promise() -> None:
    done = [simulate(seed) for seed in SEEDS]
    # They are worth something only if what they are about has happened in them.
    assert sum(schedule.witness.begun for schedule in done) > len(SEEDS)
    assert sum(schedule.witness.windows for schedule in done) > 0
    assert sum(schedule.witness.refused for schedule in done) > 0


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


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_what_a_schedule_does_to_the_tables_it_does_on_postgres(database: str, seed: int) -> None:
    """So the tables in memory keep the contract of the SQL, in just those situations that schedules come into."""
    async with Replay(database) as replay:
        for number, (now_s, name, arguments, result) in enumerate(simulate_on_another_loop(seed).doors.trace):
            try:
                await replay.step(now_s, name, arguments, result)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, step {number}, {name} at {now_s:.3f} s: {error}") from error
        replay.check_tokens()


def simulate_on_another_loop(seed: int) -> Simulation:
    """From a test that runs on a loop itself."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(simulate, seed).result()
