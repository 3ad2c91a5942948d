"""Plans the load by a seed alone: the n-th task of a seed is the same in every run."""

from random import Random
from typing import Any, Final, NamedTuple

RESOURCES: Final = 6
MIX: Final = {
    **{"faults-async": 40, "faults-plain": 16, "faults-stubborn": 12, "faults-fail": 8},
    **{"faults-crash": 6, "faults-hang": 4, "faults-flaky": 8},
}
"""Operation → its share."""


class Planned(NamedTuple):
    """One task of the load, and its client's actions."""

    number: int
    body: dict[str, Any]
    """The submission; `parent` and `depends_on` hold numbers of earlier tasks."""
    parent: int | None
    depends_on: tuple[int, ...]
    is_keyed: bool
    """Submitted with an Idempotency-Key, and repeated until the answer is known."""
    cancel_after_s: float | None
    dialect: str
    """The dialect of the cancel request: `v2` or `v3`."""
    reads: int
    pause_s: float


def planned(seed: int, number: int) -> Planned:
    """The task of this number."""
    random = Random(f"{seed}/{number}")
    [operation] = random.choices(list(MIX), list(MIX.values()))
    modes = _modes(random)
    is_heavy = random.random() < 0.1
    arguments = {
        "number": number,
        "seed": seed,
        "steps": random.choice([1, 2, 5, 10, 20, 40]),
        "reports": 20 if is_heavy else 1,
        "modes": modes,
    }
    body: dict[str, Any] = {
        "operation": operation,
        "arguments": arguments,
        "resources": [
            {"type": key.split(":")[0], "id": key.split(":")[1], "access": access} for key, access in modes.items()
        ],
        "tags": [f"number:{number}"],
        "priority": random.choice([0, 0, 0, 5, -5]),
    }
    if operation == "faults-hang":
        body["timeout_seconds"] = random.choice([2, 4])
    if operation == "faults-flaky" or random.random() < 0.2:
        body["retry"] = {
            **{"retries": random.choice([1, 2, 5]), "backoff_seconds": random.choice([0.1, 1.0])},
            "max_backoff_seconds": random.choice([0.5, 4.0]),
        }
    if random.random() < 0.05:
        body["deadline_seconds"] = random.choice([5, 30])
    is_child = number > 5 and random.random() < 0.15
    return Planned(
        number=number,
        body=body,
        parent=number - random.randint(1, 5) if is_child else None,
        depends_on=(number - random.randint(1, 5),) if number > 5 and random.random() < 0.1 else (),
        is_keyed=random.random() < 0.6,
        cancel_after_s=random.choice([0.0, 0.05, 0.3, 1.0, 3.0]) if random.random() < 0.3 else None,
        dialect=random.choice(["v2", "v3"]),
        reads=random.choice([0, 1, 1, 3]),
        pause_s=random.expovariate(1 / 0.4),
    )


def _modes(random: Random) -> dict[str, str]:
    names = random.sample(range(RESOURCES), random.choice([0, 1, 1, 1, 1, 2]))
    return {f"repository:r{name}": random.choice(["exclusive", "exclusive", "shared"]) for name in names}
