"""The supervisor of a local stack in the foreground: shows progress, explains how to continue, and shuts down."""

import os
import select
import shlex
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from pulp_console.output import show, shown
from pulp_events.settings import SettingsError
from pulp_projections.conninfo import without_secrets

from pulp_deploy.credentials import is_ours, users_client_file, write_client_file
from pulp_deploy.detach import report_ready
from pulp_deploy.errors import DataFolderCorrupt
from pulp_deploy.folder import default_folder
from pulp_deploy.stack import Stack, StackOptions

_LOOK_EVERY_S: Final = 2.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: StackOptions, *, private: bool, output: str) -> None:
    """Run the stack until SIGINT or SIGTERM. A private stack leaves the user's client configuration alone."""
    progress = Progress()
    stopping, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        _ignore_signals()
        raise KeyboardInterrupt

    for signum in _STOPPING:
        signal.signal(signum, interrupt)
    stack = Stack(options, progress.say)
    progress.say(f"starting on {stack.folder.path}")
    try:
        stack.up()
    except Exception as error:
        if interrupted.is_set():  # between two steps that belong together, such as closing a file and forgetting it
            raise KeyboardInterrupt from error
        raise
    try:
        woken = _wake_up_by_signals()
        for signum in _STOPPING:
            signal.signal(signum, lambda *_: stopping.set())
        progress.say(f"ready in {progress.elapsed_s:.1f} s")
        ready = Ready.of(stack, private=private)
        show(output, ready.value(), lambda: [*ready.lines(), f"Stop      Ctrl-C, or: {ready.stop}"])
        report_ready(ready.text(output))
        while not stopping.is_set():
            if select.select([woken], [], [], _LOOK_EVERY_S)[0]:
                os.read(woken, 1)
            elif not stack.folder.is_there():
                raise DataFolderCorrupt(f"the data folder {stack.folder.path} was removed or replaced: all is stopped")
        progress.say("stopping")
    finally:
        _ignore_signals()
        stack.down()
    progress.say("stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where everything is, and how to continue."""

    url: str
    kafka: str
    kafka_client_file: Path | None
    """The login file for Kafka's own tools; None for a Kafka that was given."""
    postgres: str
    data: Path
    client_file: Path | None
    """The login that `pulp-admin` uses; None for a database whose administrator was created elsewhere."""
    is_usual: bool
    """Whether the client file is the one that `pulp-admin` reads without being told."""
    left_alone: Path | None
    """The file that it reads, if that is not ours."""

    @classmethod
    def of(cls, stack: Stack, *, private: bool) -> "Ready":
        """The summary of a ready stack. Writes the user's client file, if that is ours and the stack is not private."""
        services = stack.service_environment()
        usual = _usual_client_file()
        password = stack.admin_password
        has_client = password is not None
        is_usual = usual is not None and not private and has_client and is_ours(usual)
        if usual is not None and is_usual and password is not None:
            write_client_file(usual, stack.url, password)
        own = stack.client_file if has_client else None
        return cls(
            url=stack.url,
            kafka=services["PULP_KAFKA"],
            kafka_client_file=stack.backend.kafka_client_file,
            postgres=without_secrets(services["PULP_POSTGRES"]),
            data=stack.folder.path,
            client_file=usual if is_usual else own,
            is_usual=is_usual,
            left_alone=usual if has_client and not private and not is_usual else None,
        )

    @property
    def stop(self) -> str:
        """The command that stops it."""
        return f"pulp-tasks down --data {shlex.quote(str(self.data))}"

    def value(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "url": self.url,
            "kafka": self.kafka,
            "kafka_client_file": None if self.kafka_client_file is None else str(self.kafka_client_file),
            "postgres": self.postgres,
            "data": str(self.data),
            "client_file": None if self.client_file is None else str(self.client_file),
            "stop": self.stop,
        }

    def lines(self) -> list[str]:
        """The text for people, without how to stop the stack."""
        why = "  (the usual one; another: --data or PULP_DATA)" if self.data == _usual_folder() else ""
        login = "" if self.kafka_client_file is None else f"  (login: --command-config {self.kafka_client_file})"
        lines = [
            f"Page      {self.url}/ui/",
            f"API       {self.url}/pulp/api/v3/",
            f"Kafka     {self.kafka}{login}",
            f"Postgres  {self.postgres}",
            f"Data      {self.data}{why}",
        ]
        if self.left_alone is not None:
            lines.append(f"Client    {self.left_alone} is not ours and was left alone; to use this stack:")
        if self.is_usual:
            lines.append(f"Client    pulp-admin tasks list        (as admin: {self.client_file})")
        elif self.client_file is not None:
            lines.append(f"Client    PULP_ADMIN_CONFIG={shlex.quote(str(self.client_file))} pulp-admin tasks list")
        return lines

    def text(self, output: str) -> str:
        """The text that the starting process prints for a stack in the background."""
        return shown(output, self.value(), lambda: [*self.lines(), f"Stop      {self.stop}"]).rstrip("\n")


def _usual_client_file() -> Path | None:
    """Where `pulp-admin` looks; None for an account without a home folder."""
    try:
        return users_client_file(os.environ)
    except RuntimeError:
        return None


def _usual_folder() -> Path | None:
    try:
        return default_folder()
    except SettingsError:  # an account without a home folder
        return None


@dataclass
class Progress:
    """Lines of progress on standard error; on a terminal a download rewrites its own line."""

    started: float = field(default_factory=time.monotonic)
    rewriting: bool = False

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def say(self, line: str) -> None:
        """Write it."""
        rewrites = sys.stderr.isatty() and line.startswith("downloading")
        with suppress(OSError):  # a closed terminal or a full disk must not disturb the stack or its shutdown
            if self.rewriting:
                click.echo("\r\033[K" if rewrites else "", nl=not rewrites, err=True)
            click.echo(line, nl=not rewrites, err=True)
        self.rewriting = rewrites


def _wake_up_by_signals() -> int:
    """A descriptor to wait on: after SIGSTOP and SIGCONT any thread may get the signal, and a lock would miss it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    return reading


def _ignore_signals() -> None:
    for signum in _STOPPING:
        signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the shutdown
