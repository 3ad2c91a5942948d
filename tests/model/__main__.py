"""Schedules for as long as wanted: `python -m tests.model --seconds 60 --seed 1`. The first that breaks a promise ends it."""

import argparse
import logging
import random
import time

from tests.model.simulation import simulate


def main() -> None:
    """One schedule for each seed from the first on; how many they were, and what they have seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, by the clock (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first (default: any)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the workers' own lines: a schedule that breaks is told by itself
    print(f"from seed {options.seed} on", flush=True)
    ends, cpu_s = time.monotonic() + options.seconds, time.process_time()
    count = begun = windows = refused = 0
    while time.monotonic() < ends:
        witness = simulate(options.seed + count).witness
        count, begun = count + 1, begun + witness.begun
        windows, refused = windows + witness.windows, refused + witness.refused
    cpu_s = time.process_time() - cpu_s
    print(
        f"{count} schedules, {60 * count / cpu_s:.0f} a minute of processor time: {begun} operations begun, {windows}"
        f" steps of woken workers without a lease, {refused} of them refused by their token; no promise broken"
    )


if __name__ == "__main__":
    main()
