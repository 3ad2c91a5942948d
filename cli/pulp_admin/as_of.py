"""Lists as they were: the option `--as-of`, and the server's answers about moments that it knows nothing about."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.exits import NO_INPUT

from pulp_admin.audit_options import PLACE
from pulp_admin.errors import Failure, NotFound, StaleStream
from pulp_admin.paths import ApiPath
from pulp_admin.positions import LogPosition

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])


class AsOfType(click.ParamType):
    """A time, an event as PARTITION:OFFSET, several of them, or a cursor; the value is what the server takes."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = value.split(",")
        if len(parts) == 1:
            return PLACE.convert(value, param, ctx)
        try:
            return ",".join(str(LogPosition.parse(part.strip())) for part in parts)
        except ValueError:
            return self.fail(f"{value!r}: of each partition an OFFSET is expected, such as 0:12,3:1042", param, ctx)


AS_OF: Final = AsOfType()


def as_of_option(command: F) -> F:
    """Add `--as-of`; the value is what the server takes."""
    told = "As it was then: 5m, yesterday, 2026-11-24T12:00:00Z, an OFFSET such as 3:1042 or 0:12,3:1042, a cursor."
    return click.option("--as-of", type=AS_OF, metavar="TIME", help=told)(command)


def time_of_moment(as_of: str | None) -> datetime | None:
    """The time up to which the durations of unfinished tasks count: now, or the requested time; None if only the server
    knows it, as for an event.
    """
    if as_of is None:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError:
        return None
    return time if time.tzinfo else None


def get_then(client: "Client", path: ApiPath, params: Mapping[str, Any], as_of: str | None) -> Any:
    """The JSON of a GET, as of a moment if one is given.

    Raises `Failure`, with its own exit code for a moment before the first event, or without its history.
    """
    if as_of is None:
        return client.get(path, params or None)
    with refusing(as_of):
        return client.get(path, {**params, "as_of": as_of})


@contextmanager
def refusing(as_of: str) -> Iterator[None]:
    """Give the refusal of a moment its exit code."""
    try:
        yield
    except (NotFound, StaleStream) as refusal:
        raise nothing_then(as_of, refusal) from None


def nothing_then(as_of: str, refusal: Failure) -> Failure:
    """The error that says why the server knows nothing about a moment."""
    return Failure(f"Nothing can be shown as of {as_of}: {refusal.message}.", NO_INPUT)
