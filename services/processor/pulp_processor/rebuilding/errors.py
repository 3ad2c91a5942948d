"""The errors of rebuilding, comparing and activating generations.

RebuildError
├── RebuildInUse           another process rebuilds, compares or activates in this database
├── RebuildRefused         the generations are not in a state that allows it
├── RebuildCancelled       somebody cancelled the rebuild while it ran
├── RebuildInterrupted     Postgres went away: what is filled stays, resume it
└── NotSwitched            another generation could not be activated now; nothing has changed
"""

from pulp_events.errors import PulpError


class RebuildError(PulpError):
    """Root of the errors in this module."""


class RebuildInUse(RebuildError):
    """Another process rebuilds, compares or activates in this database. `holder` says which."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} works on the generations of this database: wait for it, or cancel the rebuild")
        self.holder = holder


class RebuildRefused(RebuildError):
    """The generations are not in a state that allows it; nothing was changed."""


class RebuildCancelled(RebuildError):
    """Somebody cancelled the rebuild while it ran: its generation was dropped."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self.generation = generation

    def __str__(self) -> str:
        return f"the rebuild of generation {self.generation} was cancelled"


class RebuildInterrupted(RebuildError):
    """Postgres went away. What is filled stays: `resume` continues from there."""


class NotSwitched(RebuildError):
    """Another generation could not be activated now; the active one has not changed."""
