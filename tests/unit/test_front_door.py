"""./dev says what is missing on a machine, before anything else happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "rm")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with ./dev alone, and a path with next to nothing on it."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    return tmp_path


def put_python(machine: Path, script: str) -> None:
    python = machine / "bin" / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def dev(machine: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [machine / "dev", *arguments],
        env={"PATH": str(machine / "bin"), "HOME": str(machine)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python(machine: Path) -> None:
    result = dev(machine, "test")
    assert (result.returncode, result.stderr) == (1, "dev: python3 is not there: install Python 3.11 or later\n")


def test_a_python_that_is_too_old(machine: Path) -> None:
    put_python(machine, "case $1 in -V) echo Python 3.9.2 ;; *) exit 1 ;; esac")
    result = dev(machine, "demo")
    assert result.returncode == 1
    assert "python3 is Python 3.9.2: 3.11 or later is needed" in result.stderr


def test_a_python_without_venv(machine: Path) -> None:
    put_python(machine, "case $2 in *venv*) exit 1 ;; *) exit 0 ;; esac")
    result = dev(machine, "test")
    assert result.returncode == 1
    assert "has no venv module" in result.stderr
    assert "python3-venv" in result.stderr


def test_an_unknown_command(machine: Path) -> None:
    put_python(machine, f'exec {sys.executable} "$@"')
    result = dev(machine, "dance")
    assert result.returncode == os.EX_USAGE
    assert "usage: ./dev COMMAND" in result.stderr


def test_help_lists_the_commands(machine: Path) -> None:
    result = dev(machine)
    assert result.returncode == 0
    assert {"demo", "test", "check", "up"} <= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
