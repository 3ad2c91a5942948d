"""The size of a run's system: chosen by the seed, unless the caller sets the number of workers."""

from random import Random
from typing import Final, NamedTuple

PROCESSORS: Final = 2
MOST_EXTRA_PROCESSORS: Final = 4
MOST_EXTRA_WORKERS: Final = 12
"""The workers that faults start in addition to the stack's."""
_SLOTS: Final = 12
"""The slots of all workers together, unless there are more workers: two cores can bear them."""
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
