"""One feed: a folder with a repodata/, a list of mirrors, or a metalink."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulp_worker import Context

from pulp_operations.feeds.received import Fetched, Signature, Treeinfo, Unchanged
from pulp_operations.records import MetadataFile, Package, StoredFile, TreeFile, Validators

if TYPE_CHECKING:
    from pulp_worker.fetching.fetcher import Fetcher


class Feed:
    """Every call raises `FetchFailed` with the reason, `FeedDown` where no server answers any more, `FetchRefused`
    where the worker's rules say so, and `LimitExceeded`. None of them tells a text of the feed that is not ordinary.

    The calls may run at the same time, after the first `repomd`. What can work the next time is tried again.
    """

    def __init__(self, context: Context[Any], fetcher: "Fetcher", url: str) -> None:
        """Asks for nothing yet. `context` reads lists of mirrors, in a process of their own."""
        self._context, self._fetcher, self._url = context, fetcher, url

    async def repomd(self, validators: Validators | None = None, checksum: str = "") -> Fetched | Unchanged:
        """repomd.xml. With the validators and the sha256 of the one before: `UNCHANGED` where it still is that one."""
        raise NotImplementedError

    async def changed(self) -> bool:
        """Whether repomd.xml is another one than `repomd` gave: then what is missing, or differs, is no fault."""
        raise NotImplementedError

    async def signature(self) -> Signature:
        """The signature of repomd.xml, and the key beside it."""
        raise NotImplementedError

    async def metadata(self, entry: MetadataFile, target: Path) -> None:
        """Fetch a file of metadata into `target`; its size and checksum are verified."""
        raise NotImplementedError

    async def package(self, package: Package, partial: Path, keep: Callable[[Path], None]) -> None:
        """Fetch a package into `partial`, and go on where an interrupted download ended.

        `keep` is called once, in a thread, with the file that is whole, verified and on the disk: it moves it away.
        """
        raise NotImplementedError

    async def treeinfo(self) -> Treeinfo | None:
        """The description of the installable tree; None where there is none."""
        raise NotImplementedError

    async def tree_file(self, file: TreeFile, partial: Path, keep: Callable[[StoredFile, Path], None]) -> StoredFile:
        """Fetch a file of the tree as `package` does. One without a checksum gets its sha256."""
        raise NotImplementedError
