"""The errors of the archive.

PulpError
└── ArchiveError
    ├── ArchiveUnusable     its name is wrong, or a library for it is missing
    ├── ArchiveAway         its storage does not answer
    ├── ArchiveDamaged      a file is missing or altered, or it is an archive of another topic
    ├── ArchiveIncomplete   it lacks records that neither Kafka nor the history has
    ├── ArchiveInUse        another process writes it
    └── ArchiveUnwritable   a file cannot be written, as on a full disk
"""

from pulp_events.errors import PulpError


class ArchiveError(PulpError):
    """Base class of the errors of the archive."""


class ArchiveUnusable(ArchiveError):
    """The name of the archive is wrong, or a library for it is missing."""


class ArchiveAway(ArchiveError):
    """The storage of the archive does not answer."""


class ArchiveDamaged(ArchiveError):
    """A file of the archive is missing or altered, or it is an archive of another topic. `place` is the file."""

    def __init__(self, message: str, place: str, is_missing: bool = False) -> None:
        super().__init__(message, place, is_missing)  # all arguments, so that another process can unpickle it
        self.message, self.place, self.is_missing = message, place, is_missing

    def __str__(self) -> str:
        return self.message


class ArchiveIncomplete(ArchiveError):
    """The archive lacks records that are nowhere else, such as those before Kafka begins."""


class ArchiveInUse(ArchiveError):
    """Another process writes the archive."""


class ArchiveUnwritable(ArchiveError):
    """A file of the archive cannot be written. What is complete stays, and the next call goes on from there."""
