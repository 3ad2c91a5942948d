"""Fetching damaged or missing files again from their sources."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context, OperationError
from pulp_worker.fetching import FetchFailed

from pulp_operations.concurrently import together
from pulp_operations.damage import relink
from pulp_operations.feeds import Feed, FeedDown, Fetched
from pulp_operations.records import FeedSource, MetadataFile, Package, StoredFile, TreeFile
from pulp_operations.repairing.stored import OwnFile, PublishedFile, SurveyedFile, TableOfContents
from pulp_operations.storage import StorageError, storage_errors
from pulp_operations.store import Store

NO_SOURCE: Final = "where it came from is not known: run the repair with the argument feed, or sync the repository"


@dataclass(slots=True)
class Mending:
    """Repairs files.

    With `source`, everything is fetched from there, instead of from where each version came from. `tell` is called for
    each file, with the reason if it could not be repaired.
    """

    context: Context[Any]
    store: Store
    scratch: Path
    connections: int
    source: FeedSource | None
    tell: Callable[[SurveyedFile, str | None], None]
    _reasons: dict[Path, str] = field(default_factory=dict)

    async def mend(self, bad: Mapping[Path, list[SurveyedFile]]) -> dict[Path, str]:
        """Fetch each file from the first of its sources that has it. Files that we have written are not fetched.

        Returns the reason for each file that is still bad. Raises `StorageError`.
        """
        left = {path: items for path, items in bad.items() if not isinstance(items[0].origin, OwnFile | PublishedFile)}
        sources = dict.fromkeys(source for items in left.values() for source in self._sources(items))
        for source in sources:
            await self._mend_from(source, left)
        for path, items in left.items():
            self._reasons.setdefault(path, NO_SOURCE)
            self.tell(items[0], self._reasons[path])
        return {path: self._reasons[path] for path in left}

    async def _mend_from(self, source: FeedSource, left: dict[Path, list[SurveyedFile]]) -> None:
        """Fetch from this source the remaining files that came from it."""
        wanted = iter([item for items in left.values() for item in items if self._source(item) == source])

        async def mend(feed: Feed, received: Fetched) -> None:
            for item in wanted:
                if item.path not in left:
                    continue  # another version has fetched it meanwhile
                try:
                    await self._fetch(feed, received, item)
                except (FeedDown, StorageError):
                    raise
                except OperationError as error:
                    self._reasons[item.path] = error.description
                else:
                    del left[item.path]
                    self.tell(item, None)

        try:
            async with self.context.fetcher(
                connections=self.connections, verify_tls=source.verify_tls, credential=source.credential
            ) as fetcher:
                feed = Feed(self.context, fetcher, source.feed)
                received = await feed.repomd()
                assert isinstance(received, Fetched)  # the request had no validators to compare with
                await together(mend(feed, received) for _ in range(self.connections))
        except StorageError:
            raise
        except OperationError as error:
            self._give_up((items for items in left.values() if source in self._sources(items)), error.description)

    async def _fetch(self, feed: Feed, received: Fetched, item: SurveyedFile) -> None:
        """Raises `OperationError` with the reason."""
        match item.origin:
            case Package() as package:
                partial = await asyncio.to_thread(self._partial, item.repo_id, package)
                with storage_errors(self.store.root, partial, package.size_bytes):
                    await feed.package(package, partial, lambda path: self.store.adopt(package, path))
            case StoredFile() as file:
                partial = await asyncio.to_thread(self._partial, item.repo_id, file)
                wanted = TreeFile(
                    path=file.path, algorithm=file.algorithm, checksum=file.checksum, size_bytes=file.size_bytes
                )
                await feed.tree_file(wanted, partial, lambda _, path: self.store.adopt(file, path))
            case MetadataFile() as entry:
                target = self.scratch / entry.own_name
                await feed.metadata(entry, target)
                await asyncio.to_thread(self._replace, item.path, target)
            case TableOfContents():
                if hashlib.sha256(received.content).hexdigest() != item.checksum:
                    raise FetchFailed("the feed has another repomd.xml now: sync the repository")
                target = self.scratch / "repomd.xml"
                await asyncio.to_thread(target.write_bytes, received.content)
                await asyncio.to_thread(self._replace, item.path, target)

    def _replace(self, damaged: Path, good: Path) -> None:
        """Replace the damaged file, and the links that publications have to it, by the good one."""
        damaged.parent.mkdir(parents=True, exist_ok=True)
        if damaged.is_file():
            relink(self.store.root, {damaged: good})
        good.replace(damaged)

    def _partial(self, repo_id: str, content: Package | StoredFile) -> Path:
        partial = self.store.partial_path(repo_id, content)
        partial.parent.mkdir(parents=True, exist_ok=True)
        return partial

    def _give_up(self, items: Iterable[list[SurveyedFile]], reason: str) -> None:
        for each in items:
            self._reasons.setdefault(each[0].path, reason)

    def _source(self, item: SurveyedFile) -> FeedSource | None:
        return self.source or item.source

    def _sources(self, items: Iterable[SurveyedFile]) -> list[FeedSource]:
        return [source for item in items if (source := self._source(item)) is not None]
