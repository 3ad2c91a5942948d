"""What each exit code of `pulp-tasks` means, and which error ends with which. The numbers: `pulp_console.exits`."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from pulp_console.exits import (
    CONFIG,
    DATA,
    DENIED,
    IN_USE,
    INTERRUPTED,
    NO_INPUT,
    NO_READER,
    SOFTWARE,
    TEMPORARY,
    UNAVAILABLE,
    UNWRITABLE,
    USAGE,
)
from pulp_events.errors import PulpError

DIFFERENT: Final = 1
DANGEROUS: Final = 2

MEANINGS: Final[Mapping[int, str]] = {
    0: "yes",
    DIFFERENT: "the read model and the log differ; a record, a tile, a checkpoint or a file of the archive was altered;"
    " a check of the demonstration failed; the answer to a question is no;"
    " `doctor`: there are warnings",
    DANGEROUS: "`doctor`: there are faults",
    USAGE: "the command line is wrong, or the state of the generations does not allow the command",
    DATA: "the input is refused; more tasks would be parked than `PULP_MOST_PARKED_TASKS` allows",
    NO_INPUT: "no such dead letter, topic, or record in the log",
    UNAVAILABLE: "Kafka, Postgres or a process of the stack does not answer",
    SOFTWARE: "a fault of this program, or a process that could not be started",
    IN_USE: "another process holds the data folder, a port, a name or the generations",
    UNWRITABLE: "the output or a file cannot be written",
    TEMPORARY: "not confirmed, or cancelled by somebody: try again",
    DENIED: "Kafka refuses the login, the certificate or a right",
    CONFIG: "a setting or a data folder is wrong",
    INTERRUPTED: "Ctrl-C",
    NO_READER: "the reader of the output has gone, as after `| head -1`",
}
"""Every code that `pulp-tasks` ends with. docs/reference/exit-codes.md is made from this."""


@cache
def codes() -> Mapping[type[PulpError], int]:
    """The code of each class of errors and its subclasses, unless they have their own. Any other error: 70.

    A function, because the modules of these errors load Kafka's and Postgres's clients.
    """
    from pulp_api.errors import AddressInUse
    from pulp_archive.errors import (
        ArchiveAway,
        ArchiveDamaged,
        ArchiveIncomplete,
        ArchiveInUse,
        ArchiveUnusable,
        ArchiveUnwritable,
    )
    from pulp_events.errors import (
        AppendOutcomeUnknown,
        BadInput,
        LogRefused,
        LogUnavailable,
        PositionNotReached,
        ReadModelUnavailable,
        TopicMismatch,
        TopicNotFound,
    )
    from pulp_events.settings import SettingsError
    from pulp_processor.instance import InstanceInUse
    from pulp_processor.rebuilding.errors import (
        NotSwitched,
        RebuildCancelled,
        RebuildInterrupted,
        RebuildInUse,
        RebuildRefused,
    )
    from pulp_projections.dead_letters import DeadLetterNotFound
    from pulp_projections.writing.large_batch import TooManyParked
    from pulp_runtime.startup import DependencyAway, PreconditionFailed
    from pulp_transparency.errors import (
        FolderInUse,
        KeyFault,
        LogForked,
        NoteError,
        NotLogged,
        ProofWrong,
        RecordsFault,
        TileFault,
    )
    from pulp_worker.loading import OperationsNotLoaded
    from pulp_worker.registration import NameInUse

    from pulp_deploy.errors import (
        DataFolderCorrupt,
        DataFolderInUse,
        DataFolderUnusable,
        DeployError,
        JarMismatch,
        NotRunning,
        PortInUse,
        ProcessFailed,
    )

    return {
        ArchiveAway: UNAVAILABLE,
        ArchiveDamaged: DATA,
        ArchiveIncomplete: DATA,
        ArchiveInUse: IN_USE,
        ArchiveUnusable: CONFIG,
        ArchiveUnwritable: UNWRITABLE,
        BadInput: DATA,
        DeadLetterNotFound: NO_INPUT,
        DependencyAway: UNAVAILABLE,
        LogUnavailable: UNAVAILABLE,
        LogRefused: DENIED,
        TopicNotFound: NO_INPUT,
        AppendOutcomeUnknown: TEMPORARY,
        ReadModelUnavailable: UNAVAILABLE,
        PositionNotReached: UNAVAILABLE,
        NotRunning: UNAVAILABLE,
        NotSwitched: UNAVAILABLE,
        RebuildInterrupted: UNAVAILABLE,
        RebuildCancelled: TEMPORARY,
        RebuildRefused: USAGE,
        RebuildInUse: IN_USE,
        InstanceInUse: IN_USE,
        NameInUse: IN_USE,
        AddressInUse: IN_USE,
        DataFolderInUse: IN_USE,
        PortInUse: IN_USE,
        SettingsError: CONFIG,
        TopicMismatch: CONFIG,
        PreconditionFailed: CONFIG,
        DataFolderCorrupt: CONFIG,
        DataFolderUnusable: CONFIG,
        JarMismatch: CONFIG,
        OperationsNotLoaded: CONFIG,
        DeployError: CONFIG,
        FolderInUse: IN_USE,
        KeyFault: CONFIG,
        LogForked: DATA,
        NoteError: DATA,
        NotLogged: NO_INPUT,
        ProofWrong: DATA,
        RecordsFault: DATA,
        TileFault: DATA,
        ProcessFailed: SOFTWARE,
        TooManyParked: DATA,
    }


def exit_code(error: PulpError) -> int:
    """The exit code for an error."""
    from pulp_deploy.errors import ProcessFailed

    if isinstance(error, ProcessFailed) and error.exit_code in (USAGE, DATA, UNAVAILABLE, IN_USE, DENIED, CONFIG):
        return error.exit_code
    return next((codes()[kind] for kind in type(error).__mro__ if kind in codes()), SOFTWARE)
