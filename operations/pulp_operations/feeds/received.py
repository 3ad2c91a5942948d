"""What a feed gives."""

from dataclasses import dataclass
from typing import Final

from pulp_worker.fetching import FetchFailed

from pulp_operations.records import Validators


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of repomd.xml, and what asks whether it has changed since."""

    content: bytes
    validators: Validators


@dataclass(frozen=True, slots=True)
class Unchanged:
    """repomd.xml is what it was."""


ABSENT: Final = (403, 404, 410)
"""What servers answer for a file that they do not have: those that may not be listed say 403."""
UNCHANGED: Final = Unchanged()


@dataclass(frozen=True, slots=True)
class Signature:
    """`repomd.xml.asc` and `repomd.xml.key`; None where the feed has none."""

    asc: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Treeinfo:
    """The description of an installable tree, and its name in the feed: `.treeinfo` or `treeinfo`."""

    name: str
    content: bytes


class Differs(FetchFailed):
    """What came is not what the metadata says (`fetch-failed`): damaged, or of another time than the metadata."""


class FeedDown(FetchFailed):
    """No server of the feed answers any more (`fetch-failed`): a sync ends, and does not ask for the next package."""


def may_have_changed(error: FetchFailed) -> bool:
    """Whether the feed may have changed since its repomd.xml was read: then `Feed.changed` is worth asking."""
    return isinstance(error, Differs) or error.status in ABSENT
