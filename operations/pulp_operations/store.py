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

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pulp_operations.fences import fenced
from pulp_operations.layout import DISCARDED, file_name, make_current, numbered, remove_older, repo_id_of
from pulp_operations.records import Content, StoredFile
from pulp_operations.storage import storage_errors
from pulp_operations.versions import Versions

_PUBLICATIONS: Final = 2
"""The newest publication, and the one before for clients that still read it."""


class Store:
    """The files under one folder. Whatever becomes visible does so whole, by a rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def content_path(self, content: Content) -> Path:
        """The path of a package or tree file in the store."""
        suffix = "file" if isinstance(content, StoredFile) else "rpm"
        return self.root / "content" / content.algorithm / content.checksum[:2] / f"{content.checksum}.{suffix}"

    def partial_path(self, repo_id: str, content: Content) -> Path:
        """The path of its partial download for this repository."""
        return self.partial_folder(repo_id) / f"{content.algorithm}-{content.checksum}.part"

    def partial_folder(self, repo_id: str) -> Path:
        """The folder of partial downloads of this repository."""
        return self.root / "partial" / file_name(repo_id)

    def publication_link(self, repo_id: str) -> Path:
        """The link to the newest publication."""
        return self.root / "published" / file_name(repo_id)

    def has(self, content: Content) -> bool:
        """Whether the package or file exists and is complete."""
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
        """A folder for one task, on the store's file system; gone afterwards. Raises `StorageError`."""
        parent = self.root / "scratch"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        folder.chmod(0o755)
        try:
            with storage_errors(self.root, folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def save_publication(self, repo_id: str, publication: Path, token: int) -> Path:
        """Move this folder into place as the newest publication of the repository; returns its new path.

        Raises `OperationError` (`fenced`) if a task with a higher fencing token has already written: this one was
        counted as lost, and another task got its resource.
        """
        with fenced(self.root, repo_id, token):
            folder = self.root / "publications" / file_name(repo_id)
            number = max((int(name.name) for name in numbered(folder)), default=0) + 1
            target = folder / str(number)
            make_current(publication, target, self.publication_link(repo_id))
            remove_older(folder, target, keep=_PUBLICATIONS)
            return target

    def versions(self, repo_id: str) -> Versions:
        """The versions of a repository."""
        return Versions(self.root, repo_id)

    def repositories(self) -> list[str]:
        """The ids of the repositories that hold something."""
        folders = sorted((self.root / "repositories").glob("*"))
        return [repo_id_of(folder.name) for folder in folders if folder.suffix != DISCARDED]

    def referenced(self) -> Iterator[Path]:
        """The files of all packages and trees that versions of repositories hold; one that several hold is repeated.

        Raises `DamagedVersion`.
        """
        for repo_id in self.repositories():
            for held in self.versions(repo_id).all():
                yield from map(self.content_path, held.packages())
                yield from map(self.content_path, held.version.tree)
