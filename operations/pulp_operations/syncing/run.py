"""The state that the steps of a sync share."""

from dataclasses import dataclass
from pathlib import Path

from pulp_worker import Context, OperationError
from pulp_worker.fetching import FetchFailed

from pulp_operations.arguments import SyncArguments
from pulp_operations.feeds import Feed, FeedDown, may_have_changed
from pulp_operations.progress import Reporting, SyncProgress
from pulp_operations.settings import Settings
from pulp_operations.store import Store
from pulp_operations.versions import StoredVersion


class RepositoryChanged(OperationError):
    """The feed has another repomd.xml now than the one that the sync began with."""

    def __init__(self) -> None:
        super().__init__("fetch-failed", "the repository changed while it was fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """One sync, which may start over: `scratch` is empty at each start."""

    context: Context[SyncArguments]
    store: Store
    settings: Settings
    feed: Feed
    progress: SyncProgress
    reporting: Reporting
    scratch: Path
    held: StoredVersion | None
    """The newest version before this sync."""

    @property
    def arguments(self) -> SyncArguments:
        """The task's arguments."""
        return self.context.arguments

    async def is_outdated(self, error: FetchFailed) -> bool:
        """Whether the fetch failed because the repository has changed. Raises `FeedDown` if no server answers."""
        if isinstance(error, FeedDown):
            raise error
        return may_have_changed(error) and await self.feed.changed()
