"""The worker's settings."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pulp_events import declared_settings
from pulp_events.declared_settings import Setting, Several, settings_of
from pulp_events.defaults import WORKER_CONCURRENCY, WORKER_LEASE_S
from pulp_runtime.installation import Installation

from pulp_worker.bounds import fetch_settings, isolation_settings
from pulp_worker.fetching.rules import Rules
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings

_LONGEST_NAME: Final = 200
_NAME: Final = Setting(
    "PULP_WORKER_NAME",
    "The worker's name, unique among live workers.",
    default_text="HOST-PID",
    allowed=f"at most {_LONGEST_NAME} printable characters",
)
_FETCHING: Final = FetchSettings()
_ISOLATION: Final = IsolationSettings()


def _read_name(env: Mapping[str, str]) -> str:
    name: str = _NAME.read(env) or f"{socket.gethostname()}-{os.getpid()}"
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise _NAME.wrong(name, f"{_NAME.allowed} are expected")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Installation):
    """What a worker needs to know. Durations are in seconds."""

    storage: Annotated[Path, Setting("PULP_STORAGE", "The folder that all workers share.")]
    name: Annotated[str, Several(_read_name, (_NAME,))]
    queues: Annotated[tuple[str, ...], Setting("PULP_WORKER_QUEUES", "Queues that the worker takes tasks from.")] = (
        "default",
    )
    concurrency: Annotated[int, Setting("PULP_WORKER_CONCURRENCY", "Tasks that the worker runs at once.", least=1)] = (
        WORKER_CONCURRENCY
    )
    modules: Annotated[
        tuple[str, ...], Setting("PULP_WORKER_MODULES", "Modules with operations, besides those from entry points.")
    ] = ()
    lease_s: Annotated[
        float,
        Setting(
            "PULP_WORKER_LEASE_S",
            "A worker without a heartbeat for this long counts as lost; it stops its own operations by then.",
            least=0.5,
        ),
    ] = WORKER_LEASE_S
    grace_s: Annotated[
        float, Setting("PULP_WORKER_GRACE_S", "How long an operation may go on after a cancel before it is killed.")
    ] = 10
    drain_s: Annotated[float, Setting("PULP_WORKER_DRAIN_S", "How long running tasks may go on after SIGTERM.")] = 30
    forget_s: Annotated[
        float,
        Setting(
            "PULP_WORKER_FORGET_S",
            "How long a stopped or lost worker stays in the list of workers.",
            least=60,
        ),
    ] = 7 * 86_400
    environment: Annotated[
        tuple[str, ...],
        Setting(
            "PULP_WORKER_ENVIRONMENT",
            "Names of variables that the processes of plain operations get besides the usual ones.",
        ),
    ] = ()
    fetching: Annotated[FetchSettings, Several(fetch_settings, settings_of(Rules, FetchSettings))] = _FETCHING
    isolation: Annotated[IsolationSettings, Several(isolation_settings, settings_of(IsolationSettings))] = _ISOLATION

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))
