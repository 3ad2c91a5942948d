"""Quotas: how much of the system a user may use, and their text form in settings and commands. Pure."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct
from pulp_events.declared_settings import Setting
from pulp_events.errors import BadInput, SettingsError

from pulp_accounts.users import Role

NONE: Final = "none"
_BINARY: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}
_RATE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([KMG]?)/(s|min|h)")
_COUNT: Final = re.compile(r"[0-9]{1,15}")
_SIZE: Final = re.compile(r"([0-9]{1,12})([KMG]?)")
_PRIORITY: Final = re.compile(r"-?[0-9]{1,9}")


class Quota(Struct, frozen=True, kw_only=True):
    """The limits of one user; None means no limit."""

    rate: float | None = None
    """Submissions per second, in all API processes together."""
    burst: int | None = None
    """Submissions at once after a pause; by default as many as ten seconds allow at `rate`."""
    bytes: float | None = None
    """Bytes of submissions per second, in all API processes together; those of a minute may come at once."""
    size: int | None = None
    """Bytes of one submission."""
    unfinished: int | None = None
    """Tasks that wait or run."""
    running: int | None = None
    """Tasks that run at once."""
    priority: int | None = None
    """The highest priority of a task."""
    actions: float | None = None
    """Cancels per second, in one API process."""
    searches: float | None = None
    """Searches and unpaged lists per second, in one API process."""
    streams: int | None = None
    """Event streams at once, in one API process."""


KEYS: Final = tuple(Quota.__struct_fields__)
_RATES: Final = frozenset({"rate", "actions", "searches"})

DEFAULTS: Final[Mapping[Role, str]] = MappingProxyType(
    {
        Role.VIEWER: "searches=50/s streams=20",
        Role.OPERATOR: "actions=100/s searches=50/s streams=20",
        Role.SUBMITTER: "rate=100/s burst=1000 bytes=120M/min unfinished=20000 priority=100 actions=100/s searches=50/s"
        " streams=20",
        Role.AUDITOR: "searches=50/s streams=20",
        Role.ADMIN: "",
    }
)
"""The default quota of each role: more than honest use needs, and none for admins, who set quotas."""


def _parse_setting(name: str, text: str) -> str:
    try:
        return normal(text)
    except BadInput as error:
        raise SettingsError(f"{name}: {error}") from error


_SETTINGS: Final[Mapping[Role, Setting]] = MappingProxyType(
    {
        role: Setting(
            f"PULP_QUOTA_{role.upper()}",
            f"What a user with the role {role} may use; a missing key keeps its default.",
            default="",
            parse=_parse_setting,
            allowed="KEY=VALUE, separated by blanks; `pulp-tasks quotas --help` lists the keys",
            default_text=default or "no limits",
        )
        for role, default in DEFAULTS.items()
    }
)
SETTINGS: Final = tuple(_SETTINGS.values())


def of_roles(env: Mapping[str, str]) -> dict[Role, str]:
    """The settings PULP_QUOTA_ROLE that are set. A key that one does not name keeps its default.

    Raises `SettingsError`, which names the setting and what is wrong.
    """
    found = {role: setting.read(env) for role, setting in _SETTINGS.items()}
    return {role: text for role, text in found.items() if text}


def in_force(env: Mapping[str, str]) -> dict[Role, str]:
    """The quota of each role, from defaults and settings. Raises `SettingsError`."""
    own = of_roles(env)
    found: dict[Role, str] = {}
    for role, default in DEFAULTS.items():
        words = {word.partition("=")[0]: word for text in (default, own.get(role, "")) for word in text.split()}
        found[role] = " ".join(words[key] for key in KEYS if key in words)
    return found


def parse(text: str) -> dict[str, float | int | None]:
    """The values in a text such as `rate=20/s unfinished=none`, by key. Raises `BadInput`, which says what is wrong."""
    found: dict[str, float | int | None] = {}
    for word in text.replace(",", " ").split():
        key, equals, value = word.partition("=")
        if key not in KEYS:
            close = get_close_matches(key, KEYS, 1)
            meant = f", did you mean {close[0]!r}?" if close else ""
            raise BadInput(f"unknown quota {key!r}{meant}; known are: {', '.join(KEYS)}")
        if not equals or not value:
            raise BadInput(f"quota {key!r} has no value: {_example(key)} is expected, or {key}=none")
        if key in found:
            raise BadInput(f"quota {key!r} is given twice")
        found[key] = None if value == NONE else _value(key, value)
    return found


def quota_of(*texts: str) -> Quota:
    """The quota in these texts; the last value of a key counts. Raises `BadInput`."""
    values: dict[str, float | int | None] = {}
    for text in texts:
        values |= parse(text)
    return msgspec.convert(values, Quota)


def normal(text: str) -> str:
    """The text in its normal form: keys in a fixed order, separated by single blanks. Raises `BadInput`."""
    words = {word.partition("=")[0]: word for word in text.replace(",", " ").split()}
    parse(text)
    return " ".join(words[key] for key in KEYS if key in words)


def _value(key: str, value: str) -> float | int:
    found: float | int | None = None
    if key in _RATES and (match := _RATE.fullmatch(value)) and not match[2]:
        found = float(match[1]) / _SECONDS[match[3]]
    elif key == "bytes" and (match := _RATE.fullmatch(value)):
        found = float(match[1]) * _BINARY[match[2]] / _SECONDS[match[3]]
    elif key == "size" and (match := _SIZE.fullmatch(value)):
        found = int(match[1]) * _BINARY[match[2]]
    elif key == "priority" and _PRIORITY.fullmatch(value):
        return int(value)
    elif key in ("burst", "unfinished", "running", "streams") and _COUNT.fullmatch(value):
        found = int(value)
    if found is None:
        raise BadInput(f"quota {key}={value}: {_example(key)} is expected, or {key}=none")
    if found == 0 and key in ("rate", "bytes", "burst", "size"):
        raise BadInput(f"quota {key}={value}: more than 0 is expected; unfinished=0 keeps a user from submitting")
    return found


def _example(key: str) -> str:
    match key:
        case "rate" | "actions" | "searches":
            return f"a number a s, min or h, such as {key}=20/s"
        case "bytes":
            return "a number of bytes a s, min or h, such as bytes=10M/min"
        case "size":
            return "a number of bytes, such as size=256K"
        case _:
            return f"a whole number, such as {key}=10"
