"""Fencing: a task that was taken for lost, and whose resource another task holds now, writes nothing."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulp_worker import OperationError

from pulp_operations.layout import file_name


@contextmanager
def fenced(root: Path, repo_id: str, token: int) -> Iterator[None]:
    """Keep others from writing the repository meanwhile, and from then on those with a lower token.

    Raises `OperationError` (`fenced`) if a task with a higher fencing token has written already.
    """
    path = root / "fences" / file_name(repo_id)
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


def is_fenced(root: Path, repo_id: str) -> bool:
    """Whether a task has ever written the repository."""
    return (root / "fences" / file_name(repo_id)).exists()
