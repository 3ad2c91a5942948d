"""./dev says what is missing on a machine, before anything else happens."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "rm", "sleep", "true")
UV = """#!/bin/sh
[ "$1" = --version ] || echo "$UV_PYTHON: $*" >>"$HOME/uv.log"
"""


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


def dev(machine: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [machine / "dev", *arguments],
        env={"PATH": str(machine / "bin"), "HOME": str(machine), **more},
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


@pytest.fixture
def prepared(machine: Path) -> Path:
    """A machine with an environment already, and an uv that only notes what it is asked for."""
    put_python(machine, f'case "$*" in *python_version*) echo 3.99.0 ;; *) exec {sys.executable} "$@" ;; esac')
    for folder, name in ((".dev/uv/bin", "uv"), (".venv/bin", "python")):
        (machine / folder).mkdir(parents=True)
        (machine / folder / name).write_text(UV if name == "uv" else f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (machine / folder / name).chmod(0o755)
    return machine


def asked(machine: Path) -> list[str]:
    """What uv was asked for."""
    log = machine / "uv.log"
    return log.read_text().splitlines() if log.exists() else []


def test_what_somebody_has_added_is_not_uninstalled(prepared: Path) -> None:
    assert dev(prepared, "run", "true").returncode == 0
    assert asked(prepared)
    assert all("--inexact" in line for line in asked(prepared))


def test_the_environment_keeps_its_python_unless_another_is_named(prepared: Path) -> None:
    result = dev(prepared, "run", "true")
    assert asked(prepared)[-1].startswith(f"{prepared}/.venv/bin/python: sync")
    assert ".venv keeps its Python 3." in result.stderr
    assert result.stderr.count("though python3 is 3.99.0; to change it: PYTHON=python3 ./dev") == 1
    result = dev(prepared, "run", "true", PYTHON="python3")
    assert asked(prepared)[-1].startswith(f"{prepared}/bin/python3: sync")
    assert result.stderr == ""


def test_one_at_a_time_changes_the_environment(prepared: Path) -> None:
    with (prepared / ".dev" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [prepared / "dev", "run", "true"],
            env={"PATH": str(prepared / "bin"), "HOME": str(prepared)},
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting:
            assert waiting.stderr is not None
            assert any("another ./dev changes the environment" in line for line in waiting.stderr)
            assert asked(prepared) == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.stderr.read()
            assert waiting.wait() == 0
    assert len(asked(prepared)) == 1


def test_a_package_of_ones_own_is_installed_and_comes_back_with_a_new_environment(prepared: Path) -> None:
    package = prepared / "my package"
    package.mkdir()
    (package / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    install = f"pip install --directory {prepared} --python {prepared}/.venv/bin/python --quiet --editable {package}"
    assert dev(prepared, "add", str(package)).returncode == 0
    assert asked(prepared)[-1].endswith(install)
    assert dev(prepared, "add", "--list").stdout == f"mine\t{package}\n"
    dev(prepared, "run", "true")
    assert not asked(prepared)[-1].endswith(install)  # it is there
    (prepared / ".venv" / "added").unlink()  # as in an environment that was made anew
    dev(prepared, "run", "true")
    assert asked(prepared)[-1].endswith(install)
    assert dev(prepared, "remove", "mine").returncode == 0
    assert asked(prepared)[-1].endswith("pip uninstall --python " + f"{prepared}/.venv/bin/python --quiet mine")
    assert dev(prepared, "add", "--list").stdout == ""
    assert "mine was not added" in dev(prepared, "remove", "mine").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere"], "/nowhere is no folder: name the one that holds the package's pyproject.toml"),
        (["."], "/pyproject.toml is missing or has no [project] name"),
        ([], "usage: ./dev add PATH"),
    ],
)
def test_what_is_no_package_is_not_added(prepared: Path, arguments: list[str], said: str) -> None:
    result = dev(prepared, "add", *arguments)
    assert (result.returncode, said in result.stderr) == (1, True)
    assert not (prepared / ".dev" / "added").exists()


def test_help_lists_the_commands(machine: Path) -> None:
    result = dev(machine)
    assert result.returncode == 0
    assert {"demo", "test", "check", "up"} <= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
