"""docs/tutorial.md, followed from a fresh clone: every command succeeds and shows what the page says."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import environment
from tests.support.walk import Shell, blocks

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "tutorial.md"


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """A copy like a fresh clone, including uncommitted changes."""
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that PostgreSQL runs as must pass
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for path in (Path(each) for each in found.split("\0") if each and (ROOT / each).exists()):
            (folder / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / "clone" / path)
        yield folder / "clone"


@pytest.fixture(scope="module")
def shown(clone: Path) -> Iterator[dict[str, str]]:
    """Each command of the page → its last output."""
    env = environment(clone.parent)
    env["PATH"] += f"{os.pathsep}{ROOT / '.dev' / 'uv' / 'bin'}"  # the clone need not download uv
    env = {key: value for key, value in env.items() if not key.startswith(("VIRTUAL_ENV", "PYTHON"))}
    printed = {}
    with Shell(env, clone) as shell:
        for line in (line for block in blocks(PAGE) for line in block.lines):
            # Other tests may use the default ports: follow the page's advice for that case.
            code, text = shell.run(line.replace("up --detach", "up --detach --free-ports"))
            assert code == 0, f"{line}\n{text}"
            printed[line] = text
        yield printed


def test_the_task_runs_and_its_events_are_shown(shown: dict[str, str]) -> None:
    assert "Successful" in shown["pulp-admin tasks list --all"]
    tail = shown["pulp-tasks events tail --no-follow --since 15m"]
    assert all(kind in tail for kind in ("accepted", "started", "progress", "finished"))


def test_the_second_task_waits_for_the_folder_and_its_cancel_has_a_reason(shown: dict[str, str]) -> None:
    assert "folder:/usr/bin" in shown["pulp-admin tasks details --task-id ID"]
    assert "not needed" in shown["pulp-admin tasks history --task-id ID"]


def test_the_read_model_is_that_of_the_log(shown: dict[str, str]) -> None:
    assert "generation 2 is active" in shown["pulp-tasks rebuild --activate"]
