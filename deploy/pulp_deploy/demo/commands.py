"""Running `pulp-admin` and `pulp-tasks` as a user does, and showing it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pulp_deploy.demo.shown import Shown
from pulp_deploy.errors import DeployError

_ACCEPTED: Final = re.compile(r'^check status of task ([0-9a-f-]{36}) with "pulp-admin tasks details"$', re.MULTILINE)
_TIMEOUT_S: Final = 120


class Result(NamedTuple):
    """A command's exit code and output."""

    code: int
    stdout: str
    stderr: str

    @property
    def accepted(self) -> str | None:
        """The id of the task whose request it reports as accepted."""
        found = _ACCEPTED.search(self.stdout)
        return found[1] if found else None

    def describe(self) -> str:
        """For a check that does not hold."""
        return f"exit code {self.code}, {self.stdout!r}, {self.stderr!r}"


class Commands:
    """Commands for the stack of a data folder, each in a process of its own."""

    def __init__(self, shown: Shown, data: Path, environment: Mapping[str, str]) -> None:
        self._shown = shown
        self._data = data
        self._environment = {**environment, "PULP_ADMIN_CONFIG": str(data / "admin.toml")}
        self._admin = client()

    def admin(self, *words: str) -> Result:
        """Run `pulp-admin` and show what it prints."""
        self._shown.command(["pulp-admin", *map(shlex.quote, words)])
        result = self._run([self._admin, *words])
        self._shown.output(result.stdout + result.stderr)
        return result

    def start(self, *words: str) -> str:
        """Run a command of `pulp-admin` that starts work; the task's id. Raises `DeployError` if it was refused."""
        result = self.admin(*words)
        if result.accepted is None:
            raise DeployError(f"pulp-admin {' '.join(words)} was not accepted: {result.describe()}")
        return result.accepted

    def live(self, *words: str) -> int:
        """Run `pulp-admin` on our own terminal, if there is one; its exit code."""
        self._shown.command(["pulp-admin", *map(shlex.quote, words)])
        sys.stdout.flush()
        return subprocess.run([self._admin, *words], env=self._environment, timeout=_TIMEOUT_S, check=False).returncode

    def ask(self, *words: str) -> Any:
        """What `pulp-admin` prints for scripts; shows nothing. Raises `DeployError` if it fails."""
        result = self._run([self._admin, *words, "--output", "json"])
        if result.code != 0:
            raise DeployError(f"pulp-admin {' '.join(words)} failed: {result.describe()}")
        return json.loads(result.stdout)

    def operator(self, *words: str) -> Result:
        """Run `pulp-tasks` on the data folder and show what it prints, progress and results as they come."""
        self._shown.command(["pulp-tasks", *words, "--data", str(self._data)])
        arguments = [sys.executable, "-m", "pulp_deploy", *words, "--data", str(self._data)]
        result = self._run(arguments, stderr=subprocess.STDOUT)
        self._shown.output(result.stdout)
        return result

    def _run(self, arguments: list[str], *, stderr: int = subprocess.PIPE) -> Result:
        done = subprocess.run(
            arguments,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr or "")


def client() -> str:
    """The path of `pulp-admin`. Raises `DeployError` if it is not installed."""
    found = shutil.which("pulp-admin", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise DeployError("the demonstration needs pulp-admin, which is a distribution of its own: install it as well")
    return found


def own_environment() -> dict[str, str]:
    """Our environment without the settings of some other installation."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PULP_")}
