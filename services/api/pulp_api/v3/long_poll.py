"""A read of a task that waits for its end, or for its next change: for clients that would ask every few seconds."""

import asyncio
import re
from contextlib import aclosing
from typing import Final
from uuid import UUID

from fastapi import Request
from pulp_events.codec import TYPES
from pulp_events.errors import BadInput, LogError, ReadError
from pulp_events.events import Finished, Unparked
from pulp_events.filters import Filter
from pulp_events.task import FINAL
from pulp_projections.reading.queries import TaskRow

from pulp_api.authenticated_call import AuthenticatedCall
from pulp_api.front.direct import DIRECT, Direct
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.recent_events import RecentSpan
from pulp_api.streaming.streamed_events import Choice
from pulp_api.v3.events import seat_of
from pulp_api.v3.parameters import QueryParameter

MOST_S: Final = 60
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})(ms|s|m)?", re.ASCII)
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_FINAL_TYPES: Final = (TYPES[Finished], TYPES[Unparked])
"""An event that unparks a task may apply a `finished` that was held until then."""
PARAMETERS: Final = (
    QueryParameter(
        "wait",
        {
            "type": "string",
            "pattern": "^[1-9][0-9]{0,5}(ms|s|m)?$",
            "description": f"Wait this long for `until`, such as `30s`; at most {MOST_S} seconds. The answer is the"
            " task as it is then.",
        },
    ),
    QueryParameter(
        "until",
        {
            "type": "string",
            "enum": ["final", "change"],
            "default": "final",
            "description": "With `wait`: until the task has ended, or until it differs from when the request came.",
        },
    ),
)


async def wait_as_asked(call: AuthenticatedCall, request: Request, task_id: UUID) -> None:
    """Wait as the query asks: until the task has ended or changed, the time is over, the process ends, or the client
    goes: one that is more impatient than its `wait` must not use up its streams.

    It counts as an event stream. Raises `BadInput`, `MissingTask`, `QuotaExceeded`, `TooManyStreams`, `NoSeat`.
    """
    query = request.query_params
    patience_s, until = _seconds(query.get("wait")), query.get("until", "final")
    if until not in ("final", "change"):
        raise BadInput(f"until={until}: final or change is expected")
    if patience_s is None:
        if "until" in query:
            raise BadInput("until goes with wait, such as wait=30s")
        return
    if "as_of" in query:
        raise BadInput("as_of shows the past, which does not change: leave out wait")
    shown = call.service.positions.current()
    before = (await call.read(task_id)).task
    if _is_over(before, before, until):
        return
    seat = await seat_of(call)
    try:
        async with asyncio.timeout(patience_s):
            start = [shown.get(each, 0) for each in range(call.service.partitions)]
            await _over(call, before, until, start, request.scope.get(DIRECT))
    except (TimeoutError, LogError, ReadError):
        return  # the read that follows gives the answer
    finally:
        seat.give_back()
        call.quotas.close_stream(call.asking)


async def _over(call: AuthenticatedCall, before: TaskRow, until: str, start: list[int], direct: Direct | None) -> None:
    """Read the task again after each event that may have changed it, from these offsets on; until the client goes."""
    hub: Hub = call.request.app.state.hub
    types = _FINAL_TYPES if until == "final" else ()
    choice = Choice(Filter(tasks=(before.task_id,), types=types))
    async with aclosing(hub.items(start)) as items:
        async for item in items:
            if direct is not None and direct.is_lost:
                return
            events = item.candidates(choice) if isinstance(item, RecentSpan) else item
            ends = {event.partition: event.offset + 1 for event in events if choice.is_sent(event)}
            if not ends:
                continue
            await call.service.freshness.reach(ends)
            if _is_over(before, (await call.read(before.task_id)).task, until):
                return


def _is_over(before: TaskRow, now: TaskRow, until: str) -> bool:
    return now.state in FINAL or (until == "change" and now.version != before.version)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= MOST_S:
        raise BadInput(f"wait={text}: a duration such as 30s is expected, at most {MOST_S} seconds")
    return seconds
