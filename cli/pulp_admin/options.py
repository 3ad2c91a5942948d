"""Parameter types of commands."""

import contextlib
import re
from datetime import UTC, datetime
from typing import Final

import click
from pulp_console.times import FORMS, local_now, parse_time

from pulp_admin.positions import LogPosition
from pulp_admin.words import StateWord, UnknownState, states_in

_MOST_ID_CHARACTERS: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class StatesType(click.ParamType):
    """States in any spelling, with commas between; the value is a tuple of `StateWord`."""

    name = "states"

    def convert(
        self, value: str | tuple[StateWord, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[StateWord, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(states_in([value]))
        except UnknownState as error:
            return self.fail(str(error), param, ctx)


class ResourceType(click.ParamType):
    """A resource as TYPE:ID."""

    name = "resource"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, name = value.partition(":")
        if not kind or not name:
            self.fail(f"{value!r}: TYPE:ID is expected, such as repository:{value.strip(':') or 'zoo'}", param, ctx)
        return value


class RepositoryIdType(click.ParamType):
    """The id of a repository, checked before any request is sent; the server knows which ones exist."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value or value != value.strip() or len(value) > _MOST_ID_CHARACTERS or _CONTROL.search(value):
            self.fail(
                f"{value!r} is not the id of a repository: 1 to {_MOST_ID_CHARACTERS} characters, without control"
                " characters and without a blank at either end, are expected",
                param,
                ctx,
            )
        return value


class MomentType(click.ParamType):
    """A time, or an event as PARTITION:OFFSET; the value is what the server takes as `as_of`."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        with contextlib.suppress(ValueError):
            return str(LogPosition.parse(value.strip()))
        try:
            return instant(parse_time(value, local_now()))
        except ValueError:
            return self.fail(
                f"{value!r} is neither a time nor the OFFSET of an event: {FORMS}, or such as 3:1042", param, ctx
            )


def instant(time: datetime) -> str:
    """The time as the server takes it: RFC 3339 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


STATES: Final = StatesType()
RESOURCE: Final = ResourceType()
REPOSITORY_ID: Final = RepositoryIdType()
MOMENT: Final = MomentType()
