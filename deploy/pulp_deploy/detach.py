"""Starting the supervisor in the background, and hearing from it when everything is ready."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from pulp_deploy.errors import ProcessFailed

_READY_FD: Final = "PULP_READY_FD"


def start_detached(arguments: Sequence[str], folder: Path) -> None:
    """Run `pulp-tasks ARGUMENTS` in a session of its own; return when it is ready and print what it printed.

    Raises `ProcessFailed` with its own words and exit code if it ends before.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    # Read through the open file: a temporary folder is gone when the start fails.
    with (folder / "logs" / "supervisor.log").open("a+b") as log:
        offset = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env={**os.environ, _READY_FD: str(writing)},
            start_new_session=True,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            ready = pipe.read(1)
        code = 0 if ready else process.wait()
        said = os.pread(log.fileno(), 1_000_000, offset).decode(errors="replace").strip()
    if not ready:
        raise ProcessFailed(said or "the supervisor ended without a word", code)
    click.echo(said)
    process.returncode = 0  # it goes on without us: no warning that it still runs


def report_ready() -> None:
    """Tell the process that waits for us, if there is one, that everything is ready."""
    number = os.environ.pop(_READY_FD, None)
    if number is not None:
        os.write(int(number), b"\n")
        os.close(int(number))
