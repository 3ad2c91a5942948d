"""The settings by which a program finds the log: brokers, login, and the names of topics."""

import re
from collections.abc import Mapping
from typing import Final

from pulp_events import security
from pulp_events.declared_settings import REQUIRED, Setting
from pulp_events.errors import SettingsError as SettingsError
from pulp_events.kafka import Kafka

_BROKER: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,200}")


def _brokers(name: str, text: str) -> str:
    found = [each.strip() for each in text.split(",")]
    for each in found:
        match = _BROKER.fullmatch(each)
        if match is None or not 1 <= int(match["port"] or 9092) <= 65_535:
            shown = name if "@" in text else f"{name}={each!r}"
            raise SettingsError(
                f"{shown} is not the address of a broker: HOST:PORT is expected, such as 127.0.0.1:9092 or"
                " [::1]:9092; several are separated by commas"
            )
    return ",".join(found)


def _prefix(name: str, text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise SettingsError(
            f"{name}={text!r} cannot begin the name of a topic: up to 200 letters, digits, '.', '_' and '-' are"
            " expected"
        )
    return text


KAFKA: Final = Setting(
    "PULP_KAFKA",
    "The bootstrap brokers of Kafka, separated by commas.",
    default=REQUIRED,
    parse=_brokers,
    allowed="HOST:PORT",
)
TOPIC_PREFIX: Final = Setting(
    "PULP_TOPIC_PREFIX",
    "The prefix of the installation's topic names.",
    default="pulp.tasks",
    parse=_prefix,
    allowed="1 to 200 letters, digits, `.`, `_` and `-`",
)


def kafka(env: Mapping[str, str]) -> Kafka:
    """Where Kafka is, and how to connect to it (`pulp_events.security`). Raises `SettingsError`."""
    return Kafka(brokers(env), security.read(env))


def brokers(env: Mapping[str, str]) -> str:
    """The brokers as HOST:PORT, separated by commas. Raises `SettingsError`, which repeats no password."""
    found: str = KAFKA.read(env)
    return found


def topic_prefix(env: Mapping[str, str]) -> str:
    """The prefix of topics; raises `SettingsError` for a prefix that a topic name cannot have."""
    found: str = TOPIC_PREFIX.read(env)
    return found
