"""Print dead letters."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from pulp_console.escaping import one_line
from pulp_console.times import time_text
from pulp_projections.dead_letters import StoredLetter, coordinates
from pulp_projections.writing.parking import Standing

from pulp_deploy.commands.target import Target

ROW: Final = ("POSITION", "TIME", "BYTES", "SENT", "STANDING", "BEHIND", "REASON")
_REASON: Final = 120
_VALUE: Final = 2000


def summary(letter: StoredLetter, target: Target) -> dict[str, Any]:
    """Return the fields of a dead letter that a list shows."""
    return {
        "position": str(letter.position),
        "partition": letter.partition,
        "offset": letter.record_offset,
        "coordinates": coordinates(target.topics.events, letter.position),
        "time": time_text(letter.broker_time),
        "reason": letter.reason,
        "size_bytes": None if letter.value is None else len(letter.value),
        "sent": letter.sent,
        "standing": letter.standing,
        "task_id": None if letter.task_id is None else str(letter.task_id),
        "behind": letter.behind,
    }


def row(found: Mapping[str, Any]) -> list[str]:
    """Return a summary as a row of the table with the heads `ROW`."""
    size = "-" if found["size_bytes"] is None else str(found["size_bytes"])
    sent = "yes" if found["sent"] else "no"
    behind = str(found["behind"]) if found["standing"] == "parks" else "-"
    return [found["position"], found["time"], size, sent, found["standing"], behind, _cut(found["reason"], _REASON)]


def contents(letter: StoredLetter) -> dict[str, Any]:
    """Return the record itself."""
    return {
        "key_base64": _base64(letter.key),
        "value_base64": _base64(letter.value),
        "value": _text_of(letter.value),
        "headers": [{"name": name, "value_base64": value} for name, value in letter.headers],
    }


def page(letter: StoredLetter, target: Target) -> list[str]:
    """Return the page of one dead letter, one line for each part."""
    lines = [
        f"Position  {letter.position} of {target.topics.events}",
        f"Time      {time_text(letter.broker_time)}",
        f"Reason    {letter.reason}",
        f"Sent      {f'yes, to {target.topics.dead_letters}' if letter.sent else 'not yet'}",
        f"Standing  {_standing(letter)}",
        *([] if letter.task_id is None else [f"Task      {letter.task_id}"]),
        f"Key       {_bytes(letter.key)}",
        *(f"Header    {name}: {_bytes(value)}" for name, value in letter.original_headers()),
        f"Value     {_bytes(letter.value)}",
    ]
    return [one_line(line) for line in lines]


def _standing(letter: StoredLetter) -> str:
    match letter.standing:
        case Standing.DEAD:
            return "dead: nothing waits for it"
        case Standing.PARKS:
            records = "1 record waits" if letter.behind == 1 else f"{letter.behind} records wait"
            return f"parks its task: {records} behind it"
        case Standing.WAITS:
            return "waits behind the record that parks its task"
        case Standing.DISCARDED:
            return "discarded: its task has gone on without it"


def _bytes(value: bytes | None) -> str:
    """Return the size, and the beginning of the text; in base64 if it is not text."""
    if value is None:
        return "none"
    text = _text_of(value)
    shown = _cut(text if text is not None else f"base64 {_base64(value)}", _VALUE)
    return f"{len(value)} byte{'' if len(value) == 1 else 's'}: {shown}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text_of(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
