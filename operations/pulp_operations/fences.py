"""Fencing: a task that counts as lost, and whose resource another task holds, writes nothing.

fences/REPO            the highest token that has written the repository
fences/orphans.removed the highest token that has removed orphans; no repository has a name with a dot
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from pulp_worker import OperationError

from pulp_operations.layout import file_name

_ORPHANS: Final = "orphans.removed"


@contextmanager
def fenced(root: Path, repo_id: str, token: int) -> Iterator[None]:
    """Keep others from writing the repository meanwhile, and those with a lower token from then on, too.

    Raises `OperationError` (`fenced`) if a task with a higher fencing token has written already.
    """
    with _locked(_fence(root, file_name(repo_id)), fcntl.LOCK_EX) as file:
        _pass(file, token, f"repository {repo_id!r} was written")
        _write(file, token)
        yield


def is_fenced(root: Path, repo_id: str) -> bool:
    """Whether a task has ever written the repository."""
    return (root / "fences" / file_name(repo_id)).exists()


def fence_content(root: Path, token: int) -> None:
    """Keep tasks that hold content already from saving a version with it, so that the content may be removed.

    `token` is the one of the resource that `remove-orphans` holds. Waits for versions that are being saved. Raises
    `OperationError` (`fenced`) if a later removal has already begun.
    """
    with _locked(_fence(root, _ORPHANS), fcntl.LOCK_EX) as file:
        _pass(file, token, "content was removed")
        _write(file, token)


@contextmanager
def content_held(root: Path, token: int) -> Iterator[None]:
    """Keep orphan removal from beginning meanwhile. Several tasks may hold this at the same time.

    Raises `OperationError` (`fenced`) if one with a higher token has begun: content of this task may be gone.
    """
    with _locked(_fence(root, _ORPHANS), fcntl.LOCK_SH) as file:
        _pass(file, token, "content was removed")
        yield


def _fence(root: Path, name: str) -> Path:
    path = root / "fences" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[BinaryIO]:
    with path.open("r+b") as file:
        fcntl.flock(file, kind)
        yield file


def _pass(file: BinaryIO, token: int, what: str) -> None:
    text, name = file.read(), Path(file.name).name
    if text and not text.isdigit():
        raise OperationError(
            "damaged-fence",
            f"the file {name!r} in the folder 'fences' of the workers' storage is not a fencing token. Remove it"
            " while no task runs, and submit the task again",
        )
    highest = int(text or 0)
    if token < highest:
        raise OperationError(
            "fenced",
            f"{what} by a later task meanwhile (fencing token {highest}, this task has {token}); run it again. If the"
            f" database was created again: remove {name!r} from the folder 'fences' of the workers' storage",
        )


def _write(file: BinaryIO, token: int) -> None:
    file.seek(0)
    file.write(b"%020d" % token)  # fixed width, so that a crash leaves no partial number
    file.flush()
