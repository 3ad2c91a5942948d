"""The worker's settings."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import settings as read

from pulp_worker.bounds import fetch_settings, isolation_settings
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings

_LONGEST_NAME: Final = 200
_FETCHING: Final = FetchSettings()
_ISOLATION: Final = IsolationSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(read.Installation):
    """What a worker needs to know. Durations are in seconds."""

    storage: Path
    name: str
    queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    """Tasks that it runs at once."""
    modules: tuple[str, ...] = ()
    """Modules with operations, beside those of entry points."""
    lease_s: float = 6
    """Without a heartbeat for so long the worker counts as lost; it stops its own operations by then."""
    grace_s: float = 10
    """Between a cancel and the killing of an operation that does not heed it."""
    drain_s: float = 30
    """Between SIGTERM and the stopping of what still runs."""
    forget_s: float = 7 * 86_400
    """A worker that stopped, or was lost, stays in the list of workers for so long."""
    unserved_s: float = read.UNSERVED_S
    """What no worker could run for so long is not waited for by later tasks on its resources."""
    quotas: Mapping[Role, str] = field(default_factory=dict)
    """As the API has them: how many tasks of a user may run at once is kept by the workers."""
    environment: tuple[str, ...] = ()
    """Names of variables that the processes of plain operations get beside the usual ones."""
    fetching: FetchSettings = _FETCHING
    isolation: IsolationSettings = _ISOLATION

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(
            **read.installation(env),
            storage=Path(read.text(env, "PULP_STORAGE")),
            name=_name(read.text(env, "PULP_WORKER_NAME", f"{socket.gethostname()}-{os.getpid()}")),
            queues=read.words(env, "PULP_WORKER_QUEUES", ("default",)),
            concurrency=read.integer(env, "PULP_WORKER_CONCURRENCY", 4, least=1),
            modules=read.words(env, "PULP_WORKER_MODULES", ()),
            lease_s=read.number(env, "PULP_WORKER_LEASE_S", 6, least=0.5),
            grace_s=read.number(env, "PULP_WORKER_GRACE_S", 10),
            drain_s=read.number(env, "PULP_WORKER_DRAIN_S", 30),
            forget_s=read.number(env, "PULP_WORKER_FORGET_S", 7 * 86_400, least=60),
            unserved_s=read.unserved(env),
            quotas=of_roles(env),
            environment=read.words(env, "PULP_WORKER_ENVIRONMENT", ()),
            fetching=fetch_settings(env),
            isolation=isolation_settings(env),
        )


def _name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise read.SettingsError(
            f"PULP_WORKER_NAME={name!r}: at most {_LONGEST_NAME} printable characters are expected"
        )
    return name
