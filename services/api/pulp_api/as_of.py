"""The moment that `as_of` asks for, of one task and of lists alike, and the tables as they were then."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import Request
from psycopg import AsyncConnection
from pulp_events.cursor import Cursor
from pulp_events.errors import BadInput, PositionNotReached
from pulp_events.task import Position
from pulp_projections.detached import detached
from pulp_projections.reading.as_of import Past
from pulp_projections.reading.moments import Asked, moment_of
from pulp_projections.reading.queries import positions

from pulp_api.fairness.reading_turns import turn_of
from pulp_api.respond import instant
from pulp_api.service import MOST_ARCHIVED_PASTS, Service
from pulp_api.times import time_of

_END: Final = 2**63
WAIT_S = 10.0
"""How long a list of the past waits for others that read the archive."""
_EXPECTED: Final = (
    "a time with its zone, such as 2026-11-24T12:00:00Z, an event as PARTITION:OFFSET, the Pulp-Position of an answer"
    " (PARTITION:OFFSET,PARTITION:OFFSET...) or a cursor is expected"
)


def moment_of_request(request: Request, text: str) -> Asked:
    """The moment in the `as_of` of a request. Raises as `moment_asked`."""
    service: Service = request.app.state.service
    return moment_asked(text, service.partitions, request.app.state.hub.topic_id)


def moment_asked(text: str, partitions: int, topic_id: str) -> Asked:
    """The moment that `as_of` names. Raises `BadInput`, and `TopicMismatch` for a cursor of another topic."""
    with contextlib.suppress(BadInput):
        cursor = Cursor.parse(text)
        cursor.check(topic_id, dict.fromkeys(range(partitions), _END))
        return cursor.positions
    time = time_of(text)
    if time is not None and time.tzinfo is not None:
        return time
    try:
        events = [Position.parse(part.strip()) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"as_of={text}: {_EXPECTED}") from None
    if unknown := [each for each in events if each.partition >= partitions]:
        raise BadInput(f"as_of={text}: there is no partition {unknown[0].partition}, they are 0 to {partitions - 1}")
    if len(events) == 1:
        return events[0]
    stops: dict[int, int] = {}
    for partition, offset in events:
        stops[partition] = max(offset + 1, stops.get(partition, 0))
    return stops


@asynccontextmanager
async def past(service: Service, request: Request, text: str) -> AsyncIterator[tuple[AsyncConnection, Past]]:
    """A connection in a transaction of one snapshot, and the tables as they were at the moment in the text.

    It waits for a position that is not projected yet as long as `Pulp-Min-Position` does, and raises
    `PositionNotReached` then, as for a time that has not come. Raises `BadInput` and `HistoryError`, and
    `ReadModelUnavailable` while too many others read the archive.
    """
    asked = moment_of_request(request, text)
    await reach(service, asked, text)
    # For an event, only its own partition has a certain position: the others are shown up to its time.
    lag = await service.freshness.catch_up() if isinstance(asked, datetime | Position) else None
    async with _turn(service), snapshot(service) as connection:
        at = await moment_of(connection, asked, service.archive)
        if lag is not None:
            _check_known(at.stops, await positions(connection), text, lag, asked)
        found = Past(at, service.archive)
        await found.catch_up(connection)
        yield connection, found


@asynccontextmanager
async def _turn(service: Service) -> AsyncIterator[None]:
    """Once months are detached, only a few lists of the past are read at once: each may read millions of records."""
    months = False
    if service.archive is not None:
        async with service.connection() as connection:
            months = bool((await detached(connection)).months)
    if not months:
        yield
        return
    refusal = f"{MOST_ARCHIVED_PASTS} lists of the past are read from the archive already: try again later"
    async with turn_of(service.archived_pasts, WAIT_S, refusal):
        yield


@asynccontextmanager
async def snapshot(service: Service) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements all see the same."""
    async with service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        yield connection


async def reach(service: Service, asked: Asked, text: str) -> None:
    """Wait until the read model has the events that the moment names.

    Raises `PositionNotReached` if it does not come to have them, and for a time that has not come.
    """
    if not isinstance(asked, datetime):
        await service.freshness.reach({asked.partition: asked.offset + 1} if isinstance(asked, Position) else asked)
    elif asked > (now := datetime.now(UTC)):
        raise PositionNotReached(f"as_of={text} has not come yet, it is {instant(now)}")


def _check_known(stops: Mapping[int, int], shown: Mapping[int, int], text: str, lag: str, asked: Asked) -> None:
    """Raises `PositionNotReached` if events of a partition may be missing that had come by then."""
    own = asked.partition if isinstance(asked, Position) else None
    if any(stops.get(partition, 0) >= end for partition, end in shown.items() if partition != own):
        raise PositionNotReached(
            f"as_of={text}: the projection is behind the log (events behind: {lag}), so not all events of that time are"
            " known: try again later"
        )
