"""Ids of tasks in the forms in which people paste them. Pure: it does not ask the server."""

import re
from typing import Final, NamedTuple

import click

LEAST_DIGITS: Final = 4
"""How many hexadecimal digits the beginning of an id needs."""
_WRAPPED: Final = re.compile(
    r"(?:https?://[^/\s]+)?/pulp/api/v[23]/tasks/(?P<href>[^/\s]+)/?"
    r"|prn:core\.task:(?P<prn>\S+)|urn:uuid:(?P<urn>\S+)|\{(?P<braces>[^{}\s]+)\}",
    re.IGNORECASE,
)
_WHOLE: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_BEGINNING: Final = re.compile(r"[0-9a-f]+(?:-[0-9a-f]*)*")


class NotAnId(ValueError):
    """The text is not a task id in any form."""


class TaskId(NamedTuple):
    """An id of a task, or its beginning."""

    text: str
    """A UUID in lower case with hyphens, or, for a beginning, only the hexadecimal digits."""
    is_whole: bool


def parse_task_id(text: str) -> TaskId:
    """The id in a UUID, an href or URL of a task, a PRN, or the first digits of a UUID. Raises `NotAnId`."""
    stripped = text.strip()
    match = _WRAPPED.fullmatch(stripped)
    inner = (next(part for part in match.groups() if part is not None) if match else stripped).lower()
    if _WHOLE.fullmatch(inner):
        return TaskId(_hyphened(inner.replace("-", "")), is_whole=True)
    digits = inner.replace("-", "")
    if match is None and _BEGINNING.fullmatch(inner) and LEAST_DIGITS <= len(digits) < 32:
        return TaskId(digits, is_whole=False)
    raise NotAnId(
        f"{text!r} is not the id of a task: a UUID, the href or the PRN of a task, or at least the first"
        f" {LEAST_DIGITS} digits of the UUID are expected"
    )


class TaskIdType(click.ParamType):
    """A parameter of a command that is an id of a task in any of these forms; its value is a `TaskId`."""

    name = "id"

    def convert(self, value: str | TaskId, param: click.Parameter | None, ctx: click.Context | None) -> TaskId:
        if isinstance(value, TaskId):
            return value
        try:
            return parse_task_id(value)
        except NotAnId as error:
            return self.fail(str(error), param, ctx)


def _hyphened(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
