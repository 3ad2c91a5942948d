"""./dev says what a machine lacks, before anything else happens."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "mkdir", "rm", "sleep", "true")
UV = """#!/bin/sh
case "$*" in
    --version) ;;
    *--check*) [ -e "$HOME/synced" ] ;;
    *) echo "$UV_PYTHON: $*" >>"$HOME/uv.log"; : >"$HOME/synced" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with only ./dev, and a PATH with next to nothing on it."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    (tmp_path / "deploy").mkdir()
    for part in ("dev", "deploy/environment.py"):
        shutil.copy(ROOT / part, tmp_path / part)
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
    """A machine with an environment that lacks packages, and a uv that only records what it installs."""
    put_python(machine, f'case "$*" in *python_version*) echo 3.99.0 ;; *) exec {sys.executable} "$@" ;; esac')
    for folder, name in ((".dev/uv/bin", "uv"), (".venv/bin", "python")):
        (machine / folder).mkdir(parents=True)
        (machine / folder / name).write_text(UV if name == "uv" else f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (machine / folder / name).chmod(0o755)
    return machine


def asked(machine: Path) -> list[str]:
    """The changes requested from uv."""
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
    (prepared / "synced").unlink()
    result = dev(prepared, "run", "true", PYTHON=another_python(prepared))
    assert asked(prepared)[-1].startswith(f"{prepared}/bin/python3.99: sync")
    assert result.stderr == ""


def test_the_same_python_by_another_name_is_no_reason_for_a_new_environment(prepared: Path) -> None:
    with running(prepared):
        assert dev(prepared, "run", "true", PYTHON="python3").returncode == 0
    assert len(asked(prepared)) == 1


def test_a_named_python_that_cannot_be_used(prepared: Path) -> None:
    result = dev(prepared, "run", "true", PYTHON="python2.7")
    assert (result.returncode, result.stderr) == (1, "dev: PYTHON=python2.7 is not a Python 3.11 or later\n")


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


@contextmanager
def running(machine: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another ./dev, with a program in the environment that runs until its input ends."""
    with subprocess.Popen(
        [machine / "dev", "run", "sh", "-c", "echo entered; read line || true"],
        env={"PATH": str(machine / "bin"), "HOME": str(machine)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "entered\n"
        yield other
        other.stdin.close()
        assert other.wait() == 0


def another_python(machine: Path) -> str:
    """The path of a Python that is not the environment's."""
    path = machine / "bin" / "python3.99"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *_base_executable*) echo /opt/python ;; *) exec {sys.executable} "$@" ;; esac\n'
    )
    path.chmod(0o755)
    return str(path)


def test_several_at_once_in_a_new_clone_install_once(prepared: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: dev(prepared, "run", "true"), range(4)))
    assert [result.returncode for result in results] == [0] * 4
    assert len(asked(prepared)) == 1


def test_an_environment_in_use_is_not_made_anew_for_another_python(prepared: Path) -> None:
    with running(prepared) as other:
        installed = asked(prepared)
        result = dev(prepared, "bench", PYTHON=another_python(prepared))
        assert result.returncode == os.EX_TEMPFAIL
        assert ".venv would have to be created again" in result.stderr
        assert f"\n  {other.pid} ./dev run\n" in result.stderr
        assert asked(prepared) == installed
    assert dev(prepared, "run", "true", PYTHON=another_python(prepared)).returncode == 0
    assert asked(prepared)[-1].startswith(f"{prepared}/bin/python3.99: sync")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux lists the programs that run")
def test_a_program_without_dev_keeps_the_environment_as_well(prepared: Path) -> None:
    dev(prepared, "run", "true")
    installed = asked(prepared)
    name = f"{prepared}/.venv/bin/python"
    with subprocess.Popen([name, "-m", "code"], executable=sys.executable, stdin=subprocess.PIPE) as other:
        result = dev(prepared, "test", PYTHON=another_python(prepared))
        other.communicate()
    assert result.returncode == os.EX_TEMPFAIL
    assert f"\n  {other.pid} {name} -m code\n" in result.stderr
    assert asked(prepared) == installed


def test_changed_dependencies_wait_until_nobody_uses_the_environment(prepared: Path) -> None:
    with running(prepared) as other:
        installed = asked(prepared)
        (prepared / "synced").unlink()  # as after a change of pyproject.toml
        result = dev(prepared, "run", "true")
        assert result.returncode == 0
        assert "pyproject.toml has changed. The packages of .venv stay as they are" in result.stderr
        assert f"\n  {other.pid} ./dev run\n" in result.stderr
        assert asked(prepared) == installed
    result = dev(prepared, "run", "true")
    assert "pyproject.toml" not in result.stderr
    assert len(asked(prepared)) == len(installed) + 1


def test_nothing_to_do_changes_nothing_and_waits_for_nobody(prepared: Path) -> None:
    with running(prepared), running(prepared):
        result = dev(prepared, "run", "true")
    assert (result.returncode, "another ./dev" in result.stderr) == (0, False)
    assert len(asked(prepared)) == 1


def test_what_a_shell_sets_for_uv_does_not_choose_the_python(prepared: Path) -> None:
    assert dev(prepared, "run", "true", UV_PYTHON="3.99", UV_PROJECT_ENVIRONMENT="/elsewhere").returncode == 0
    assert asked(prepared)[-1].startswith(f"{prepared}/.venv/bin/python: sync")


def test_a_package_of_ones_own_is_installed_and_comes_back_with_a_new_environment(prepared: Path) -> None:
    package = prepared / "my package"
    package.mkdir()
    (package / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    install = f"pip install --directory {prepared} --python {prepared}/.venv/bin/python --quiet --editable {package}"
    assert dev(prepared, "add", str(package)).returncode == 0
    assert asked(prepared)[-1].endswith(install)
    assert dev(prepared, "add", "--list").stdout == f"mine\t{package}\n"
    installed = asked(prepared)
    dev(prepared, "run", "true")
    assert asked(prepared) == installed
    (prepared / ".venv" / "added").unlink()  # as in a new environment
    dev(prepared, "run", "true")
    assert asked(prepared)[-1].endswith(install)
    assert dev(prepared, "remove", "mine").returncode == 0
    assert asked(prepared)[-1].endswith("pip uninstall --python " + f"{prepared}/.venv/bin/python --quiet mine")
    assert dev(prepared, "add", "--list").stdout == ""
    assert "mine was not added" in dev(prepared, "remove", "mine").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere"], "/nowhere is not a folder: name the one that holds the package's pyproject.toml"),
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
