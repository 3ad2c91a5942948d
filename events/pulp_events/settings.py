"""Reading settings from the environment. Each process has one frozen class of its own, read once in its main."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final, TypedDict

from pulp_events import security
from pulp_events.errors import SettingsError as SettingsError
from pulp_events.kafka import Kafka, Servers
from pulp_events.topics import Topics

_BROKER: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,200}")
UNSERVED_S: Final = 300.0
"""What no worker could run for so long is not waited for by later tasks on its resources, unless a setting says
otherwise. In seconds: longer than a restart of a worker takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What every process of an installation needs to know. Durations are in seconds."""

    kafka: Servers
    postgres: str
    topics: Topics
    startup_timeout_s: float = 60
    refuses_bad_topics: bool = True
    """Whether a process does not start on topics that would lose or spoil events."""
    clock_bound_s: float = 2
    """Clocks that are off by more are told."""
    heartbeat: Path | None = None
    """The file that says that the process is at work, for probes; see `pulp_runtime.heartbeat`."""


class _Installation(TypedDict):
    kafka: Servers
    postgres: str
    topics: Topics
    startup_timeout_s: float
    refuses_bad_topics: bool
    clock_bound_s: float
    heartbeat: Path | None


def installation(env: Mapping[str, str]) -> _Installation:
    """The fields of `Installation`; raises `SettingsError`."""
    return {
        "kafka": kafka(env),
        "postgres": text(env, "PULP_POSTGRES"),
        "topics": Topics.named(topic_prefix(env)),
        "startup_timeout_s": number(env, "PULP_STARTUP_TIMEOUT_S", 60),
        "refuses_bad_topics": refuses_bad_topics(env),
        "clock_bound_s": number(env, "PULP_CLOCK_BOUND_S", 2),
        "heartbeat": Path(found) if (found := env.get("PULP_HEARTBEAT", "").strip()) else None,
    }


def refuses_bad_topics(env: Mapping[str, str]) -> bool:
    """PULP_TOPIC_CHECK: `refuse` or `warn`; raises `SettingsError` for anything else."""
    value = env.get("PULP_TOPIC_CHECK", "").strip() or "refuse"
    if value not in ("refuse", "warn"):
        raise SettingsError(f"PULP_TOPIC_CHECK={value!r}: refuse or warn is expected")
    return value == "refuse"


def text(env: Mapping[str, str], key: str, default: str | None = None) -> str:
    """The value of `key`, or the default; raises `SettingsError` if there is neither."""
    value = env.get(key, "").strip() or default
    if value is None:
        raise SettingsError(f"{key} is not set: it is needed")
    return value


def kafka(env: Mapping[str, str]) -> Kafka:
    """PULP_KAFKA, and how to connect to it (`pulp_events.security`). Raises `SettingsError`."""
    return Kafka(brokers(env), security.read(env))


def brokers(env: Mapping[str, str]) -> str:
    """PULP_KAFKA: brokers as HOST:PORT, separated by commas. Raises `SettingsError`, which repeats no password."""
    value = text(env, "PULP_KAFKA")
    found = [each.strip() for each in value.split(",")]
    for each in found:
        match = _BROKER.fullmatch(each)
        if match is None or not 1 <= int(match["port"] or 9092) <= 65_535:
            shown = "PULP_KAFKA" if "@" in value else f"PULP_KAFKA={each!r}"
            raise SettingsError(
                f"{shown} is not the address of a broker: HOST:PORT is expected, such as 127.0.0.1:9092 or"
                " [::1]:9092; several are separated by commas"
            )
    return ",".join(found)


def topic_prefix(env: Mapping[str, str]) -> str:
    """PULP_TOPIC_PREFIX; raises `SettingsError` for what cannot begin the name of a topic."""
    prefix = text(env, "PULP_TOPIC_PREFIX", "pulp.tasks")
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(
            f"PULP_TOPIC_PREFIX={prefix!r} cannot begin the name of a topic: up to 200 letters, digits, '.', '_' and"
            " '-' are expected"
        )
    return prefix


def number(env: Mapping[str, str], key: str, default: float, *, least: float = 0) -> float:
    """A number of at least `least`; raises `SettingsError` for anything else."""
    value = env.get(key, "").strip()
    if not value:
        return default
    try:
        parsed = float(value)
    except ValueError:
        raise SettingsError(f"{key}={value}: a number is expected") from None
    if not (isfinite(parsed) and parsed >= least):
        raise SettingsError(f"{key}={value}: a number of at least {least:g} is expected")
    return parsed


def integer(env: Mapping[str, str], key: str, default: int, *, least: int = 0) -> int:
    """A whole number of at least `least`; raises `SettingsError` for anything else."""
    value = number(env, key, default, least=least)
    if value != int(value):
        raise SettingsError(f"{key}={env[key]}: a whole number is expected")
    return int(value)


def unserved(env: Mapping[str, str]) -> float:
    """PULP_UNSERVED_AFTER_S, which workers and the API have to agree on. Raises `SettingsError`."""
    return number(env, "PULP_UNSERVED_AFTER_S", UNSERVED_S)


def words(env: Mapping[str, str], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Words that commas separate."""
    parts = tuple(word.strip() for word in env.get(key, "").split(",") if word.strip())
    return parts or default
