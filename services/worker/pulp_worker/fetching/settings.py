"""The settings of fetching: PULP_FETCH_*."""

from collections.abc import Mapping
from typing import Final, Self

from msgspec import Struct
from pulp_events import settings as read

from pulp_worker.fetching.rules import Rules, ports_of, wrong_item

_GIB: Final = 1 << 30
_DEFAULT_RULES: Final = Rules()
LOCAL_ALLOW: Final = "public,private,loopback"
"""PULP_FETCH_ALLOW of a stack on one machine, whose feeds may be on that machine as well."""


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

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        default = cls()
        return cls(
            rules=Rules(
                allow=_items(env, "PULP_FETCH_ALLOW", _DEFAULT_RULES.allow),
                deny=_items(env, "PULP_FETCH_DENY", ()),
                ports=_ports(env, "PULP_FETCH_PORTS", _DEFAULT_RULES.ports),
            ),
            redirects=read.integer(env, "PULP_FETCH_REDIRECTS", default.redirects),
            downgrade=_yes_or_no(env, "PULP_FETCH_DOWNGRADE", default.downgrade),
            most_bytes=read.integer(env, "PULP_FETCH_BYTES", default.most_bytes, least=1),
            task_bytes=read.integer(env, "PULP_FETCH_TASK_BYTES", default.task_bytes, least=1),
            header_bytes=read.integer(env, "PULP_FETCH_HEADER_BYTES", default.header_bytes, least=1024),
            total_s=read.number(env, "PULP_FETCH_TOTAL_S", default.total_s, least=1),
            connect_s=read.number(env, "PULP_FETCH_CONNECT_S", default.connect_s, least=0.1),
            read_s=read.number(env, "PULP_FETCH_READ_S", default.read_s, least=0.1),
            lowest_rate=read.integer(env, "PULP_FETCH_LOWEST_RATE", default.lowest_rate),
            rate_window_s=read.number(env, "PULP_FETCH_RATE_WINDOW_S", default.rate_window_s, least=1),
            unpacked_bytes=read.integer(env, "PULP_FETCH_UNPACKED_BYTES", default.unpacked_bytes, least=1),
            unpacked_ratio=read.integer(env, "PULP_FETCH_UNPACKED_RATIO", default.unpacked_ratio, least=1),
        )


def _items(env: Mapping[str, str], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(item.lower() for item in read.words(env, key, default))
    wrong = next(filter(wrong_item, found), None)
    if wrong is not None:
        raise read.SettingsError(
            f"{key}: {wrong!r} is neither public, private or loopback, nor a network such as 10.0.0.0/8, nor the name"
            " of a host such as mirror.example.org or *.example.org (in ASCII letters)"
        )
    return found


def _ports(env: Mapping[str, str], key: str, default: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    words = read.words(env, key, ())
    found = [ports_of(word) for word in words]
    if None in found:
        raise read.SettingsError(f"{key}={env[key]}: ports and ranges are expected, such as 80,443,8000-8999")
    return tuple(each for each in found if each is not None) or default


def _yes_or_no(env: Mapping[str, str], key: str, default: bool) -> bool:
    value = env.get(key, "").strip().lower()
    if value not in ("", "yes", "no"):
        raise read.SettingsError(f"{key}={env[key]}: yes or no is expected")
    return value == "yes" if value else default
