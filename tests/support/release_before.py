"""The release before this one, built from the history of the repository."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

COMMIT: Final = "5da0f7b"
"""The last state that knew no second version of an event."""
_ROOT: Final = Path(__file__).parents[2]
_FOLDERS: Final = (
    *("events", "projections", "operations", "cli", "deploy"),
    *(f"services/{name}" for name in ("runtime", "accounts", "processor", "worker", "api", "web")),
)


def release_before(folder: Path) -> str:
    """A `PYTHONPATH` with the sources of the release before; skips the test where the history is missing."""
    archive = folder / "release-before.tar"
    done = subprocess.run(
        ["git", "-C", str(_ROOT), "archive", "--output", str(archive), COMMIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(
            f"THE RELEASE BEFORE CANNOT BE BUILT, so nothing tests that it works beside this one: commit {COMMIT} is not in"
            f" this clone (git fetch --unshallow): {done.stderr.strip()}"
        )
    target = folder / "release-before"
    target.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(target)], check=True, timeout=60)
    return ":".join(str(target / name) for name in _FOLDERS)
