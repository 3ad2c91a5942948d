"""How large the system of a run is: chosen by the seed, unless the caller says how many workers there are."""

from random import Random
from typing import Final, NamedTuple

PROCESSORS: Final = 2
MOST_EXTRA_PROCESSORS: Final = 4
MOST_EXTRA_WORKERS: Final = 12
"""Those that faults start beside the ones of the stack."""
_SLOTS: Final = 12
"""Of all workers together, unless there are more workers than that: two cores can bear them."""
_WORKERS: Final = (3, 3, 8, 32)


class Size(NamedTuple):
    """The number of workers, and of tasks that each runs at once."""

    workers: int

    @property
    def slots(self) -> int:
        """Tasks that each worker runs at once: the fewer, the more workers there are."""
        return max(1, round(_SLOTS / self.workers))


def size_of(seed: int) -> Size:
    """The size of the run with this seed."""
    return Size(Random(f"{seed}/size").choice(_WORKERS))
