"""Results and progress of operations as JSON. Values that JSON would silently change are refused."""

import math
from typing import Any

import msgspec


def encode(value: object) -> bytes:
    """The value as JSON text.

    Raises `TypeError` or `ValueError`, which name the place, for values that JSON cannot hold: NaN and infinity, two
    keys that become one. `RecursionError` or `OverflowError` for values that are nested too deep or too large.
    """
    plain = msgspec.to_builtins(value, enc_hook=_text)
    _check(plain)
    return msgspec.json.encode(plain)


def _text(value: object) -> str:
    """A string of a subclass, such as `HttpUrl`, as JSON."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"objects of type {type(value).__name__} are nothing that JSON has")


def _check(plain: Any) -> None:
    containers = [("", plain)]
    while containers:
        place, value = containers.pop()
        match value:
            case float():
                _check_number(place, value)
            case dict():
                if any(type(key) is not str for key in value):
                    _check_keys(place, value)
                containers += [(f"{place}.{key}", item) for key, item in value.items() if _is_checked(item)]
            case list():
                containers += [(f"{place}[{index}]", item) for index, item in enumerate(value) if _is_checked(item)]


def _is_checked(value: object) -> bool:
    kind = type(value)
    return kind is dict or kind is list or kind is float


def _check_number(place: str, number: float) -> None:
    if not math.isfinite(number):
        raise ValueError(f"{number} {_at(place)} is not a JSON number: use null (None), or a text, in its place")


def _check_keys(place: str, value: dict[Any, Any]) -> None:
    if len({str(key) for key in value}) < len(value):
        raise ValueError(f"two keys {_at(place)} are the same in JSON, whose keys are texts: 1 and '1', for instance")


def _at(place: str) -> str:
    return f"at {place}" if place else "at the top"
