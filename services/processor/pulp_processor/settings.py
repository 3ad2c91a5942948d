"""The processor's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pulp_events import declared_settings
from pulp_events import settings as read
from pulp_events.declared_settings import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(read.Installation):
    """What a processor needs to know. Durations are in seconds."""

    instance: str | None = None
    """Static member of the consumer group: a restart keeps its partitions. Two processors may not share one."""
    batch_records: Annotated[
        int, Setting("PULP_BATCH_RECORDS", "How many records one transaction projects at most.", least=1)
    ] = 5000
    stall_s: Annotated[
        float, Setting("PULP_STALL_S", "A partition with lag that does not move for so long ends the process.", least=1)
    ] = 60
    session_timeout_s: Annotated[
        float,
        Setting(
            "PULP_SESSION_TIMEOUT_S",
            "Kafka gives the partitions of a processor that sends no heartbeat for so long to another one.",
            least=1,
        ),
    ] = 7
    cancel_grace_s: Annotated[
        float, Setting("PULP_CANCEL_GRACE_S", "How long after a cancel request the processor waits for the worker.")
    ] = 60
    lease_margin_s: Annotated[
        float, Setting("PULP_LEASE_MARGIN_S", "How long after a lease has ended the processor acts on it.")
    ] = 2

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(
            **read.installation(env),
            instance=env.get("PULP_PROCESSOR_INSTANCE") or None,
            **declared_settings.read(cls, env),
        )
