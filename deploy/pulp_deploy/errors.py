"""The errors of running a stack. `exits.py` maps them to exit codes.

PulpError
└── DeployError
    ├── DataFolderInUse     another process holds the data folder
    ├── DataFolderUnusable  the data folder is not where a stack can run
    ├── NotOurs             a folder or file is another user's, open to others, or a link
    ├── PortInUse           something else listens on a port that is needed
    ├── DataFolderCorrupt   the data folder is not what `up` left there
    ├── JarMismatch         Kafka's files are not those that were released
    ├── NotRunning          there is nothing to act on
    └── ProcessFailed       a process of the stack did not start
"""

from pulp_events.errors import PulpError


class DeployError(PulpError):
    """Base class of the errors of running a stack."""


class DataFolderInUse(DeployError):
    """Another process holds the data folder; the message names it."""


class DataFolderUnusable(DeployError):
    """A stack cannot run on the data folder: it cannot be created or entered, or Kafka rejects its name."""


class NotOurs(DeployError):
    """A folder or file is another user's, or open to others, or a link; the message names it and what to do."""


class PortInUse(DeployError):
    """Something else listens on a port that the stack needs."""


class DataFolderCorrupt(DeployError):
    """The data folder lacks something or holds what belongs to another stack."""


class JarMismatch(DeployError):
    """One of Kafka's jars is missing, or its checksum is not that of the release."""


class NotRunning(DeployError):
    """No stack runs on the data folder."""


class ProcessFailed(DeployError):
    """A process ended during its start. `exit_code` is the exit code of that process."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
