"""Decodes a record with the standard library alone: CloudEvents 1.0 in JSON, by section 2 of the design."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

PREFIX: Final = "org.pulpproject.task."
UNKNOWN: Final = "unknown type"


class Heard(NamedTuple):
    """An event of the log. `kind` is its short type (`accepted`), or `UNKNOWN`."""

    kind: str
    type: str
    id: str
    task_id: str
    time_ms: int
    actor: str
    correlation_id: str | None
    rerun_of: str | None
    data: dict[str, Any]
    cause: str | None = None
    """The task by which a task was purged."""


class NoEvent(Exception):
    """The record is not an event, or of a later version: it belongs in the dead letters."""


def read(key: bytes | None, value: bytes | None) -> Heard:
    """Raises `NoEvent` with the reason."""
    if value is None:
        raise NoEvent("no value")
    try:
        body = json.loads(value.decode())
        heard = _read(body)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise NoEvent(repr(error)) from error
    if key != heard.task_id.encode():
        raise NoEvent("the key is another task's")
    if "\0" in _texts(body):
        raise NoEvent("U+0000 in a text")
    return heard


def _read(body: Any) -> Heard:
    if body["specversion"] != "1.0" or not _text(body["source"]):
        raise ValueError("no CloudEvents 1.0")
    time = datetime.fromisoformat(body["time"])
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    wire = _text(body["type"])
    kind, _, version = wire.removeprefix(PREFIX).rpartition(".")
    versions = _VERSIONS.get(kind, ("v1",))
    is_known = wire.startswith(PREFIX) and kind in _NEEDED
    if is_known and version[1:].isdigit() and int(version[1:]) > len(versions):
        raise ValueError(f"a version that is not known yet: {wire}")
    if not wire.startswith(PREFIX) or kind not in _NEEDED or version not in versions:
        kind = UNKNOWN
    data = body["data"]
    if kind != UNKNOWN and version == "v2":
        _request(data["request"])
    if kind != UNKNOWN:
        for name, check in _NEEDED[kind].items():
            data[name] = check(data[name])
        for name, check in _MAY_HAVE[kind].items():
            if data.get(name) is not None:
                data[name] = check(data[name])
    return Heard(
        kind=kind,
        type=wire,
        id=_uuid(body["id"]),
        task_id=_uuid(body["subject"]),
        time_ms=round(time.timestamp() * 1000),
        actor=_text(body["actor"]),
        correlation_id=body.get("correlationid") or None,
        rerun_of=_uuid_or_none(body.get("causationid")) if kind == "accepted" else None,
        data=data,
        cause=_uuid_or_none(body.get("causationid")) if kind == "purged" else None,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError(f"no text of 1 to 255 characters: {value!r:.80}")
    return value


def _uuid(value: Any) -> str:
    return str(UUID(value))


def _uuid_or_none(value: Any) -> str | None:
    try:
        return None if value is None else _uuid(value)
    except ValueError:
        return None  # the cause is not a task


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"no number from 1: {value!r:.80}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {value!r:.80}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _error(value: Any) -> dict[str, Any]:
    if not isinstance(value["code"], str) or not isinstance(value["description"], str):
        raise ValueError("no error")
    return _object(value)


def _time_ms(value: Any) -> int:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _retry(value: Any) -> dict[str, Any]:
    usual = {"backoff_seconds": 10.0, "max_backoff_seconds": 600.0}
    return {**usual, **_object(value)}


def _outcome(value: Any) -> str:
    if value not in ("successful", "failed", "cancelled", "skipped"):
        raise ValueError(f"no outcome: {value!r:.80}")
    return str(value)


def _action(value: Any) -> str:
    if value not in ("retry", "discard"):
        raise ValueError(f"no action: {value!r:.80}")
    return str(value)


def _place(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"no offset: {value!r:.80}")
    return value


def _request(value: Any) -> None:
    _text(_object(value)["authentication"])
    for name, most in (("address", 64), ("client", 255)):
        text = value.get(name)
        if text is not None and not (isinstance(text, str) and 0 < len(text) <= most):
            raise ValueError(f"no {name}: {text!r:.80}")


_VERSIONS: Final = {"accepted": ("v1", "v2"), "cancel-requested": ("v1", "v2")}
"""The versions of kinds that have more than the first."""
Checks = dict[str, dict[str, Callable[[Any], Any]]]
_NEEDED: Final[Checks] = {
    "accepted": {"operation": _text},
    "started": {"attempt": _count, "attempt_id": _uuid, "worker": _text, "cancellable": _flag},
    "progress": {"attempt_id": _uuid, "sequence": _count, "progress": _object},
    "attempt-failed": {"attempt_id": _uuid, "error": _error, "retry_at": _time_ms},
    "cancel-requested": {},
    "finished": {"outcome": _outcome},
    "purged": {"requested_by": _text},
    "unparked": {"action": _action, "offset": _place},
}
_MAY_HAVE: Final[Checks] = {
    "accepted": {"arguments": _object, "group_id": _uuid, "parent_id": _uuid, "retry": _retry},
    **{"started": {}, "progress": {}, "attempt-failed": {}, "cancel-requested": {}},
    "finished": {"attempt_id": _uuid, "error": _object},
    "purged": {"filter": _object},
    "unparked": {},
}


def _texts(value: Any) -> str:
    """All texts of a JSON value, joined."""
    match value:
        case str():
            return value
        case dict():
            return "".join(_texts(item) for pair in value.items() for item in pair)
        case list():
            return "".join(map(_texts, value))
        case _:
            return ""
