"""The data folder of a local stack: who holds it, what it was made with, which processes run on it."""

import fcntl
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Self
from uuid import uuid4

import platformdirs

from pulp_deploy.errors import DataFolderCorrupt, DataFolderInUse, DeployError
from pulp_deploy.files import read_json, write_json
from pulp_deploy.local.processes import Identity, end_leftover

VERSION: Final = 1


def default_folder() -> Path:
    """Where data is kept unless told otherwise: of the system for root, else of the user."""
    if os.geteuid() == 0:
        return Path("/var/lib/pulp-tasks")  # root's home is closed to the account that PostgreSQL runs as
    return platformdirs.user_data_path("pulp-tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the stack was made with. It never changes, but for `complete`."""

    cluster_id: str
    brokers: int
    partitions: int
    complete: bool = False
    """It has been up once: from now on missing data is a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The supervisor of a data folder."""

    identity: Identity
    since: datetime
    url: str | None = None
    """Of the API, once everything is ready."""


class DataFolder:
    """A data folder that may be looked at by anybody and is held by one supervisor at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: IO[bytes] | None = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def hold(self) -> None:
        """Take the folder, making it if there is none, and end what a killed supervisor has left running.

        Raises `DataFolderInUse` if another supervisor holds it, `DeployError` if it cannot be used.
        """
        if any(sign in str(self.path) for sign in ",\\\n"):
            raise DeployError(
                f"the data folder {self.path} cannot be used: Kafka takes no path with a comma or a backslash"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("ab")
        except OSError as error:
            raise DeployError(f"the data folder {self.path} cannot be used: {error.strerror}") from error
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)  # PostgreSQL's account must pass
        self.logs.mkdir(mode=0o700, exist_ok=True)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DataFolderInUse(self._held()) from None
        self.end_leftovers()
        self.write_owner(None)

    def release(self) -> None:
        """Give the folder up."""
        (self.path / "owner.json").unlink(missing_ok=True)
        (self.path / "processes.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def owner(self) -> Owner | None:
        """Who holds the folder now."""
        found = self._read("owner.json")
        if found is None:
            return None
        identity = Identity(int(found["pid"]), float(found["started"]))
        if identity.process() is None:
            return None
        return Owner(identity=identity, since=datetime.fromisoformat(found["since"]), url=found.get("url"))

    def write_owner(self, url: str | None) -> None:
        """Say that we hold the folder, and where the API is once it is ready."""
        me = Identity.of(os.getpid())
        since = datetime.fromtimestamp(me.started, UTC).isoformat(timespec="seconds")
        write_json(self.path / "owner.json", {"pid": me.pid, "started": me.started, "since": since, "url": url})

    def made(self, *, brokers: int | None, partitions: int) -> Made:
        """What the stack was made with; the first time, what it is made with now (one broker unless told).

        Raises `DataFolderCorrupt`, and `DeployError` if it was made with another number of brokers.
        """
        found = self._read("stack.json")
        if found is None:
            if any((self.path / name).exists() for name in ("kafka", "postgres")):
                raise DataFolderCorrupt(
                    f"{self.path}/stack.json is missing beside the data: restore it, or start on another data folder"
                )
            cluster_id = uuid4().hex[:22]
            made = Made(cluster_id=cluster_id, brokers=brokers or 1, partitions=partitions)
            self.write_made(made)
            return made
        made = self._parse(found)
        if brokers is not None and brokers != made.brokers:
            raise DeployError(
                f"{self.path} was made with {made.brokers} broker(s), which cannot be changed: start it with"
                f" --brokers {made.brokers}, or use another data folder"
            )
        return made

    def write_made(self, made: Made) -> None:
        """Keep what the stack was made with."""
        write_json(self.path / "stack.json", {"version": VERSION, **asdict(made)})

    def processes(self) -> dict[str, Identity | None]:
        """The stack's processes by name, None for one that is down; whether the others still run is yours to see."""
        found = self._read("processes.json") or {}
        return {name: each and Identity(int(each[0]), float(each[1])) for name, each in found.items()}

    def write_processes(self, processes: Mapping[str, Identity | None]) -> None:
        """Record which processes run, so that they are found again should we be killed."""
        write_json(self.path / "processes.json", {name: each and list(each) for name, each in processes.items()})

    def services(self) -> dict[str, str] | None:
        """The environment of the stack's services; None before they were started."""
        return self._read("services.json")

    def write_services(self, environment: Mapping[str, str]) -> None:
        """Keep the environment of the services, for commands that act on the stack."""
        write_json(self.path / "services.json", dict(environment))

    def end_leftovers(self) -> list[str]:
        """End the recorded processes that still run, by pid and start time; their names."""
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
        since = owner.since.astimezone().isoformat(sep=" ", timespec="seconds")
        return (
            f"the data folder {self.path} is held by process {owner.identity.pid} since {since}:"
            f" use it as it is, or stop it with: pulp-tasks down --data {self.path}"
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
