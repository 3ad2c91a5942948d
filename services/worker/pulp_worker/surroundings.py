"""What surrounds all operations of a worker."""

from dataclasses import dataclass
from pathlib import Path

from pulp_worker.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a worker runs its operations with."""

    storage: Path
    """Absolute: an async operation may change the folder of the process."""
    lease: Lease
    grace_s: float
    """What is told to stop has so long for it."""
    environment: tuple[str, ...] = ()
    """Variables that processes of operations get beside the usual ones."""
