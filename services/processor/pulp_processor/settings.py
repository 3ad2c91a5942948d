"""The processor's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pulp_accounts.quotas import SETTINGS as QUOTAS
from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import declared_settings
from pulp_events.declared_settings import Setting, Several, settings_of
from pulp_runtime.installation import EVENT_ORIGIN, UNSERVED, UNSERVED_S, VISIBLE_TASKS, Installation

from pulp_processor.delivering.settings import WebhookRules, WebhookSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Installation):
    """The settings of a processor. Durations are in seconds."""

    instance: Annotated[
        str | None,
        Setting(
            "PULP_PROCESSOR_INSTANCE",
            "Static member id in the consumer group: a restart after a crash keeps the partitions. No two processors "
            "may share one.",
        ),
    ] = None
    batch_records: Annotated[
        int,
        Setting(
            "PULP_BATCH_RECORDS",
            "The largest number of records that one transaction projects.",
            least=1,
            most=1_000_000,
        ),
    ] = 5000
    most_parked_tasks: Annotated[
        int,
        Setting(
            "PULP_MOST_PARKED_TASKS",
            "The largest number of tasks that may be parked, each by a record that cannot be projected. Rather than "
            "park more, a processor or a rebuild stops with exit code 65. Postgres and the processor's memory hold "
            "the records that wait.",
            least=0,
            most=100_000,
        ),
    ] = 100
    stall_s: Annotated[
        float,
        Setting("PULP_STALL_S", "If a partition with lag makes no progress for this long, the process ends.", least=1),
    ] = 60
    session_timeout_s: Annotated[
        float,
        Setting(
            "PULP_SESSION_TIMEOUT_S",
            "If a processor sends no heartbeat for this long, Kafka gives its partitions to another.",
            least=1,
            most=86_400,
        ),
    ] = 7
    cancel_grace_s: Annotated[
        float, Setting("PULP_CANCEL_GRACE_S", "How long after a cancel request the processor waits for the worker.")
    ] = 60
    lease_margin_s: Annotated[
        float, Setting("PULP_LEASE_MARGIN_S", "How long after the end of a lease the processor acts on it.")
    ] = 2

    schedule_grace_s: Annotated[
        float,
        Setting("PULP_SCHEDULE_GRACE_S", "How late a schedule's tick may run before it counts as missed.", least=5),
    ] = 60
    publishes_states: Annotated[
        bool,
        Setting(
            "PULP_STATE_TOPIC",
            "Whether to publish each task's current state to the compacted topic of states, `PREFIX.state`.",
            choices=("no", "yes"),
        ),
    ] = False
    webhooks: Annotated[WebhookSettings, Several(WebhookSettings.read, settings_of(WebhookRules, WebhookSettings))] = (
        field(default_factory=WebhookSettings)
    )
    is_scoped: Annotated[bool, VISIBLE_TASKS] = False
    """The same as the API's: a subscription delivers what its user may see."""
    event_origin: Annotated[str, EVENT_ORIGIN] = "client"
    """The same as the API's, for the tasks of schedules."""
    unserved_s: Annotated[float, UNSERVED] = UNSERVED_S
    quotas: Annotated[Mapping[Role, str], Several(of_roles, QUOTAS)] = field(default_factory=dict)
    """The same as the API's: the dispatcher keeps how many tasks of a user may run at once."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))
