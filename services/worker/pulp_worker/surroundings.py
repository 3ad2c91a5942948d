"""What surrounds all operations of a worker."""

from dataclasses import dataclass, field
from pathlib import Path

from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.guard import LoopWatch
from pulp_worker.isolation import IsolationSettings
from pulp_worker.lease import Lease
from pulp_worker.personal import Open


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a worker runs its operations with."""

    storage: Path
    """Absolute: an async operation may change the folder of the process."""
    lease: Lease
    grace_s: float
    """How long an operation may take to stop once it is asked to."""
    loop_watch: LoopWatch = field(default_factory=LoopWatch)
    """Sees whether async operations block the loop."""
    environment: tuple[str, ...] = ()
    """Variables that processes of operations get besides the usual ones."""
    fetching: FetchSettings = field(default_factory=FetchSettings)
    isolation: IsolationSettings = field(default_factory=IsolationSettings)
    open_personal: Open | None = None
    """Opens the arguments of a task that hold personal data; without it they stay encrypted."""
