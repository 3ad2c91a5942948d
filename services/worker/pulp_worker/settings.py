"""The worker's settings."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import declared_settings
from pulp_events import settings as read
from pulp_events.declared_settings import Setting
from pulp_events.defaults import WORKER_LEASE_S

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
    queues: Annotated[tuple[str, ...], Setting("PULP_WORKER_QUEUES", "Queues that the worker takes tasks from.")] = (
        "default",
    )
    concurrency: Annotated[int, Setting("PULP_WORKER_CONCURRENCY", "Tasks that the worker runs at once.", least=1)] = 4
    modules: Annotated[
        tuple[str, ...], Setting("PULP_WORKER_MODULES", "Modules with operations, beside those of entry points.")
    ] = ()
    lease_s: Annotated[
        float,
        Setting(
            "PULP_WORKER_LEASE_S",
            "A worker without a heartbeat for so long counts as lost; it stops its own operations by then.",
            least=0.5,
        ),
    ] = WORKER_LEASE_S
    grace_s: Annotated[
        float, Setting("PULP_WORKER_GRACE_S", "How long an operation may go on after a cancel, before it is killed.")
    ] = 10
    drain_s: Annotated[float, Setting("PULP_WORKER_DRAIN_S", "How long running tasks may go on after SIGTERM.")] = 30
    forget_s: Annotated[
        float,
        Setting(
            "PULP_WORKER_FORGET_S",
            "How long a worker that has stopped, or was lost, stays in the list of workers.",
            least=60,
        ),
    ] = 7 * 86_400
    unserved_s: float = read.UNSERVED_S
    """What no worker could run for so long is not waited for by later tasks on its resources."""
    quotas: Mapping[Role, str] = field(default_factory=dict)
    """As the API has them: how many tasks of a user may run at once is kept by the workers."""
    environment: Annotated[
        tuple[str, ...],
        Setting(
            "PULP_WORKER_ENVIRONMENT",
            "Names of variables that the processes of plain operations get beside the usual ones.",
        ),
    ] = ()
    fetching: FetchSettings = _FETCHING
    isolation: IsolationSettings = _ISOLATION

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(
            **read.installation(env),
            storage=Path(read.text(env, "PULP_STORAGE")),
            name=_name(read.text(env, "PULP_WORKER_NAME", f"{socket.gethostname()}-{os.getpid()}")),
            **declared_settings.read(cls, env),
            unserved_s=read.unserved(env),
            quotas=of_roles(env),
            fetching=fetch_settings(env),
            isolation=isolation_settings(env),
        )


def _name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise read.SettingsError(
            f"PULP_WORKER_NAME={name!r}: at most {_LONGEST_NAME} printable characters are expected"
        )
    return name
