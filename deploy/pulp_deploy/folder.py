"""The data folder of a local stack: who holds it, what it was created with, which processes run on it."""

import errno
import fcntl
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Self
from uuid import uuid4

from pulp_console.times import time_text
from pulp_events.local_stack import OWNER, SERVICES, data_folder, services

from pulp_deploy.chosen_ports import Ports
from pulp_deploy.errors import DataFolderCorrupt, DataFolderInUse, DataFolderUnusable, DeployError, NotOurs
from pulp_deploy.files import (
    make_folder,
    open_file,
    open_folder,
    read_json,
    remove_leftovers,
    resolved,
    write_json,
    write_private,
    write_record,
)
from pulp_deploy.local.processes import Identity, end_leftover

VERSION: Final = 1
_LONGEST: Final = 800
"""PostgreSQL accepts paths of up to 1023 bytes, and appends to this one."""
TEMPORARY: Final = "temporary"
"""The name of the file that marks a temporary data folder."""
_OURS: Final = frozenset({"lock", "stack.json", "processes.json", "kafka", "postgres"})


def default_folder() -> Path:
    """The default data folder, by the rule of `pulp_events.local_stack`."""
    return data_folder(os.environ)


def make_data_folder(path: Path) -> None:
    """Create a data folder with its logs, for its owner alone (root's lets PostgreSQL's account pass).

    Raises `DataFolderUnusable`, also for a folder with other contents, which would become closed to others.
    """
    path = _place(path)
    try:
        found = {each.name for each in path.iterdir()} if path.exists() else set()
        if found and not found & _OURS:
            raise DataFolderUnusable(
                f"the data folder {path} cannot be used: it holds {min(found)} and is not a data folder of a stack."
                " Name a new or empty one"
            )
        make_folder(path, 0o711 if os.geteuid() == 0 else 0o700)
        os.close(open_file(path / "lock", os.O_RDWR | os.O_CREAT))
        make_folder(path / "logs")
    except OSError as error:
        raise DataFolderUnusable(f"the data folder {path} cannot be used: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the stack was created with. Only `complete` ever changes."""

    cluster_id: str
    brokers: int
    partitions: int
    complete: bool = False
    """The stack has been up once, so missing data is an error from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The supervisor of a data folder."""

    identity: Identity
    since: datetime
    url: str | None = None
    """The URL of the API, once everything is ready."""


class DataFolder:
    """A data folder: anybody may inspect it, one supervisor at a time holds it."""

    def __init__(self, path: Path) -> None:
        self.path = _place(path.expanduser())
        self._lock: IO[bytes] | None = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def hold(self) -> None:
        """Lock the folder, creating it if needed, and end the processes that a killed supervisor left running.

        Raises `DataFolderInUse` if another supervisor holds it, `DataFolderUnusable` if it cannot be used, `NotOurs`.
        """
        make_data_folder(self.path)
        try:
            self._lock = os.fdopen(open_file(self.path / "lock", os.O_RDWR), "r+b")
        except OSError as error:
            raise DataFolderUnusable(f"the data folder {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DataFolderInUse(self._held()) from None
        self.end_leftovers()
        remove_leftovers(self.path, self.logs, self.path / "postgres", *self.path.glob("kafka/*"))
        self.write_owner(None)

    def is_there(self) -> bool:
        """Whether the held folder is still at its path."""
        if self._lock is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._lock.fileno()), (self.path / "lock").lstat())
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR)

    def mark_temporary(self) -> None:
        """Allow `remove_abandoned` to remove the folder if we are killed."""
        write_private(self.path / TEMPORARY, "")

    def release(self) -> None:
        """Release the folder, even if it was removed or is no longer writable."""
        with suppress(OSError, NotOurs), open_folder(self.path) as folder:
            for name in (OWNER, "processes.json"):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
        if self._lock is not None:
            self._lock.close()

    def check(self) -> None:
        """Raise `NotOurs` for another user's folder: its content must not be trusted."""
        with suppress(FileNotFoundError), open_folder(self.path):
            pass

    def owner(self) -> Owner | None:
        """Who holds the folder now."""
        found = self._read(OWNER)
        if found is None:
            return None
        identity = Identity(int(found["pid"]), float(found["started"]), str(found.get("boot", "")))
        if identity.process() is None:
            return None
        return Owner(identity=identity, since=datetime.fromisoformat(found["since"]), url=found.get("url"))

    def write_owner(self, url: str | None) -> None:
        """Record that we hold the folder, and the API's URL once it is ready."""
        me = Identity.of(os.getpid())
        since = me.since.isoformat(timespec="seconds")
        write_record(self.path / OWNER, {**me._asdict(), "since": since, "url": url})

    def made_before(self) -> Made | None:
        """What the stack was created with; None before its first start. Raises `DataFolderCorrupt`."""
        found = self._read("stack.json")
        if found is not None:
            return self._parse(found)
        if any((self.path / name).exists() for name in ("kafka", "postgres")):
            raise DataFolderCorrupt(
                f"{self.path}/stack.json is missing next to the data: restore it, or start on another data folder"
            )
        return None

    def made(self, *, brokers: int | None, partitions: int) -> Made:
        """What the stack was created with; on the first start, the given values (one broker by default).

        Raises `DataFolderCorrupt`, and `DeployError` if it was created with another number of brokers.
        """
        made = self.made_before()
        if made is None:
            made = Made(cluster_id=uuid4().hex[:22], brokers=brokers or 1, partitions=partitions)
            self.write_made(made)
        elif brokers is not None and brokers != made.brokers:
            raise DeployError(
                f"{self.path} was made with {made.brokers} broker(s), which cannot be changed: start it with"
                f" --brokers {made.brokers}, or use another data folder"
            )
        return made

    def write_made(self, made: Made) -> None:
        """Store what the stack was created with."""
        write_json(self.path / "stack.json", {"version": VERSION, **asdict(made)})

    def ports(self) -> Ports | None:
        """The ports of the last start."""
        found = self._read("ports.json")
        return None if found is None else Ports(found["api"], found["postgres"], tuple(found["kafka"]))

    def write_ports(self, ports: Ports) -> None:
        """Store the ports for the next start."""
        write_json(self.path / "ports.json", ports._asdict())

    def processes(self) -> dict[str, Identity | None]:
        """The stack's processes by name, None for one that is down. The caller checks whether the others still run."""
        found = self._read("processes.json") or {}
        return {name: each and Identity(int(each[0]), float(each[1]), *each[2:3]) for name, each in found.items()}

    def write_processes(self, processes: Mapping[str, Identity | None]) -> None:
        """Record the running processes, so that they can be found again if we are killed."""
        write_record(self.path / "processes.json", {name: each and list(each) for name, each in processes.items()})

    def services(self) -> dict[str, str] | None:
        """The environment of the stack's services; None before they were started, or after they were stopped.

        Raises `SettingsError` if it cannot be read, and `NotOurs`.
        """
        with suppress(FileNotFoundError):
            os.close(open_file(self.path / SERVICES, os.O_RDONLY))
        return services(self.path)

    def write_services(self, environment: Mapping[str, str]) -> None:
        """Store the environment of the services for commands that act on the stack."""
        write_json(self.path / SERVICES, dict(environment))

    def end_leftovers(self) -> list[str]:
        """End the recorded processes that still run, identified by pid and start time; return their names."""
        deadline = time.monotonic() + 10
        return [
            name
            for name, identity in reversed(self.processes().items())
            if identity is not None and end_leftover(identity, max(1.0, deadline - time.monotonic()))
        ]

    def _held(self) -> str:
        owner = self.owner()
        if owner is None:
            return f"the data folder {self.path} is held by another process"
        since = time_text(owner.since)
        return (
            f"the data folder {self.path} is held by process {owner.identity.pid} since {since}:"
            f" use it as it is, stop it with: pulp-tasks down --data {self.path}, or name another folder with --data"
            " or PULP_DATA"
        )

    def _parse(self, found: dict[str, Any]) -> Made:
        if found.pop("version", None) != VERSION:
            raise DataFolderCorrupt(f"{self.path}/stack.json is of another release: use that one, or another folder")
        try:
            return Made(**found)
        except TypeError as error:
            raise DataFolderCorrupt(f"{self.path}/stack.json: {error}") from error

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(self.path / name)
        except ValueError as error:
            raise DataFolderCorrupt(f"{self.path / name} cannot be read: {error}") from error

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _place(path: Path) -> Path:
    _check_name(path)
    try:
        return resolved(path)
    except OSError as error:
        raise DataFolderUnusable(f"the data folder {path} cannot be used: {error.strerror}") from error


def _check_name(path: Path) -> None:
    if len(os.fsencode(path.absolute())) > _LONGEST:
        raise DataFolderUnusable(
            f"the data folder {str(path)[:80]}... cannot be used: its path is longer than the {_LONGEST} bytes that"
            " PostgreSQL takes. Name one with a shorter path"
        )
    if any(sign in str(path) for sign in ",\\\n\r"):
        raise DataFolderUnusable(
            f"the data folder {path} cannot be used: Kafka takes no path with a comma, a backslash or a line break"
        )
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataFolderUnusable(
            f"the data folder {str(path)!r} cannot be used: its name is not in UTF-8. Name another one with --data"
        ) from None
