"""`publish`: write out what a repository holds, as a yum repository."""

import errno
import os
import posixpath
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context, OperationError, Resource, operation
from rpmrepo_metadata import MetadataError, RepositoryReader, RepositoryWriter

from pulp_operations.arguments import PublishArguments, fencing_token
from pulp_operations.progress import FAILED, FINISHED, IN_PROGRESS, NOT_STARTED
from pulp_operations.repomd import bad_repository, known_checksum
from pulp_operations.store import Package, Store, checksum_of

_LIST_TIMEOUT_S: Final = 300.0
_MOST_LIST_BYTES: Final = 10 * 1024 * 1024
_PARTS: Final = ("package_list", "metadata", "packages", "verification")


@operation(
    "publish",
    arguments=PublishArguments,
    requires="sync",
    cancellable=False,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:publish"],
)
def publish(context: Context[PublishArguments]) -> object:
    """Write out what was fetched, as a yum repository, and check it by reading it back.

    Not cancellable: a publication becomes visible whole, or not at all.
    """
    repo_id = context.arguments.repo_id
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store = Store(context.storage)
    held = store.repository(repo_id)
    if held is None:
        raise OperationError("not-synced", f"repository {repo_id!r} holds nothing: sync it first")
    progress = _Progress(context)
    with store.scratch() as scratch:
        try:
            progress.enter("package_list")
            names = _wanted_names(context.arguments)
            progress.enter("metadata")
            published = _write_metadata(held["folder"], scratch, names)
            progress.enter("packages")
            _link_packages(store, held["packages"], published, scratch)
            progress.enter("verification")
            size_bytes = _verify(scratch, published)
            folder = store.save_publication(repo_id, scratch, token)
        except MetadataError as error:
            progress.end(FAILED)
            raise bad_repository(f"the metadata of version {held['version']} cannot be published: {error}") from error
        except BaseException:
            progress.end(FAILED)
            raise
    progress.end(FINISHED)
    return {
        "packages": len(published),
        "size": size_bytes,
        "version": held["version"],
        "publication": int(folder.name),
    }


class _Progress:
    """The state of each part of a publish."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._states = dict.fromkeys(_PARTS, NOT_STARTED)

    def enter(self, part: str) -> None:
        self.end(FINISHED, part)

    def end(self, state: str, next_part: str | None = None) -> None:
        """What is in progress ended so; the next part begins."""
        for part, now in self._states.items():
            if part == next_part:
                self._states[part] = IN_PROGRESS
            elif now == IN_PROGRESS:
                self._states[part] = state
        parts = {part: {"state": now} for part, now in self._states.items()}
        self._context.report({"yum_distributor": parts})


def _wanted_names(given: PublishArguments) -> frozenset[str] | None:
    url = given.packages_url
    if url is None:
        return None
    import httpx  # 8 MiB of every worker, and only here needed

    content = b""
    try:
        with httpx.stream(
            "GET", url, timeout=_LIST_TIMEOUT_S, verify=given.verify_tls, follow_redirects=True
        ) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > _MOST_LIST_BYTES:
                    raise OperationError("fetch-failed", f"the list of packages has over {_MOST_LIST_BYTES} bytes")
        names = frozenset(line.strip() for line in content.decode().splitlines() if line.strip())
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeDecodeError) as error:
        raise OperationError("fetch-failed", f"the list of packages {url} cannot be fetched: {error}") from error
    return names


def _write_metadata(source: Path, folder: Path, names: frozenset[str] | None) -> dict[str, str]:
    """Write the repodata; checksum → location of each published package."""
    reader = RepositoryReader(str(source))
    packages = [package for package in reader.iter_packages() if names is None or package.name in names]
    unknown = sorted((names or frozenset()) - {package.name for package in packages})
    if unknown:
        raise OperationError(
            "unknown-packages", f"{len(unknown)} names of the list are in no package, e.g. {', '.join(unknown[:10])}"
        )
    writer = RepositoryWriter(str(folder), len({package.checksum for package in packages}))
    published: dict[str, str] = {}
    taken: set[str] = set()
    for package in packages:
        _, checksum = known_checksum(*package.checksum)
        if checksum in published:
            continue
        name = posixpath.basename(package.location_href)
        href = f"Packages/{name}"
        # Folders of the source may hold different files of one name.
        package.location_href = href if href not in taken else f"Packages/{checksum}/{name}"
        package.location_base = None
        package.time_file = int(time.time())
        writer.add_package(package)
        published[checksum] = package.location_href
        taken.add(package.location_href)
    for advisory in reader.iter_advisories():
        writer.add_advisory(advisory)
    comps = reader.read_comps()
    if comps is not None:
        writer.write_comps(comps.groups, comps.categories, comps.environments, comps.langpacks)
    writer.finish()
    return published


def _link_packages(store: Store, held: list[Package], published: Mapping[str, str], folder: Path) -> None:
    for package in held:
        href = published.get(package.checksum)
        if href is None or (folder / href).exists():
            continue
        (folder / href).parent.mkdir(parents=True, exist_ok=True)
        try:
            _link_or_copy(store.content_path(package), folder / href)
        except FileNotFoundError as error:
            raise OperationError("content-missing", f"{package.href} is not in the store: sync again") from error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
            raise
        shutil.copyfile(source, target)  # a file system without hard links, or no more of them


def _verify(folder: Path, published: Mapping[str, str]) -> int:
    """Read the publication back, every byte of it; its packages' size in bytes."""
    size_bytes, seen = 0, set()
    for package in RepositoryReader(str(folder)).iter_packages():
        algorithm, checksum = known_checksum(*package.checksum)
        path = folder / package.location_href
        if path.stat().st_size != package.size_package or checksum_of(path, algorithm) != checksum:
            raise OperationError("bad-publication", f"{package.location_href} is not what the metadata says")
        size_bytes += package.size_package
        seen.add(checksum)
    if seen != set(published):
        raise OperationError("bad-publication", "the metadata that was written lacks packages")
    return size_bytes
