"""The store that all workers share: packages by checksum, and what each repository holds.

content/ALGORITHM/AB/ABCDEF….rpm       one file for each package, whatever repositories hold it
content/ALGORITHM/AB/ABCDEF….file      the same for each file of an installable tree
partial/REPO/ALGORITHM-ABCDEF….part    downloads that were interrupted
repositories/REPO/versions/N/          what each sync left: see `versions`
repositories/REPO/current              symbolic link to the newest version
publications/REPO/N/                   complete yum repositories: the newest, and the one before for who still reads it
published/REPO                         symbolic link to the newest publication
fences/REPO                            the highest fencing token that has written the repository
scratch/                               what running tasks work on
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pulp_operations.fences import fenced
from pulp_operations.layout import DISCARDED, checksum_of, file_name, make_current, numbered, remove_older, repo_id_of
from pulp_operations.records import Content, StoredFile
from pulp_operations.versions import Versions

__all__ = ["Package", "Store", "checksum_of", "file_name"]


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

    def content_path(self, content: Content) -> Path:
        """Where the package, or the file of an installable tree, is once it is there."""
        suffix = "file" if isinstance(content, StoredFile) else "rpm"
        return self.root / "content" / content.algorithm / content.checksum[:2] / f"{content.checksum}.{suffix}"

    def partial_path(self, repo_id: str, content: Content) -> Path:
        """Where its download for this repository grows."""
        return self.partial_folder(repo_id) / f"{content.algorithm}-{content.checksum}.part"

    def partial_folder(self, repo_id: str) -> Path:
        """Where the downloads for this repository grow."""
        return self.root / "partial" / file_name(repo_id)

    def publication_link(self, repo_id: str) -> Path:
        """Where the newest publication is found."""
        return self.root / "published" / file_name(repo_id)

    def has(self, content: Content) -> bool:
        """Whether the package or file is there, whole."""
        try:
            return self.content_path(content).stat().st_size == content.size_bytes
        except FileNotFoundError:
            return False

    def adopt(self, content: Content, partial: Path) -> None:
        """Make a verified download the package or file."""
        path = self.content_path(content)
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
        with fenced(self.root, repo_id, token):
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
        with fenced(self.root, repo_id, token):
            folder = self.root / "publications" / file_name(repo_id)
            number = max((int(name.name) for name in numbered(folder)), default=0) + 1
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

    def versions(self, repo_id: str) -> Versions:
        """The versions of a repository."""
        return Versions(self.root, repo_id)

    def repositories(self) -> list[str]:
        """The ids of the repositories that hold something."""
        folders = sorted((self.root / "repositories").glob("*"))
        return [repo_id_of(folder.name) for folder in folders if folder.suffix != DISCARDED]

    def referenced(self) -> Iterator[Path]:
        """The files of all packages and trees that a version of a repository holds; one that several hold comes again.

        Raises `DamagedVersion`.
        """
        for repo_id in self.repositories():
            for held in self.versions(repo_id).all():
                yield from map(self.content_path, held.packages())
                yield from map(self.content_path, held.version.tree)


def _add(folder: Path, name: str, content: Path, link: Path) -> None:
    """Move `content` to folder/name, point the link at it; all but this one and the one it follows are removed."""
    make_current(content, folder / name, link)
    remove_older(folder, folder / name, keep=2)
