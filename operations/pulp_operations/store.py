"""The store that all workers share: packages by checksum, and what each repository holds.

content/ALGORITHM/AB/ABCDEF….rpm       one file for each package, whatever repositories hold it
partial/ALGORITHM-ABCDEF….part         downloads that were interrupted
repositories/REPO/versions/N/          repository.json and the repodata that it came with
repositories/REPO/current              symbolic link to the newest version
published/REPO/                        symbolic link to the newest publication, a complete yum repository
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from pulp_worker import OperationError

CHUNK_BYTES: Final = 1024 * 1024
_ALGORITHMS: Final = {"md5", "sha1", "sha", "sha224", "sha256", "sha384", "sha512"}


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a repository: where it is there, and what it must be."""

    href: str
    algorithm: str
    checksum: str
    size_bytes: int


class Store:
    """The files under one folder. Whatever becomes visible does so whole, by a rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def content_path(self, package: Package) -> Path:
        """Where the package is, once it is there."""
        return self.root / "content" / package.algorithm / package.checksum[:2] / f"{package.checksum}.rpm"

    def partial_path(self, package: Package) -> Path:
        """Where its download grows."""
        return self.root / "partial" / f"{package.algorithm}-{package.checksum}.part"

    def has(self, package: Package) -> bool:
        """Whether the package is there, whole."""
        path = self.content_path(package)
        return path.is_file() and path.stat().st_size == package.size_bytes

    def adopt(self, package: Package, partial: Path) -> None:
        """Make a verified download the package."""
        path = self.content_path(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)

    def save_repository(self, repo_id: str, packages: Iterable[Package], repodata: Path, token: int) -> int:
        """Make a new version of what the repository holds; its number.

        Raises `OperationError` (`fenced`) if a task with a higher fencing token has written already: this one was
        taken for lost, and its resource given to another.
        """
        folder = self.root / "repositories" / _name(repo_id)
        held = self.repository(repo_id)
        if held is not None and held["token"] > token:
            raise OperationError("fenced", f"repository {repo_id} was written by a later task meanwhile")
        number = 1 if held is None else held["version"] + 1
        draft = folder / f"draft-{token}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        shutil.copytree(repodata, draft / "repodata")
        record = {"version": number, "token": token, "packages": [asdict(package) for package in packages]}
        (draft / "repository.json").write_text(json.dumps(record), encoding="utf-8")
        version = folder / "versions" / str(number)
        version.parent.mkdir(exist_ok=True)
        shutil.rmtree(version, ignore_errors=True)
        draft.rename(version)
        switch_link(folder / "current", Path("versions") / str(number))
        for old in version.parent.iterdir():
            if old.name.isdecimal() and int(old.name) < number - 1:
                shutil.rmtree(old, ignore_errors=True)
        return number

    def repository(self, repo_id: str) -> dict[str, Any] | None:
        """What the newest version holds: `version`, `token`, `packages`, `folder`; None before the first sync."""
        folder = self.root / "repositories" / _name(repo_id) / "current"
        try:
            record = json.loads((folder / "repository.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return {**cast(Mapping[str, Any], record), "folder": folder.resolve()}

    def publication_folder(self, repo_id: str) -> Path:
        """Where the newest publication is found."""
        return self.root / "published" / _name(repo_id)

    def referenced(self) -> set[Path]:
        """The files of all packages that some repository holds."""
        found: set[Path] = set()
        for record in (self.root / "repositories").glob("*/versions/*/repository.json"):
            packages = json.loads(record.read_text(encoding="utf-8"))["packages"]
            found.update(self.content_path(Package(**package)) for package in packages)
        return found


def switch_link(link: Path, target: Path) -> None:
    """Point a symbolic link at a new target, in one step."""
    draft = link.with_name(f"{link.name}.new-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


def hasher(algorithm: str) -> Any:
    """A hash object. Raises `OperationError` for an algorithm that yum repositories do not use."""
    if algorithm not in _ALGORITHMS:
        raise OperationError("bad-repository", f"unknown checksum type {algorithm!r}")
    return hashlib.new("sha1" if algorithm == "sha" else algorithm, usedforsecurity=False)


def checksum_of(path: Path, algorithm: str) -> str:
    """The checksum of a file."""
    digest = hasher(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return str(digest.hexdigest())


def _name(repo_id: str) -> str:
    return quote(repo_id, safe="").replace(".", "%2E")
