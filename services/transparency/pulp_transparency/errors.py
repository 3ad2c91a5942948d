"""The errors of tamper evidence.

PulpError
└── TransparencyError
    ├── NoteError            a signed note proves nothing
    │   ├── NoteMalformed    it is not a signed note, or not a checkpoint
    │   ├── UnknownKey       no known key has signed it
    │   ├── RetiredKey       its key had been replaced before the log was so long
    │   └── SignatureWrong   a known key has not signed this text: it was altered
    ├── ProofWrong           a proof does not lead to the root of its checkpoint
    ├── NotLogged            the log does not cover the record yet, or no such record exists
    ├── TileFault            a tile is missing, damaged or altered
    ├── LogForked            the log would contradict a checkpoint that was published
    ├── RecordsFault         records cannot be compared: a file of an archive is damaged, or Kafka lacks some
    ├── KeyFault             a file of keys is missing, readable by others, or damaged
    └── FolderInUse          another process writes the folder of tiles
"""

from pulp_events.errors import PulpError


class TransparencyError(PulpError):
    """Base class of the errors of tamper evidence."""


class NoteError(TransparencyError):
    """A signed note proves nothing."""


class NoteMalformed(NoteError):
    """The text is not a signed note, or not the note of a checkpoint."""


class UnknownKey(NoteError):
    """No known key has signed the note. `signers` are the keys that have, as NAME+ID."""

    def __init__(self, message: str, signers: tuple[str, ...]) -> None:
        super().__init__(message)
        self.signers = signers


class RetiredKey(NoteError):
    """The key that signed the checkpoint was replaced before the log was that long."""


class SignatureWrong(NoteError):
    """The note names a known key, which has not signed this text: the note was altered."""


class ProofWrong(TransparencyError):
    """A proof does not lead to the root of its checkpoint."""


class NotLogged(TransparencyError):
    """The log does not cover the record yet, or no such record exists."""


class TileFault(TransparencyError):
    """A tile is missing, damaged or altered. `tile` is its path within the folder of its partition."""

    def __init__(self, message: str, tile: str) -> None:
        super().__init__(message)
        self.tile = tile


class LogForked(TransparencyError):
    """The log would contradict a checkpoint that was published, so nothing is signed."""


class RecordsFault(TransparencyError):
    """Records cannot be compared: a file of an archive is damaged, or Kafka no longer has some."""


class KeyFault(TransparencyError):
    """A file of keys is missing, readable by others, or damaged."""


class FolderInUse(TransparencyError):
    """Another process writes the folder of tiles."""
