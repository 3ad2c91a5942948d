"""Settings that are declared once: the field of a frozen class has the type and the default, its `Setting` the rest.

class Settings:
    stall_s: Annotated[float, Setting("PULP_STALL_S", "How long a partition may stand still.", least=1)] = 60
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, get_type_hints

from pulp_events.settings import SettingsError, integer, number, text, words

_UNITS: Final = {"_s": "seconds", "_bytes": "bytes", "_kib": "KiB"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of a settings class does not say itself. Metadata of `Annotated`."""

    name: str
    """The environment variable."""
    sentence: str
    least: float = 0
    most: float | None = None
    choices: tuple[str, ...] = ()
    """Words that are allowed. Of a `bool` the second one is true."""

    @property
    def unit(self) -> str:
        """By the end of the name: seconds, bytes or KiB; else there is none."""
        return next((unit for end, unit in _UNITS.items() if self.name.lower().endswith(end)), "")


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a dataclass, by field, with those of its bases. Fields that are no settings are left out."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        each.name: setting
        for each in fields(cls)
        for setting in getattr(hints[each.name], "__metadata__", ())
        if isinstance(setting, Setting)
    }


def read(cls: type, env: Mapping[str, str]) -> dict[str, Any]:
    """The values of the declared fields of a dataclass; raises `SettingsError`, which names key and value."""
    kinds, declared = get_type_hints(cls), settings_of(cls)
    defaults = {each.name: each.default for each in fields(cls)}
    return {name: _value(setting, env, kinds[name], defaults[name]) for name, setting in declared.items()}


def _value(setting: Setting, env: Mapping[str, str], kind: Any, default: Any) -> Any:
    if setting.choices:
        return _choice(setting, env, kind, default)
    if kind is int or kind is float:
        value = number(env, setting.name, default, least=setting.least)
        if kind is int:
            value = integer(env, setting.name, default, least=int(setting.least))
        if setting.most is not None and value > setting.most:
            raise SettingsError(
                f"{setting.name}={value}: a number from {setting.least:g} to {setting.most:.0f} is expected"
            )
        return value
    if kind == tuple[str, ...]:
        return words(env, setting.name, default)
    return text(env, setting.name, None if default is MISSING else default)


def _choice(setting: Setting, env: Mapping[str, str], kind: Any, default: Any) -> Any:
    value = env.get(setting.name, "").strip().lower()
    if not value:
        return default
    if value not in setting.choices:
        raise SettingsError(f"{setting.name}={value}: one of {', '.join(setting.choices)} is expected")
    return value == setting.choices[1] if kind is bool else value
