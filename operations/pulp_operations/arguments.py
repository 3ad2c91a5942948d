"""Checking an operation's arguments."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pulp_worker import OperationError

BAD_ARGUMENT: Final = "bad-argument"


def text(arguments: Mapping[str, Any], name: str) -> str:
    """A text that must be given and not be empty. Raises `OperationError` with the code `bad-argument`."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise OperationError(BAD_ARGUMENT, f"argument {name!r}: a text is needed, not {value!r}")
    return value


def url(arguments: Mapping[str, Any], name: str) -> str:
    """An http or https URL."""
    value = text(arguments, name)
    if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
        raise OperationError(BAD_ARGUMENT, f"argument {name!r}: {value!r} is no http or https URL")
    return value


def number(arguments: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise OperationError(
            BAD_ARGUMENT, f"argument {name!r}: a whole number from 1 to {most} is needed, not {value!r}"
        )
    return value
