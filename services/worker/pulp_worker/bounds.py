"""Reading PULP_FETCH_*, PULP_FEED_CREDENTIALS and PULP_ISOLATED_*.

Apart from the settings themselves: the processes of operations get these from their worker, and read nothing.
"""

import os
from collections.abc import Mapping
from typing import Final

from pulp_events import settings as read

from pulp_worker.fetching.rules import Rules, ports_of, wrong_item
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings

_MIB: Final = 1 << 20


def fetch_settings(env: Mapping[str, str]) -> FetchSettings:
    """Raises `SettingsError`, which names the key."""
    default = FetchSettings()
    return FetchSettings(
        rules=Rules(
            allow=_items(env, "PULP_FETCH_ALLOW", default.rules.allow),
            deny=_items(env, "PULP_FETCH_DENY", ()),
            ports=_ports(env, "PULP_FETCH_PORTS", default.rules.ports),
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
        credentials=_path(env, "PULP_FEED_CREDENTIALS"),
    )


def isolation_settings(env: Mapping[str, str]) -> IsolationSettings:
    """Raises `SettingsError`, which names the key."""
    default = IsolationSettings()
    return IsolationSettings(
        memory_bytes=read.integer(env, "PULP_ISOLATED_MEMORY_BYTES", default.memory_bytes, least=128 * _MIB),
        cpu_s=read.integer(env, "PULP_ISOLATED_CPU_S", default.cpu_s, least=1),
        total_s=read.number(env, "PULP_ISOLATED_TOTAL_S", default.total_s, least=1),
        result_bytes=read.integer(env, "PULP_ISOLATED_RESULT_BYTES", default.result_bytes, least=1),
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


def _path(env: Mapping[str, str], key: str) -> str | None:
    """Absolute: an operation may change the folder of its process."""
    text = env.get(key, "").strip()
    return os.path.abspath(text) if text else None


def _yes_or_no(env: Mapping[str, str], key: str, default: bool) -> bool:
    value = env.get(key, "").strip().lower()
    if value not in ("", "yes", "no"):
        raise read.SettingsError(f"{key}={env[key]}: yes or no is expected")
    return value == "yes" if value else default
