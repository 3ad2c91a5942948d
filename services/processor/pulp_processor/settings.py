"""The processor's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pulp_events import settings as read


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(read.Installation):
    """What a processor needs to know. Durations are in seconds."""

    instance: str | None = None
    """Static member of the consumer group: a restart keeps its partitions. Two processors may not share one."""
    batch_records: int = 5000
    stall_s: float = 60
    """A partition with lag that does not move for so long ends the process."""
    session_timeout_s: float = 7
    """Kafka gives the partitions of a processor that is not heard for so long to another one."""
    cancel_grace_s: float = 60
    lease_margin_s: float = 2

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(
            **read.installation(env),
            instance=env.get("PULP_PROCESSOR_INSTANCE") or None,
            batch_records=read.integer(env, "PULP_BATCH_RECORDS", 5000, least=1),
            stall_s=read.number(env, "PULP_STALL_S", 60, least=1),
            session_timeout_s=read.number(env, "PULP_SESSION_TIMEOUT_S", 7, least=1),
            cancel_grace_s=read.number(env, "PULP_CANCEL_GRACE_S", 60),
            lease_margin_s=read.number(env, "PULP_LEASE_MARGIN_S", 2),
        )
