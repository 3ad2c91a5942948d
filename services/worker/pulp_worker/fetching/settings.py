"""The settings of fetching. `pulp_worker.bounds` reads them from PULP_FETCH_*."""

from typing import Final

from msgspec import Struct

from pulp_worker.fetching.rules import Rules

_GIB: Final = 1 << 30
_DEFAULT_RULES: Final = Rules()
LOCAL_ALLOW: Final = ("public", "private", "loopback")
"""What a stack on one machine allows, whose feeds may be on that machine as well."""


class FetchSettings(Struct, frozen=True, kw_only=True):
    """Where an operation may fetch from, and how much. Durations are in seconds."""

    rules: Rules = _DEFAULT_RULES
    redirects: int = 5
    downgrade: bool = False
    """Whether a redirect may lead from https to http."""
    most_bytes: int = 16 * _GIB
    """Of one file, as it is sent."""
    task_bytes: int = 1024 * _GIB
    """Of all that one fetcher of a task fetches."""
    header_bytes: int = 64 * 1024
    """Of the head of an answer."""
    total_s: float = 4 * 3600
    connect_s: float = 10
    """For the name, the connection and TLS, each."""
    read_s: float = 60
    """For the head of an answer, and then without a byte."""
    lowest_rate: int = 1000
    """Bytes a second, on average over `rate_window_s`."""
    rate_window_s: float = 30
    unpacked_bytes: int = 4 * _GIB
    """Of one file, when it is unpacked."""
    unpacked_ratio: int = 300
    """How many times larger a file may become when it is unpacked, once it has over 16 MiB."""
    credentials: str | None = None
    """A file of named credentials, or a folder of such files. The path alone: who needs one reads it."""
