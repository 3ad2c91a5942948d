"""Starting the supervisor in the background, and hearing from it when everything is ready."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local.processes import tail

_READY_FD: Final = "PULP_READY_FD"


def start_detached(arguments: Sequence[str], folder: Path) -> None:
    """Run `pulp-tasks ARGUMENTS` in a session of its own; return when it is ready and print what it printed.

    Raises `ProcessFailed` with its own words and exit code if it ends before.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    log = folder / "logs" / "supervisor.log"
    reading, writing = os.pipe()
    offset = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env={**os.environ, _READY_FD: str(writing)},
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready = pipe.read(1)
    if not ready:
        code = process.wait()
        said = log.read_bytes()[offset:].decode(errors="replace").strip()
        raise ProcessFailed(said.removeprefix("pulp-tasks: ") or tail(log), code)
    click.echo(log.read_bytes()[offset:].decode(errors="replace").strip())
    process.returncode = 0  # it goes on without us: no warning that it still runs


def report_ready() -> None:
    """Tell the process that waits for us, if there is one, that everything is ready."""
    number = os.environ.pop(_READY_FD, None)
    if number is not None:
        os.write(int(number), b"\n")
        os.close(int(number))
