"""How our sync and publish of a repository end, as a user sees it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulp_operations import publish, sync
from pulp_worker.testing import OperationOutcome, run_operation

from tests.yum.createrepo_c_reads import read
from tests.yum.shapes import Shape

REPO_ID = "zoo"
_TOKENS = {f"repository:{REPO_ID}": 1, "content_unit:orphans": 1}


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The sync, the publish after it if it succeeded, and what createrepo_c reads from the publication."""

    synced: OperationOutcome
    published: OperationOutcome | None
    storage: Path
    read: dict[str, Any] | None

    @property
    def folder(self) -> Path:
        """The publication."""
        return publication(self.storage)

    @property
    def failed(self) -> OperationOutcome | None:
        """The operation that did not succeed."""
        return next((each for each in (self.synced, self.published) if each and each.state != "successful"), None)

    @property
    def told(self) -> str:
        """Everything about it that a user may see."""
        outcomes = [each for each in (self.synced, self.published) if each]
        return "\n".join(
            f"{each.error_description} {each.traceback} {json.dumps(each.result)} {json.dumps(each.progress)}"
            for each in outcomes
        )


def publication(storage: Path) -> Path:
    """The newest publication."""
    return storage / "published" / REPO_ID


async def run_sync(storage: Path, feed: str, **options: Any) -> OperationOutcome:
    """Sync the repository from a feed."""
    return await run_operation(sync, {"repo_id": REPO_ID, "feed": feed, **options}, storage=storage, tokens=_TOKENS)


async def run_publish(storage: Path, **options: Any) -> OperationOutcome:
    """Publish the repository."""
    return await run_operation(publish, {"repo_id": REPO_ID, **options}, storage=storage, tokens=_TOKENS)


async def sync_and_publish(
    storage: Path, feed: str, options: Mapping[str, Any], publish_options: Mapping[str, Any]
) -> Ours:
    """Sync the repository from a feed, and publish it."""
    synced = await run_sync(storage, feed, **options)
    if synced.state != "successful":
        return Ours(synced=synced, published=None, storage=storage, read=None)
    published = await run_publish(storage, **publish_options)
    found = read(publication(storage)) if published.state == "successful" else None
    return Ours(synced=synced, published=published, storage=storage, read=found)


async def ours_on(shape: Shape, url: str, storage: Path) -> Ours:
    """How they end for a shape that is served at a URL."""
    return await sync_and_publish(storage, f"{url}{shape.feed}", shape.options, shape.publish_options)
