"""Answers: JSON bodies, positions in headers, and the one table that maps errors to statuses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg
from fastapi import Request, Response
from psycopg_pool import PoolTimeout, TooManyRequests
from pulp_events.errors import (
    AppendOutcomeUnknown,
    BadInput,
    EventTooLarge,
    LogError,
    PositionNotReached,
    ReadError,
    TaskAlreadyFinal,
    TaskNotCancellable,
    TaskNotFound,
)
from pulp_events.task import Position

from pulp_api.auth import Forbidden, Unauthenticated
from pulp_api.service import KeyReused

API: Final = "/pulp/api"
MAX_BODY_BYTES: Final = 1_000_000

STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    # The first that fits counts: subclasses before their parents.
    (KeyReused, 422),
    (EventTooLarge, 413),
    (BadInput, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (TaskNotFound, 404),
    (TaskAlreadyFinal, 409),
    (TaskNotCancellable, 409),
    (PositionNotReached, 504),
    (AppendOutcomeUnknown, 503),
    (LogError, 503),
    (ReadError, 503),
    (PoolTimeout, 503),
    (TooManyRequests, 503),
    (psycopg.OperationalError, 503),
)


class FieldErrors(Exception):
    """A query parameter or a field is wrong: a body of `{field: [message]}`, as Pulp answers."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(str(errors))
        self.errors = errors


class BodyTooLarge(Exception):
    """The request has more than `MAX_BODY_BYTES`."""


def json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; texts in `msgspec.Raw` go in as they are."""
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/json", headers=dict(headers or {})
    )


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for one that nobody expects."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def message_of(error: Exception) -> str:
    """What the caller is told."""
    if isinstance(error, AppendOutcomeUnknown):
        return (
            f"{error}. It is not known whether the request took effect: repeat it with the same Idempotency-Key, and it"
            " takes effect once"
        )
    if isinstance(error, psycopg.Error):
        return "the read model (Postgres) does not answer: try again later"
    if status_of(error) == 500:
        return "an unexpected error; the server's log has the details"
    return str(error)


def error_headers(error: Exception, request: Request) -> dict[str, str]:
    """Headers that go with an error's status."""
    status = status_of(error)
    if status == 401:
        is_script = request.headers.get("x-requested-with") == "XMLHttpRequest"
        return {"WWW-Authenticate": f'{"xBasic" if is_script else "Basic"} realm="api"'}
    if status in (503, 504):
        return {"Retry-After": "2"}
    return {}


def position_header(position: Position | None) -> dict[str, str]:
    """The header that tells where a write is."""
    return {} if position is None else {"Pulp-Position": f"{position.partition}:{position.offset}"}


def positions_header(positions: Mapping[int, int]) -> dict[str, str]:
    """The header that tells what a list shows: of each partition the last event."""
    parts = [f"{partition}:{offset - 1}" for partition, offset in sorted(positions.items()) if offset]
    return {"Pulp-Position": ",".join(parts)} if parts else {}


def least_positions(request: Request) -> dict[int, int] | None:
    """Next offsets that the reader has seen, from `Pulp-Min-Position`. Raises `BadInput`."""
    header = request.headers.get("pulp-min-position", "").strip()
    if not header:
        return None
    try:
        pairs = [part.split(":") for part in header.split(",")]
        return {int(partition): int(offset) + 1 for partition, offset in pairs}
    except ValueError:
        raise BadInput(f"Pulp-Min-Position: {header!r} is not PARTITION:OFFSET[,PARTITION:OFFSET...]") from None


def instant(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds, as Pulp 3 writes it."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def second(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with whole seconds, as Pulp 2 writes it."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
