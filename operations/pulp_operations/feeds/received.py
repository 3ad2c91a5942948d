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


class FeedDown(FetchFailed):
    """No server of the feed answers any more (`fetch-failed`): a sync ends, and does not ask for the next package."""
