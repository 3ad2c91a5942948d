"""Runs schedules for a given time: `python -m tests.model --seconds 60 --seed 1`. Stops at the first broken promise."""

import argparse
import logging
import random
import time
from collections import Counter

from tests.model.simulation import simulate


def main() -> None:
    """Run one schedule for each seed from the first on; print their number and coverage."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, by the clock (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first (default: any)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # hides the workers' log: a broken schedule reports itself
    print(f"from seed {options.seed} on", flush=True)
    ends, cpu_s = time.monotonic() + options.seconds, time.process_time()
    seen: Counter[str] = Counter()
    while time.monotonic() < ends:
        schedule = simulate(options.seed + seen["schedules"])
        workers, dispatchers = schedule.witness, schedule.dispatch_witness
        seen.update(schedules=1, begun=workers.begun, windows=workers.windows, refused=workers.refused)
        seen.update(assigned=dispatchers.assigned, followed=dispatchers.followed)
        seen.update(elected=dispatchers.elected, deposed=dispatchers.refused)
    cpu_s = time.process_time() - cpu_s
    print(
        f"{seen['schedules']} schedules, {60 * seen['schedules'] / cpu_s:.0f} a minute of processor time:"
        f" {seen['assigned']} tasks assigned, {seen['followed']} of them behind another one in its slot;"
        f" {seen['begun']} operations begun;"
        f" {seen['windows']} steps of woken workers without a lease, {seen['refused']} of them refused by their token;"
        f" {seen['elected']} dispatchers elected, {seen['deposed']} statements of deposed ones refused; no promise broken"
    )


if __name__ == "__main__":
    main()
