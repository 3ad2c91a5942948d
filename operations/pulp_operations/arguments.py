"""Checking what an operation was given: its arguments, and the resources that it must hold."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pulp_worker import Context, OperationError

BAD_ARGUMENT: Final = "bad-argument"
_MOST_CHARACTERS: Final = 2000


def text(arguments: Mapping[str, Any], name: str) -> str:
    """A text that must be given and not be empty. Raises `OperationError` with the code `bad-argument`, as all do."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value or len(value) > _MOST_CHARACTERS:
        raise _bad(name, f"a text of 1 to {_MOST_CHARACTERS} characters is needed")
    return value


def url(arguments: Mapping[str, Any], name: str) -> str:
    """An http or https URL without user name and password, since arguments are kept for ever."""
    value = text(arguments, name)
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise _bad(name, "an http or https URL is needed")
    if "@" in parts.netloc:
        raise _bad(name, "a URL with a user name or password is refused, since arguments are kept in the log")
    return value


def number(arguments: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _bad(name, f"a whole number from 1 to {most} is needed")
    return value


def flag(arguments: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """True or false."""
    value = arguments.get(name, default)
    if not isinstance(value, bool):
        raise _bad(name, "true or false is needed")
    return value


def fencing_token(context: Context, *resources: str) -> int:
    """The token of the first of these resources (`TYPE:ID`).

    Raises `OperationError` (`not-reserved`) if the task does not hold them all: its submission named other resources.
    """
    for resource in resources:
        if resource not in context.tokens:
            raise OperationError(
                "not-reserved",
                f"the task does not hold the resource {resource}: submit it without resources of its own, or name it",
            )
    return context.tokens[resources[0]]


def _bad(name: str, need: str) -> OperationError:
    return OperationError(BAD_ARGUMENT, f"argument {name!r}: {need}")
