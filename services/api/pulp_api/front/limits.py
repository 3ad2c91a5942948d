"""How much a client of the API may send, keep open and leave unread: `PULP_API_…` of the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from pulp_events import settings as read

BODY_BYTES: Final = 1_000_000
"""What the body of a request may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on connections. Durations are in seconds, sizes in bytes."""

    clients: int = 1000
    """Open connections, in all."""
    clients_per_address: int = 250
    """The same of one address, unless it is a trusted proxy. Of IPv6 the first 64 bits count as one address."""
    at_once: int = 16
    """Requests that are answered at a time; of those that wait goes first who took least of our time lately."""
    head_bytes: int = 65_536
    head_fields: int = 100
    head_s: float = 10
    """From the first byte of a request, or from the connection's start, until its head is complete."""
    body_s: float = 60
    """From the head of a request until its body is complete."""
    stalled_s: float = 30
    """So long a client may take its answer, or send its body, more slowly than `least_rate`."""
    least_rate: int = 1000
    """Bytes a second, on average over `stalled_s`."""
    held_bytes: int = 33_554_432
    """Of requests that are not answered yet, and again of answers that clients have not taken, in all."""
    streams: int = 500
    """Open event streams, in all."""
    streams_per_address: int = 100

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        usual = cls()

        def integer(name: str, least: int = 1) -> int:
            return read.integer(env, f"PULP_API_{name.upper()}", getattr(usual, name), least=least)

        def number(name: str) -> float:
            return read.number(env, f"PULP_API_{name.upper()}", getattr(usual, name), least=0.1)

        return cls(
            clients=integer("clients"),
            clients_per_address=integer("clients_per_address"),
            at_once=integer("at_once"),
            head_bytes=integer("head_bytes", 1024),
            head_fields=integer("head_fields", 10),
            head_s=number("head_s"),
            body_s=number("body_s"),
            stalled_s=number("stalled_s"),
            least_rate=integer("least_rate"),
            held_bytes=integer("held_bytes", 1_048_576),
            streams=integer("streams"),
            streams_per_address=integer("streams_per_address"),
        )
