"""Chooses the faults and their order by the seed."""

from collections.abc import Iterator, Sequence
from random import Random

from tests.faults.stage import Fault


def episodes(seed: int, faults: Sequence[Fault], *, alone: bool) -> Iterator[list[Fault]]:
    """Each fault alone, in random order; then endlessly two or three at once, mostly with attackers. `alone`: always
    one at a time.
    """
    random = Random(f"{seed}/episodes")
    while True:
        order = list(faults)
        random.shuffle(order)
        yield from ([fault] for fault in order)
        while not alone:
            yield _together(random, faults)


def _together(random: Random, faults: Sequence[Fault]) -> list[Fault]:
    attackers = [fault for fault in faults if fault.group == "attackers"]
    chosen: list[Fault] = [random.choice(attackers)] if attackers and random.random() < 0.7 else []
    wanted = len(chosen) + random.choice([1, 2, 2, 3])
    for fault in random.sample(list(faults), len(faults)):
        if len(chosen) < wanted and fault.group not in {each.group for each in chosen}:
            chosen.append(fault)
    return chosen
