"""`publish`: write out what a repository holds, as a yum repository."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from pulp_worker import Context, OperationError, Resource, operation
from rpmrepo_metadata import RepositoryReader, RepositoryWriter

from pulp_operations import arguments
from pulp_operations.progress import FINISHED, IN_PROGRESS, NOT_STARTED
from pulp_operations.store import Package, Store, checksum_of, switch_link

_LIST_TIMEOUT_S: Final = 300.0


@operation(
    "publish",
    cancellable=False,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:publish"],
)
def publish(context: Context) -> object:
    """Write out what was fetched, as a yum repository, and check it by reading it back.

    Arguments: `repo_id`; `packages_url`, the URL of a list of package names, one a line: only these are published (all
    without it). Not cancellable: a publication becomes visible whole, or not at all.
    """
    repo_id = arguments.text(context.arguments, "repo_id")
    store = Store(context.storage)
    held = store.repository(repo_id)
    if held is None:
        raise OperationError("not-synced", f"repository {repo_id} holds nothing: sync it first")
    states = dict.fromkeys(("package_list", "metadata", "packages", "verification"), NOT_STARTED)

    def enter(part: str) -> None:
        for earlier, state in states.items():
            states[earlier] = FINISHED if state == IN_PROGRESS else state
        if part:
            states[part] = IN_PROGRESS
        context.report({"yum_distributor": {name: {"state": state} for name, state in states.items()}})

    enter("package_list")
    names = _wanted_names(context.arguments)
    folder = store.root / "publications" / f"{repo_id.encode().hex()}-{context.attempt_id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    enter("metadata")
    published = _write_metadata(held["folder"], folder, names)
    enter("packages")
    _link_packages(store, held["packages"], published, folder)
    enter("verification")
    size_bytes = _verify(folder, published)
    link = store.publication_folder(repo_id)
    link.parent.mkdir(parents=True, exist_ok=True)
    previous = link.resolve() if link.is_symlink() else None
    switch_link(link, Path(os.path.relpath(folder, link.parent)))
    if previous is not None and previous != folder:
        shutil.rmtree(previous, ignore_errors=True)
    enter("")
    return {"packages": len(published), "size": size_bytes, "version": held["version"]}


def _wanted_names(given: Mapping[str, Any]) -> set[str] | None:
    if given.get("packages_url") is None:
        return None
    url = arguments.url(given, "packages_url")
    try:
        response = httpx.get(url, timeout=_LIST_TIMEOUT_S, follow_redirects=True)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise OperationError("fetch-failed", f"the list of packages {url} cannot be fetched: {error}") from error
    return {line.strip() for line in response.text.splitlines() if line.strip()}


def _write_metadata(source: Path, folder: Path, names: set[str] | None) -> dict[str, str]:
    """Write the repodata; checksum → location of each published package."""
    reader = RepositoryReader(str(source))
    packages = [package for package in reader.iter_packages() if names is None or package.name in names]
    writer = RepositoryWriter(str(folder), len(packages))
    published: dict[str, str] = {}
    for package in packages:
        package.location_href = f"Packages/{package.location_href.rsplit('/', 1)[-1]}"
        package.time_file = int(time.time())
        writer.add_package(package)
        published[package.checksum[1]] = package.location_href
    for advisory in reader.iter_advisories():
        writer.add_advisory(advisory)
    comps = reader.read_comps()
    if comps is not None:
        writer.write_comps(comps.groups, comps.categories, comps.environments, comps.langpacks)
    writer.finish()
    return published


def _link_packages(store: Store, held: list[dict[str, Any]], published: Mapping[str, str], folder: Path) -> None:
    (folder / "Packages").mkdir()
    for record in held:
        package = Package(**record)
        href = published.get(package.checksum)
        if href is None:
            continue
        try:
            os.link(store.content_path(package), folder / href)
        except FileNotFoundError as error:
            raise OperationError("content-missing", f"{package.href} is not in the store: sync again") from error
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(store.content_path(package), folder / href)


def _verify(folder: Path, published: Mapping[str, str]) -> int:
    """Read the publication back, every byte of it; its packages' size in bytes."""
    size_bytes, seen = 0, set()
    for package in RepositoryReader(str(folder)).iter_packages():
        algorithm, checksum = package.checksum
        path = folder / package.location_href
        if path.stat().st_size != package.size_package or checksum_of(path, str(algorithm).lower()) != checksum:
            raise OperationError("bad-publication", f"{package.location_href} is not what the metadata says")
        size_bytes += path.stat().st_size
        seen.add(checksum)
    if seen != set(published):
        raise OperationError("bad-publication", "the metadata that was written lacks packages")
    return size_bytes
