"""Settings that are declared once, with name, type, default, unit and one sentence.

A setting is a field of a frozen class, which has the type and the default, or a constant, which has all of it:

class Settings:
    stall_s: Annotated[float, Setting("PULP_STALL_S", "How long a partition may stand still.", least=1)] = 60

DATA: Final = Setting("PULP_DATA", "The data folder.", kind=Path)

The values are read here, `--help` lists them, and docs/reference/settings.md is made from them.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeAlias, get_args, get_type_hints

from pulp_events.errors import WrongSetting

REQUIRED: Final = MISSING
"""The default of a required setting."""
MOST: Final = 2_147_483_647
"""The largest number, unless a setting says otherwise: the limit of Kafka and Postgres."""
MOST_S: Final = 10 * 365 * 86_400
"""The same for seconds: dates, timers and Postgres's intervals all allow it."""
MOST_BYTES: Final = 1 << 60
_UNITS: Final = {"_s": "seconds", "_bytes": "bytes", "_kib": "KiB", "_rate": "bytes a second", "_percent": "percent"}
_LONGEST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. As the metadata of an annotated field it takes the type and the default from the field."""

    name: str
    """The environment variable."""
    sentence: str
    kind: Any = str
    """`str`, `int`, `float`, `bool`, `Path` or `tuple[str, ...]`, each also with None; anything else needs `parse`."""
    default: Any = None
    least: float = 0
    most: float | None = None
    choices: tuple[str, ...] = ()
    """The allowed words, in any case. For a `bool`, the second one is true."""
    parse: Callable[[str, str], Any] | None = None
    """Converts the name and the text to the value. Raises `SettingsError`."""
    allowed: str = ""
    """What `parse` takes, in a few words."""
    default_text: str = ""
    """The default in words, if the value alone is not clear."""
    is_secret: bool = False
    """Whether the value is never shown."""
    is_internal: bool = False
    """Whether only our processes set it, for each other."""

    @property
    def unit(self) -> str:
        """By the end of the name; empty without one."""
        return next((unit for end, unit in _UNITS.items() if self.name.lower().endswith(end)), "")

    @property
    def is_number(self) -> bool:
        """Whether it has bounds."""
        return self.kind in (int, float) and self.parse is None

    @property
    def largest(self) -> float:
        """The upper bound of a number."""
        if self.most is not None:
            return self.most
        return {"seconds": MOST_S, "bytes": MOST_BYTES}.get(self.unit, MOST)

    @property
    def range(self) -> str:
        """The bounds of a number, in words."""
        return f"from {self.least:.12g} to {self.largest:.0f}"

    def read(self, env: Mapping[str, str]) -> Any:
        """The value, or the default. Raises `SettingsError`, which names the setting and what is expected."""
        text = env.get(self.name, "").strip()
        if not text.strip(", "):
            if self.default is REQUIRED:
                raise WrongSetting(self.name, f"{self.name} is not set: it is needed", "a value is expected")
            return self.default
        if self.parse is not None:
            return self.parse(self.name, text)
        if self.choices:
            return self._choice(text)
        if self.is_number:
            return self._number(text)
        if self.kind == tuple[str, ...]:
            return words(text) or self.default
        return Path(text) if Path in (self.kind, *get_args(self.kind)) else text

    def wrong(self, text: str, expected: str) -> WrongSetting:
        """The error for a text that cannot be the value; it does not repeat a secret."""
        shown = text if self.is_number else repr(text)
        return wrong(self.name, None if self.is_secret else shown, expected)

    def _choice(self, text: str) -> Any:
        found = {choice.lower(): choice for choice in self.choices}.get(text.lower())
        if found is None:
            raise self.wrong(text, f"one of {', '.join(self.choices)} is expected")
        return found == self.choices[1] if self.kind is bool else found

    def _number(self, text: str) -> float:
        kind = "a whole number" if self.kind is int else "a number"
        bounds = f"of at least {self.least:.12g}" if self.most is None else self.range
        try:
            value: float = int(text) if text.isdecimal() else float(text)
        except ValueError:  # also more digits than Python converts
            raise self.wrong(text, f"{kind} {bounds} is expected") from None
        if value > self.largest:
            raise self.wrong(text, f"{kind} {self.range} is expected")
        if not text.isascii() or not value >= self.least or value != self.kind(value):  # NaN is not in any range
            raise self.wrong(text, f"{kind} {bounds} is expected")
        return value if self.kind is float else int(value)


@dataclass(frozen=True, slots=True)
class Several:
    """Metadata of `Annotated` for a field whose value comes from several settings."""

    read: Callable[[Mapping[str, str]], Any]
    settings: tuple[Setting, ...]


Source: TypeAlias = type | Setting | Iterable[Setting]
"""Where settings are declared: a class, or constants."""


def settings_of(*sources: Source) -> tuple[Setting, ...]:
    """The declared settings, each once and in order; for a class, those of its bases too."""
    found: dict[str, Setting] = {}
    for source in sources:
        for each in _declared(source):
            found.setdefault(each.name, each)
    return tuple(found.values())


def read(cls: type, env: Mapping[str, str]) -> dict[str, Any]:
    """The values of the declared fields of a class, for its constructor.

    Raises `SettingsError`, which names the setting and what is expected.
    """
    return {field: declared.read(env) for field, declared in _members(cls)}


def setting_of(cls: type, field: str) -> Setting:
    """The setting of one declared field."""
    found = dict(_members(cls))[field]
    assert isinstance(found, Setting)
    return found


def read_field(cls: type, field: str, env: Mapping[str, str]) -> Any:
    """The value of one declared field. Raises `SettingsError`."""
    return setting_of(cls, field).read(env)


def wrong(name: str, text: str | None, expected: str) -> WrongSetting:
    """The error of a setting whose text cannot be its value; None for a text that is not to be shown."""
    if text is None:
        return WrongSetting(name, f"{name}: {expected}", expected)
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return WrongSetting(name, f"{name}={shown}: {expected}", expected)


def words(text: str) -> tuple[str, ...]:
    """Words separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def absolute_path(_: str, text: str) -> str:
    """The path from the root, for a program that may change its folder."""
    return os.path.abspath(text)


def _declared(source: Source) -> Iterator[Setting]:
    if isinstance(source, Setting):
        yield source
    elif isinstance(source, type):
        for _, declared in _members(source):
            yield from declared.settings if isinstance(declared, Several) else (declared,)
    else:
        yield from source


def _members(cls: type) -> Iterator[tuple[str, Setting | Several]]:
    hints, kinds = get_type_hints(cls, include_extras=True), get_type_hints(cls)
    for field, default in _defaults(cls).items():
        for declared in getattr(hints[field], "__metadata__", ()):
            if isinstance(declared, Setting):
                yield field, replace(declared, kind=_plain(kinds[field]), default=default)
            elif isinstance(declared, Several):
                yield field, declared


def _defaults(cls: type) -> dict[str, Any]:
    if is_dataclass(cls):
        return {each.name: each.default for each in fields(cls)}
    from msgspec import NODEFAULT, structs  # not at the top: each command loads this module, and few of them msgspec

    found = structs.fields(cls)
    return {each.name: REQUIRED if each.default is NODEFAULT else each.default for each in found}


def _plain(kind: Any) -> Any:
    """The type without None."""
    parts = [each for each in get_args(kind) if each is not NoneType]
    return parts[0] if NoneType in get_args(kind) and len(parts) == 1 else kind
