"""Makes responses: JSON bodies, headers and times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, overload

import msgspec
from fastapi import Request, Response
from pulp_events.errors import BadInput
from pulp_events.task import Position

_INSTANT_CHARACTERS: Final = len("2026-01-01T00:00:00.000000Z")


def json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; `msgspec.Raw` values are copied as they are."""
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/json", headers=dict(headers or {})
    )


def position_header(position: Position | None) -> dict[str, str]:
    """The header with the position of a written event."""
    return {} if position is None else {"Pulp-Position": str(position)}


def positions_header(positions: Mapping[int, int]) -> dict[str, str]:
    """The header with the position of the last event that a list shows, for each partition."""
    parts = [str(Position(partition, offset - 1)) for partition, offset in sorted(positions.items()) if offset]
    return {"Pulp-Position": ",".join(parts)} if parts else {}


def count_header(*, is_estimate: bool) -> dict[str, str]:
    """The header of a page whose `count` is an estimate; none if it is exact."""
    return {"Pulp-Count": "estimate"} if is_estimate else {}


def lag_header(lag: str | None) -> dict[str, str]:
    """The header with the number of events that an answer may lack; none if it is up to date."""
    return {} if lag is None else {"Pulp-Lag": lag}


def least_positions(request: Request, partitions: int) -> dict[int, int] | None:
    """The next offset of each partition that the client has seen, from `Pulp-Min-Position`. Raises `BadInput`."""
    header = request.headers.get("pulp-min-position", "").strip()
    if not header:
        return None
    least: dict[int, int] = {}
    for part in header.split(","):
        try:
            partition, offset = Position.parse(part.strip())
        except ValueError:
            raise BadInput(f"Pulp-Min-Position: {header!r} is not PARTITION:OFFSET[,PARTITION:OFFSET...]") from None
        if partition >= partitions:
            raise BadInput(f"Pulp-Min-Position: there is no partition {partition}, they are 0 to {partitions - 1}")
        least[partition] = max(offset + 1, least.get(partition, 0))
    return least


@overload
def instant(time: datetime) -> str: ...
@overload
def instant(time: None) -> None: ...
@overload
def instant(time: datetime | None) -> str | None: ...
def instant(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds, as Pulp 3 writes it."""
    if time is None:
        return None
    text: str = msgspec.to_builtins(time.astimezone(UTC))  # faster than `isoformat`, but leaves out a fraction of 0
    return text if len(text) == _INSTANT_CHARACTERS else f"{text[:-1]}.000000Z"


def second(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with whole seconds, as Pulp 2 writes it."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
