"""`publish`: write a repository's content as a yum repository."""

import asyncio
import os
from pathlib import Path
from typing import Final

from pulp_worker import Context, OperationError, Resource, operation
from pulp_worker.fetching import patiently

from pulp_operations.arguments import PublishArguments, fencing_token
from pulp_operations.conversion import converted
from pulp_operations.publishing.errors import not_mirrorable
from pulp_operations.publishing.making import Making
from pulp_operations.publishing.progress import PublishProgress
from pulp_operations.publishing.record import PublicationPlan, Record
from pulp_operations.publishing.signing import Signer, signer
from pulp_operations.records import VersionRecord
from pulp_operations.settings import Settings
from pulp_operations.storage import telling_storage_errors
from pulp_operations.store import Store
from pulp_operations.versions import StoredVersion

_MOST_LIST_BYTES: Final = 10 * 1024 * 1024


@operation(
    "publish",
    arguments=PublishArguments,
    requires="sync",
    cancellable=False,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:publish"],
)
@telling_storage_errors
def publish(context: Context[PublishArguments]) -> object:
    """Publish the synced content as a yum repository, and check every byte of it.

    Not cancellable: a publication becomes visible whole, or not at all. Where the newest publication is what this one
    would be, and is intact, nothing is written.
    """
    repo_id = context.arguments.repo_id
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store, settings = Store(context.storage), Settings.read(os.environ)
    held = _held(context, store, token)
    progress = PublishProgress(context)
    try:
        progress.enter("package_list")
        sign = signer(settings) if context.arguments.metadata == "regenerate" else None
        making = Making(context, store, held, _plan(context, held.version, sign), progress)
        previous = _newest(store, repo_id)
        record = None if previous is None else making.is_same(previous)
        if previous is not None and record is not None:
            result = _result(record, previous, unchanged=True)
        else:
            with store.scratch() as scratch:
                record = making.make(scratch, sign, previous, settings.generations)
                progress.enter("publish_http", "publish_https")
                result = _result(record, store.save_publication(repo_id, scratch, token), unchanged=False)
    except BaseException:
        progress.fail()
        raise
    progress.finish()
    return result


def _held(context: Context[PublishArguments], store: Store, token: int) -> StoredVersion:
    """The newest version, in the present format."""
    repo_id = context.arguments.repo_id
    versions = store.versions(repo_id)
    held = versions.newest()
    if held is None:
        raise OperationError("not-synced", f"repository {repo_id!r} holds nothing: sync it first")
    with store.scratch() as scratch:
        return asyncio.run(converted(context, versions, held, scratch / "version", token))


def _newest(store: Store, repo_id: str) -> Path | None:
    link = store.publication_link(repo_id)
    return link.resolve() if link.exists() else None


def _result(record: Record, publication: Path, *, unchanged: bool) -> dict[str, object]:
    return {
        "packages": record.packages,
        "size": record.size_bytes,
        "version": record.version,
        "publication": int(publication.name),
        "unchanged": unchanged,
        "notes": record.notes,
        "notes_total": len(record.notes),
    }


def _plan(context: Context[PublishArguments], version: VersionRecord, sign: Signer | None) -> PublicationPlan:
    given = context.arguments
    if given.metadata == "mirror" and given.packages_url is not None:
        raise not_mirrorable("only some of its packages are to be published")
    return PublicationPlan(
        version=version.number,
        token=version.token,
        compression=given.compression,
        metadata=given.metadata,
        names=_wanted_names(context),
        key=b"" if sign is None else sign.public_key(),
    )


def _wanted_names(context: Context[PublishArguments]) -> list[str] | None:
    """The lines of the list, in order; None: all packages."""
    given = context.arguments
    url = given.packages_url
    if url is None:
        return None

    async def fetched() -> bytes:
        async with context.fetcher(verify_tls=given.verify_tls) as fetcher:
            return await patiently(lambda: fetcher.read(url, most_bytes=_MOST_LIST_BYTES))

    try:
        lines = asyncio.run(fetched()).decode().splitlines()
    except UnicodeDecodeError:
        raise OperationError("fetch-failed", "the list of packages is not text in UTF-8") from None
    return [line.strip() for line in lines]
