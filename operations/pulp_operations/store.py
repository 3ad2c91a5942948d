"""The store that all workers share: packages by checksum, and what each repository holds.

content/ALGORITHM/AB/ABCDEF….rpm       one file for each package, whatever repositories hold it
partial/REPO/ALGORITHM-ABCDEF….part    downloads that were interrupted
repositories/REPO/versions/N/          repository.json and the repodata that it came with
repositories/REPO/current              symbolic link to the newest version
publications/REPO/N/                   complete yum repositories: the newest, and the one before for who still reads it
published/REPO                         symbolic link to the newest publication
fences/REPO                            the highest fencing token that has written the repository
scratch/                               what running tasks work on
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from pulp_worker import OperationError

_CHUNK_BYTES: Final = 1024 * 1024
_MOST_NAME_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a repository: where it is there, and what it must be.

    `base_url` is what `href` is relative to; empty: the repository itself. `algorithm` is hashlib's name.
    """

    href: str
    algorithm: str
    checksum: str
    size_bytes: int
    base_url: str = ""


class Store:
    """The files under one folder. Whatever becomes visible does so whole, by a rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def content_path(self, package: Package) -> Path:
        """Where the package is, once it is there."""
        return self.root / "content" / package.algorithm / package.checksum[:2] / f"{package.checksum}.rpm"

    def partial_path(self, repo_id: str, package: Package) -> Path:
        """Where its download for this repository grows."""
        return self.root / "partial" / file_name(repo_id) / f"{package.algorithm}-{package.checksum}.part"

    def publication_link(self, repo_id: str) -> Path:
        """Where the newest publication is found."""
        return self.root / "published" / file_name(repo_id)

    def has(self, package: Package) -> bool:
        """Whether the package is there, whole."""
        try:
            return self.content_path(package).stat().st_size == package.size_bytes
        except FileNotFoundError:
            return False

    def adopt(self, package: Package, partial: Path) -> None:
        """Make a verified download the package."""
        path = self.content_path(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for one task, on the store's file system; gone afterwards."""
        parent = self.root / "scratch"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def save_repository(self, repo_id: str, packages: Iterable[Package], repodata: Path, token: int) -> int:
        """Make a new version of what the repository holds; its number. `repodata` is moved into it.

        Raises `OperationError` (`fenced`) if a task with a higher fencing token has written already: this one was
        taken for lost, and its resource given to another.
        """
        with self._fence(repo_id, token):
            folder = self.root / "repositories" / file_name(repo_id)
            held = self.repository(repo_id)
            number = 1 if held is None else held["version"] + 1
            record = {"version": number, "token": token, "packages": [asdict(package) for package in packages]}
            (repodata / "repository.json").write_text(json.dumps(record), encoding="utf-8")
            _add(folder / "versions", str(number), repodata, folder / "current")
            return number

    def save_publication(self, repo_id: str, publication: Path, token: int) -> Path:
        """Make this folder, which is moved, the newest publication of the repository; where it is then.

        Raises `OperationError` (`fenced`) as `save_repository` does.
        """
        with self._fence(repo_id, token):
            folder = self.root / "publications" / file_name(repo_id)
            number = max((int(name.name) for name in _numbered(folder)), default=0) + 1
            _add(folder, str(number), publication, self.publication_link(repo_id))
            return folder / str(number)

    def repository(self, repo_id: str) -> dict[str, Any] | None:
        """What the newest version holds: `version`, `token`, `packages`, `folder`; None before the first sync."""
        folder = self.root / "repositories" / file_name(repo_id) / "current"
        try:
            record = json.loads((folder / "repository.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        packages = [Package(**package) for package in record["packages"]]
        return {**cast(Mapping[str, Any], record), "packages": packages, "folder": folder.resolve()}

    def referenced(self) -> set[Path]:
        """The files of all packages that some version of a repository holds."""
        found: set[Path] = set()
        for record in (self.root / "repositories").glob("*/versions/*/repository.json"):
            packages = json.loads(record.read_text(encoding="utf-8"))["packages"]
            found.update(self.content_path(Package(**package)) for package in packages)
        return found

    @contextmanager
    def _fence(self, repo_id: str, token: int) -> Iterator[None]:
        """Keep others from writing the repository meanwhile, and from then on those with a lower token."""
        path = self.root / "fences" / file_name(repo_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            highest = int(file.read() or 0)
            if token < highest:
                raise OperationError(
                    "fenced",
                    f"repository {repo_id!r} was written by a later task meanwhile (fencing token {highest}, this task"
                    f" has {token}); run it again. If the database was made anew: remove {path.name!r} from the"
                    " folder 'fences' of the workers' storage",
                )
            file.seek(0)
            file.write(f"{token:020}")  # of one length, so that no crash leaves a part of a number
            file.flush()
            yield


def _add(folder: Path, name: str, content: Path, link: Path) -> None:
    """Move `content` to folder/name, point the link at it; all but this one and the one it follows are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / name, ignore_errors=True)  # left by a crash before the link was switched
    previous = link.resolve().name if link.is_symlink() else None
    content.rename(folder / name)
    draft = link.with_name(f"{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(os.path.relpath(folder / name, link.parent))
    draft.replace(link)
    for old in _numbered(folder):
        if old.name not in (name, previous):
            shutil.rmtree(old, ignore_errors=True)


def _numbered(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def checksum_of(path: Path, algorithm: str) -> str:
    """The checksum of a file; `algorithm` is hashlib's name."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def file_name(repo_id: str) -> str:
    """A file name for a repository, another for each. Raises `OperationError` if it were too long."""
    name = quote(repo_id, safe="").replace(".", "%2E")
    if len(name) > _MOST_NAME_BYTES:
        raise OperationError("bad-argument", "argument 'repo_id': too long for the name of a folder")
    return name
