"""Starts the supervisor in the background and waits until it reports ready."""

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import click
from pulp_console.output import remark

from pulp_deploy.folder import make_data_folder
from pulp_deploy.local.processes import open_log
from pulp_deploy.local.surroundings import READY_FD, for_supervisor
from pulp_deploy.log_files import SUPERVISOR_LOG

_LOOK_EVERY_S: Final = 0.2


def start_detached(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run `pulp-tasks ARGUMENTS` in a session of its own; return its report once it is ready. Its output until then,
    such as the progress of a download, goes to standard error. Raises
    `click.exceptions.Exit` with its exit code if it ends before.
    """
    make_data_folder(folder)
    reading, writing = os.pipe()
    # Read through the open file: a temporary folder disappears when the start fails.
    with open_log(folder / "logs" / SUPERVISOR_LOG) as log:
        offset = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[writing],
            env={**for_supervisor(os.environ if environment is None else environment), READY_FD.name: str(writing)},
            start_new_session=True,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            while not select.select([pipe], [], [], _LOOK_EVERY_S)[0]:
                offset = _pass_on(log, offset)
            said = pipe.read().decode()
        code = 0 if said else process.wait()
        _pass_on(log, offset)
    if not said:
        raise click.exceptions.Exit(code)
    process.returncode = 0  # it goes on without us: no warning that it still runs
    return said


def report_ready(text: str) -> None:
    """Report to the process that waits for us, if any, that everything is ready, with its text for the user."""
    number = os.environ.pop(READY_FD.name, None)
    if number is not None:
        with os.fdopen(int(number), "w") as pipe:
            pipe.write(text)


def _pass_on(log: IO[bytes], offset: int) -> int:
    """Copy the log from the offset on to standard error; return the new offset."""
    written = os.pread(log.fileno(), 1_000_000, offset)
    remark(written.decode(errors="replace"), nl=False)
    return offset + len(written)
