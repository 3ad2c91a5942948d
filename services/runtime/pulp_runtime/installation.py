"""The settings that every process of an installation reads.

Each process has a frozen class with all of its settings, which its main reads once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pulp_archive.settings import ARCHIVE
from pulp_events import security
from pulp_events.declared_settings import Setting, Several, settings_of
from pulp_events.defaults import STARTUP_TIMEOUT_S
from pulp_events.kafka import Servers
from pulp_events.settings import KAFKA, TOPIC_PREFIX, kafka, topic_prefix
from pulp_events.topics import Topics

from pulp_runtime.telemetry.settings import TelemetrySettings

UNSERVED_S: Final = 300.0
"""How long a task that no worker could run holds back later tasks on its resources, unless a setting says otherwise.

In seconds: longer than a restart of a worker takes."""
UNSERVED: Final = Setting(
    "PULP_UNSERVED_AFTER_S",
    "How long a task that no worker can run holds back others on its resources; the API and the processors need the "
    "same value.",
    kind=float,
    default=UNSERVED_S,
)

VISIBLE_TASKS: Final = Setting(
    "PULP_API_VISIBLE_TASKS",
    "Whether viewers and submitters see all tasks, or only their own and those on which they have a role; the API "
    "and the processors need the same value.",
    kind=bool,
    default=False,
    choices=("all", "own"),
)

ORIGINS: Final = ("none", "client", "address")
EVENT_ORIGIN: Final = Setting(
    "PULP_EVENT_ORIGIN",
    "What events keep of the request that led to them, for ever. client: how the user was authenticated and what the "
    "client calls itself; address: also where the request came from. none writes version 1 of the events, for as "
    "long as a processor of the previous release runs. The API and the processors need the same value.",
    default="client",
    choices=ORIGINS,
)
PERSONAL_KEY_FILE: Final = Setting(
    "PULP_PERSONAL_KEY_FILE",
    "The file of master keys, which wrap the keys of personal data in Postgres; without it they are stored "
    "unwrapped. The API, the processors, the workers and `pulp-tasks subjects` need the same file.",
    kind=Path,
    default=None,
)


def _topics(env: Mapping[str, str]) -> Topics:
    return Topics.named(topic_prefix(env))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What every process of an installation needs to know. Durations are in seconds."""

    kafka: Annotated[Servers, Several(kafka, (KAFKA, *security.SETTINGS))]
    postgres: Annotated[
        str,
        Setting(
            "PULP_POSTGRES",
            "The database, as a connection string of libpq: a URL, or words such as host=127.0.0.1.",
            is_secret=True,
        ),
    ] = field(repr=False)
    topics: Annotated[Topics, Several(_topics, (TOPIC_PREFIX,))]
    startup_timeout_s: Annotated[
        float, Setting("PULP_STARTUP_TIMEOUT_S", "How long a process waits for Kafka and Postgres when it starts.")
    ] = STARTUP_TIMEOUT_S
    refuses_bad_topics: Annotated[
        bool,
        Setting(
            "PULP_TOPIC_CHECK",
            "Whether a process refuses to start, or only warns, if the topics would lose or corrupt events.",
            choices=("warn", "refuse"),
        ),
    ] = True
    archive: Annotated[str | None, ARCHIVE] = None
    personal_key_file: Annotated[Path | None, PERSONAL_KEY_FILE] = None
    clock_bound_s: Annotated[
        float, Setting("PULP_CLOCK_BOUND_S", "How far clocks may differ before a process warns.")
    ] = 2
    heartbeat: Annotated[
        Path | None,
        Setting("PULP_HEARTBEAT", "The file that the process touches while it is at work, for pulp-tasks-probe."),
    ] = None
    """See `pulp_runtime.heartbeat`."""
    telemetry: Annotated[TelemetrySettings, Several(TelemetrySettings.read, settings_of(TelemetrySettings))] = field(
        default_factory=TelemetrySettings
    )
