"""A setting's default, unit and bounds in words, the same in the help and in the reference."""

from typing import Any

from pulp_events.declared_settings import REQUIRED, Setting


def default_text(setting: Setting) -> str:
    """The default in words; empty if it is None or an empty text."""
    if setting.default_text:
        return setting.default_text
    if isinstance(setting.default, bool):
        return setting.choices[setting.default]
    return _value_text(setting.default)


def allowed_text(setting: Setting) -> str:
    """What it takes, in words: choices, bounds, or what its own parser says."""
    if setting.choices:
        return " or ".join(setting.choices)
    if setting.is_number:
        return (
            f"at least {setting.least:.12g}" if setting.most is None else f"{setting.least:.12g} to {setting.most:.12g}"
        )
    return setting.allowed


def _value_text(value: Any) -> str:
    match value:
        case int() | float():
            return f"{value:.12g}" if isinstance(value, float) else str(value)
        case tuple():
            return ",".join(_item_text(each) for each in value)
        case _:
            return str(value) if value and value is not REQUIRED else ""


def _item_text(item: Any) -> str:
    """An item of a list; a range as one number if it is one."""
    if not isinstance(item, tuple):
        return str(item)
    first, last = item
    return str(first) if first == last else f"{first}-{last}"
