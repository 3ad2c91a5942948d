"""What may go wrong with generations of the read model.

RebuildError
├── RebuildInUse           another process rebuilds, compares or switches in this database
├── RebuildRefused         the generations are not in a state that allows it
├── RebuildCancelled       somebody has cancelled the rebuild while it ran
├── RebuildInterrupted     Postgres went away: what is filled stays, go on with it
└── NotSwitched            the switch could not be made now; the active generation is as it was
"""

from pulp_events.errors import PulpError


class RebuildError(PulpError):
    """Root of these."""


class RebuildInUse(RebuildError):
    """Another process rebuilds, compares or switches in this database. `holder` says which."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} works on the generations of this database: wait for it, or cancel the rebuild")
        self.holder = holder


class RebuildRefused(RebuildError):
    """The generations are not in a state that allows it; nothing was changed."""


class RebuildCancelled(RebuildError):
    """Somebody has cancelled the rebuild while it ran: its generation is gone."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self.generation = generation

    def __str__(self) -> str:
        return f"the rebuild of generation {self.generation} was cancelled"


class RebuildInterrupted(RebuildError):
    """Postgres went away. What was filled stays: go on with `resume`."""


class NotSwitched(RebuildError):
    """The switch to another generation could not be made now; the active generation is as it was."""
