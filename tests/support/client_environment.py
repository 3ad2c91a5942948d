"""Environments that hold released clients of Pulp, each apart from the product and from the other clients."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / ".dev" / "clients"
"""Kept between runs, as an installation takes its time."""


def python_with(name: str, *requirements: str) -> Path:
    """The Python of an environment with these packages; skips the test where they cannot be installed."""
    folder = _FOLDER / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python, done = folder / "bin" / "python", folder / "installed"
    if done.is_file() and done.read_text() == "\n".join(requirements):
        return python
    venv.create(folder, with_pip=True, clear=True)
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *requirements,
    ]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if installed.returncode != 0:
        pytest.skip(f"{name} cannot be installed here: {installed.stderr.strip()[-300:]}")
    done.write_text("\n".join(requirements))
    return python
