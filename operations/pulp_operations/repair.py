"""`repair`: verify everything that is stored, and fetch damaged or missing files again."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pulp_worker import Context, OperationError, Resource, TaskCancelled, operation

from pulp_operations.arguments import RepairArguments, fencing_token
from pulp_operations.concurrently import unless_cancelled
from pulp_operations.damage import heal
from pulp_operations.progress import CANCELED, FAILED, FINISHED
from pulp_operations.records import FeedSource
from pulp_operations.repairing.mending import Mending
from pulp_operations.repairing.progress import RepairProgress
from pulp_operations.repairing.renewing import renew
from pulp_operations.repairing.stored import OwnFile, SurveyedFile, size_of
from pulp_operations.repairing.survey import Survey, count, metadata_of, published_of, versions_of
from pulp_operations.settings import Settings
from pulp_operations.storage import StorageError, check_room, telling_storage_errors
from pulp_operations.store import Store

_PUBLISH_AGAIN: Final = "publish the repository again"
_MOST_TOLD: Final = 10
"""Files that an error names; the progress names more."""


@operation(
    "repair",
    arguments=RepairArguments,
    cancellable=True,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
)
@telling_storage_errors
def repair(context: Context[RepairArguments]) -> dict[str, int]:
    """Verify everything stored for one repository or all, and fetch damaged or missing files again.

    Every byte of packages, files of trees and metadata is compared with its checksum. Publications get the repaired
    files too. Fails (`not-repaired`) if anything could not be repaired; the rest is repaired. Without a repository it
    reserves none of them, so that syncs and publishes go on meanwhile.
    """
    given, store = context.arguments, Store(context.storage)
    repo_ids = _repositories(context, store)
    progress = RepairProgress(context)
    with store.scratch() as scratch:
        work = _Repair(context, store, progress, scratch, _source(given))
        try:
            result = work.run(repo_ids)
        except BaseException as error:
            progress.end(CANCELED if isinstance(error, TaskCancelled) else FAILED)
            raise
    progress.end(FINISHED)
    return result


def _repositories(context: Context[RepairArguments], store: Store) -> list[str]:
    repo_id = context.arguments.repo_id
    if repo_id is None:
        fencing_token(context, "content_unit:orphans")
        return store.repositories()
    fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    if repo_id not in store.repositories():
        raise OperationError("not-synced", f"repository {repo_id!r} holds nothing: sync it first")
    return [repo_id]


def _source(given: RepairArguments) -> FeedSource | None:
    if given.feed is None:
        if given.credential is not None:
            raise OperationError(
                "bad-argument", "argument 'credential': it is for the argument 'feed', which is missing"
            )
        return None
    if given.repo_id is None:
        raise OperationError("bad-argument", "argument 'feed': name the repository that it is of (repo_id)")
    return FeedSource(feed=given.feed, credential=given.credential, verify_tls=given.verify_tls)


class _Repair:
    """One run. Metadata is repaired first, since it says which other files must exist."""

    def __init__(
        self,
        context: Context[RepairArguments],
        store: Store,
        progress: RepairProgress,
        scratch: Path,
        source: FeedSource | None,
    ) -> None:
        self._context, self._store, self._progress, self._scratch = context, store, progress, scratch
        self._reserve_bytes = Settings.read(os.environ).reserve_bytes
        self._mending = Mending(context, store, scratch, context.arguments.concurrency, source, progress.repaired)
        self._survey = Survey(store, progress.verified)
        self._unrepaired: list[tuple[str, str]] = []
        """Names and reasons."""
        self._lost: set[Path] = set()
        """Versions whose own files could not be written again."""

    def run(self, repo_ids: list[str]) -> dict[str, int]:
        """Returns what was found and done. Raises `OperationError` if anything could not be repaired."""
        found = self._survey.found
        versions = versions_of(self._store, repo_ids, found.unreadable)
        self._progress.expect(*count(self._store, repo_ids, versions))
        self._survey.look(metadata_of(versions))
        self._mend()
        self._survey.look_at_content([(repo_id, held) for repo_id, held in versions if held.folder not in self._lost])
        self._mend()
        heal(self._store.root)
        self._survey.look(published_of(self._store, repo_ids))
        self._tell_published()
        self._unrepaired += [("", error.description) for error in found.unreadable]
        if self._unrepaired:
            raise _not_repaired(self._unrepaired, found.damaged + found.missing + len(found.unreadable))
        return {
            "checked": found.checked,
            "size": found.checked_bytes,
            "damaged": found.damaged,
            "missing": found.missing,
            "repaired": self._progress.num_success,
        }

    def _mend(self) -> None:
        """Repair what the survey has found damaged so far."""
        bad, self._survey.found.bad = self._survey.found.bad, {}
        if not bad:
            return
        first = [items[0] for items in bad.values()]
        check_room(self._store.root, sum(map(size_of, first)), self._reserve_bytes, "the files to fetch again")
        self._progress.expect_repairs(first)
        reasons = asyncio.run(unless_cancelled(self._context, self._mending.mend(bad)))
        self._unrepaired += [(bad[path][0].name, reason) for path, reason in reasons.items()]
        asyncio.run(unless_cancelled(self._context, self._renew(bad)))

    async def _renew(self, bad: Mapping[Path, list[SurveyedFile]]) -> None:
        """Write our own files again, version by version."""
        own = [(items[0], items[0].origin) for items in bad.values()]
        versions = {origin.held.folder: (item, origin.held) for item, origin in own if isinstance(origin, OwnFile)}
        for number, (folder, (first, held)) in enumerate(versions.items()):
            reason = None
            try:
                scratch = self._scratch / f"renewed-{number}"
                await renew(self._context, self._store.versions(first.repo_id), held, scratch)
            except StorageError:
                raise
            except OperationError as error:
                reason = error.description
                self._lost.add(folder)
            for item, origin in own:
                if isinstance(origin, OwnFile) and item.folder == folder:
                    self._progress.repaired(item, reason)
                    if reason is not None:
                        self._unrepaired.append((item.name, reason))

    def _tell_published(self) -> None:
        """A damaged publication is not repaired: the next publish replaces it."""
        for item, *_ in self._survey.found.bad.values():
            self._progress.expect_repairs([item])
            self._progress.repaired(item, _PUBLISH_AGAIN)
            self._unrepaired.append((f"{item.name} of publication {item.folder.name}", _PUBLISH_AGAIN))


def _not_repaired(unrepaired: list[tuple[str, str]], bad: int) -> OperationError:
    told = [f"{name}: {reason}" if name else reason for name, reason in unrepaired[:_MOST_TOLD]]
    more = f"; and {len(unrepaired) - _MOST_TOLD} more" if len(unrepaired) > _MOST_TOLD else ""
    return OperationError(
        "not-repaired",
        f"{len(unrepaired)} of {bad} damaged or missing files could not be repaired: {'; '.join(told)}{more}. Sync the"
        " repository, if its feed has other packages now; or run repair with the argument feed, of a mirror that has"
        " them",
    )
