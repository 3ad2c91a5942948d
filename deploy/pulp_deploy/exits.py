"""Exit codes of `pulp-tasks`, in one place (the numbers of sysexits.h)."""

from typing import Final

from pulp_events.errors import (
    AppendOutcomeUnknown,
    BadInput,
    LogUnavailable,
    PositionNotReached,
    PulpError,
    ReadModelUnavailable,
    TopicMismatch,
)
from pulp_events.settings import SettingsError
from pulp_processor.dead_letters import DeadLetterNotFound
from pulp_processor.instance import InstanceInUse
from pulp_processor.rebuild_errors import (
    NotSwitched,
    RebuildCancelled,
    RebuildInterrupted,
    RebuildInUse,
    RebuildRefused,
)
from pulp_projections.startup import DependencyAway

from pulp_deploy.errors import DataFolderCorrupt, DataFolderInUse, JarMismatch, NotRunning, PortInUse, ProcessFailed

USAGE: Final = 64
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
IN_USE: Final = 73
CONFIG: Final = 78

EXIT_CODES: Final[dict[type[PulpError], int]] = {
    BadInput: 65,
    DeadLetterNotFound: 66,
    DependencyAway: UNAVAILABLE,
    LogUnavailable: UNAVAILABLE,
    AppendOutcomeUnknown: 75,
    ReadModelUnavailable: UNAVAILABLE,
    PositionNotReached: UNAVAILABLE,
    NotRunning: UNAVAILABLE,
    NotSwitched: UNAVAILABLE,
    RebuildInterrupted: UNAVAILABLE,
    RebuildCancelled: 75,
    RebuildRefused: USAGE,
    RebuildInUse: IN_USE,
    InstanceInUse: IN_USE,
    DataFolderInUse: IN_USE,
    PortInUse: IN_USE,
    SettingsError: CONFIG,
    TopicMismatch: CONFIG,
    DataFolderCorrupt: CONFIG,
    JarMismatch: CONFIG,
}
"""By error; the nearest class of its ancestry counts. Anything else: 70."""


def exit_code(error: PulpError) -> int:
    """The exit code for an error."""
    if isinstance(error, ProcessFailed) and error.exit_code in (USAGE, 65, UNAVAILABLE, IN_USE, CONFIG):
        return error.exit_code
    if type(error).__name__ in ("NameInUse", "AddressInUse"):  # by name: their modules bring a whole process along
        return IN_USE
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return SOFTWARE
