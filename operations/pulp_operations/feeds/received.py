"""The results of reading a feed."""

from dataclasses import dataclass
from typing import Final

from pulp_worker.fetching import FetchFailed

from pulp_operations.records import Validators


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of repomd.xml, and the validators by which a server recognises that it has not changed."""

    content: bytes
    validators: Validators


@dataclass(frozen=True, slots=True)
class Unchanged:
    """repomd.xml has not changed."""


ABSENT: Final = (403, 404, 410)
"""Status codes for a missing file; servers that do not allow listing answer 403."""
UNCHANGED: Final = Unchanged()


@dataclass(frozen=True, slots=True)
class Signature:
    """`repomd.xml.asc` and `repomd.xml.key`; None if the feed has none."""

    asc: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Treeinfo:
    """The description of an installable tree, and its name in the feed: `.treeinfo` or `treeinfo`."""

    name: str
    content: bytes


class Differs(FetchFailed):
    """A file does not match the metadata (`fetch-failed`): it is damaged, or of another state of the feed."""


class FeedDown(FetchFailed):
    """No server of the feed answers any more (`fetch-failed`): a sync ends, and does not ask for the next package."""


def may_have_changed(error: FetchFailed) -> bool:
    """Whether the feed may have changed since its repomd.xml was read: then `Feed.changed` is worth asking."""
    return isinstance(error, Differs) or error.status in ABSENT
