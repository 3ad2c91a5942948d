"""Finds the Pythons of this machine, and creates an environment for each that the tests run on."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NEWEST: Final = (3, 14)
"""The newest release of Python: tested if it is installed or uv can download it."""
_DOWNLOAD_S: Final = 60.0
_INSTALL_S: Final = 300.0

Version = tuple[int, int]
HERE: Final[Version] = sys.version_info[:2]
"""The version of the running Python."""


class NotAvailable(Exception):
    """A Python or its packages are not available on this machine; the message says why."""


def installed() -> dict[Version, Path]:
    """The Pythons of this machine: this one, and those on PATH or installed by pyenv or uv."""
    found = {HERE: Path(sys.executable)}
    for python in _candidates():
        version = _version_of(python)
        if version is not None and version not in found and _works(python):
            found[version] = python
    return found


def download(version: Version) -> None:
    """Download a Python with uv; `installed` then finds it. Raises `NotAvailable`."""
    name = _name(version)
    try:
        done = subprocess.run(
            [_uv(), "python", "install", "--quiet", name], capture_output=True, check=False, timeout=_DOWNLOAD_S
        )
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"Python {name} could not be downloaded within {_DOWNLOAD_S:g} s") from None
    if done.returncode != 0:
        raise NotAvailable(f"Python {name} is not installed, and could not be downloaded")


def environment(version: Version, python: Path) -> Path:
    """The Python of an environment with all packages: this one, or one in `.dev`. Raises `NotAvailable`."""
    if version == HERE:
        return Path(sys.executable)
    name = _name(version)
    folder = ROOT / ".dev" / f"python{name}"
    try:
        done = subprocess.run(
            [_uv(), "sync", "--quiet", "--frozen", "--project", ROOT, "--python", python],
            env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON_DOWNLOADS": "never"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"the packages for Python {name} could not be installed in {_INSTALL_S:g} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1].strip()
        raise NotAvailable(f"the packages for Python {name} could not be installed: {last}")
    return folder / "bin" / "python"


def _candidates() -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    managed = subprocess.run([_uv(), "python", "dir"], capture_output=True, text=True, check=False).stdout.strip()
    for folder in (pyenv, Path(managed)):
        yield from sorted(folder.glob("*/bin/python3.*"))
    for each in os.get_exec_path():
        yield from sorted(Path(each).glob("python3.*"))


def _version_of(python: Path) -> Version | None:
    match = re.fullmatch(r"python3\.(\d+)", python.name)
    return None if match is None else (3, int(match[1]))


def _works(python: Path) -> bool:
    """Whether it runs and is a release; pyenv has a stub for every version, selected or not."""
    try:
        done = subprocess.run([python, "-V"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return re.fullmatch(r"Python [\d.]+", done.stdout.strip()) is not None


def _name(version: Version) -> str:
    return ".".join(map(str, version))


def _uv() -> str:
    return os.environ.get("UV") or "uv"
