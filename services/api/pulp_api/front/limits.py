"""How much a client of the API may send, keep open and leave unread: `PULP_API_…` of the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pulp_events import declared_settings
from pulp_events.declared_settings import Setting

BODY_BYTES: Final = 1_000_000
"""The most bytes of a request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on connections. Durations are in seconds, sizes in bytes."""

    clients: Annotated[int, Setting("PULP_API_CLIENTS", "The largest number of open connections.", least=1)] = 1000
    clients_per_address: Annotated[
        int,
        Setting(
            "PULP_API_CLIENTS_PER_ADDRESS",
            "The same for one address that is not a trusted proxy; the first 64 bits of IPv6 count as one address.",
            least=1,
        ),
    ] = 250
    at_once: Annotated[int, Setting("PULP_API_AT_ONCE", "The largest number of requests served at once.", least=1)] = 16
    head_bytes: Annotated[int, Setting("PULP_API_HEAD_BYTES", "The largest size of a request's head.", least=1024)] = (
        65_536
    )
    head_fields: Annotated[
        int, Setting("PULP_API_HEAD_FIELDS", "The largest number of fields in a request's head.", least=10)
    ] = 100
    head_s: Annotated[
        float,
        Setting(
            "PULP_API_HEAD_S",
            "How long a request's head may take, from its first byte or from the start of the connection.",
            least=0.1,
        ),
    ] = 10
    body_s: Annotated[
        float, Setting("PULP_API_BODY_S", "How long a request's body may take, once its head is complete.", least=0.1)
    ] = 60
    stalled_s: Annotated[
        float,
        Setting(
            "PULP_API_STALLED_S",
            "How long a client may send its body, or read its answer, below the minimum rate.",
            least=0.1,
        ),
    ] = 30
    least_rate: Annotated[
        int, Setting("PULP_API_LEAST_RATE", "The minimum rate, on average over PULP_API_STALLED_S.", least=1)
    ] = 1000
    held_bytes: Annotated[
        int,
        Setting(
            "PULP_API_HELD_BYTES",
            "The most bytes of unanswered requests, and the most bytes of answers that clients have not read.",
            least=1048576,
        ),
    ] = 33_554_432
    streams: Annotated[int, Setting("PULP_API_STREAMS", "The largest number of open event streams.", least=1)] = 500
    streams_per_address: Annotated[
        int, Setting("PULP_API_STREAMS_PER_ADDRESS", "The same for one address.", least=1)
    ] = 100

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))
