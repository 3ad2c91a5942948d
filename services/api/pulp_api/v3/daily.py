"""The daily statistics: how many tasks ended, how, and how long they waited and ran."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.errors import BadInput
from pulp_projections.daily.reading import DailyGroup, Quantiles, Wanted, read_groups
from starlette.datastructures import QueryParams

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import json
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import LIST, TEXT, QueryParameter, controls, items_of, list_of, one_of, refuse_unknown
from pulp_api.v3.tasks import WORDS

router = APIRouter(prefix=ROOT)
DEFAULT_DAYS: Final = 7
MOST_DAYS: Final = 3660
_MOST_VALUES: Final = 100
_BY: Final = ("day", "name", "resource")
_DAY: Final = {**TEXT, "format": "date"}
PARAMETERS: Final = (
    QueryParameter(
        "since", {**_DAY, "description": f"The first day, in UTC; without it the last {DEFAULT_DAYS} days are told."}
    ),
    QueryParameter("until", {**_DAY, "description": "The last day; without it today."}),
    QueryParameter("name", {**LIST, "description": "Only tasks of any of these operations."}, is_repeated=True),
    QueryParameter(
        "resource", {**LIST, "description": "Only tasks that use any of these: `TYPE:ID`."}, is_repeated=True
    ),
    QueryParameter(
        "by",
        {
            **list_of(one_of(_BY)),
            "description": "One row for each of these. Default: day. By resource, a task counts in the row of each"
            " resource that it uses; tasks without resources have a row with null.",
        },
    ),
    *controls("limit offset"),
)
_NAMES: Final = frozenset({*(parameter.name for parameter in PARAMETERS), "format"})


class QuantilesResponse(TypedDict):
    """What half, nine tenths and 99 hundredths of the tasks do not exceed; within 3.2 percent of the exact value."""

    p50: float
    p90: float
    p99: float


class DailyStatisticsResponse(TypedDict):
    """Tasks that ended, grouped as requested; purged ones count as well."""

    day: Annotated[str | None, Meta(description="In UTC; null unless grouped by day. The next two work alike.")]
    name: Annotated[str | None, Meta(description="The operation.")]
    resource: Annotated[str | None, Meta(description="TYPE:ID; also null for tasks that use none.")]
    tasks: Annotated[int, Meta(description="How many ended.")]
    states: Annotated[
        dict[str, int], Meta(description="Final state → number of tasks; states without tasks are left out.")
    ]
    waited_seconds: Annotated[
        QuantilesResponse,
        Meta(description="From acceptance to the start of the last attempt, or to the end if there was none."),
    ]
    ran_seconds: Annotated[
        QuantilesResponse | None,
        Meta(description="From the start of the last attempt to the end; null if no task was started."),
    ]


@router.get("/statistics/days/")
async def list_daily_statistics(call: Authenticated, request: Request) -> Response:
    """How many tasks ended on which day, how, and how long they waited and ran. Tasks are counted as they end, so a
    year is read as quickly as a day. If users see only their own tasks, viewers and submitters get the numbers of
    those.
    """
    wanted = wanted_of(request.query_params, datetime.now(UTC).date())
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await read_groups(connection, wanted, limit=limit, offset=offset, scope=call.scope)
    return json(page_of(request, page.total, [_row(group) for group in page.groups]))


def wanted_of(query: QueryParams, today: date) -> Wanted:
    """What a query asks for. Raises `BadInput`."""
    refuse_unknown(query, _NAMES)
    until = _day("until", query) or today
    since = _day("since", query) or until - timedelta(days=min(DEFAULT_DAYS - 1, until.toordinal() - 1))
    if since > until:
        raise BadInput(f"since={since} is after until={until}")
    if (until - since).days >= MOST_DAYS:
        raise BadInput(f"since={since} and until={until}: at most {MOST_DAYS} days are counted at once")
    by = items_of(query.getlist("by")) or ["day"]
    for word in by:
        if word not in _BY:
            raise BadInput(f"by={word}: {', '.join(_BY)} are expected")
    return Wanted(
        since=since,
        until=until,
        operations=_values("name", query),
        resources=_values("resource", query),
        by_day="day" in by,
        by_operation="name" in by,
        by_resource="resource" in by,
    )


def _day(name: str, query: QueryParams) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name}={text}: a day is expected, such as 2026-11-24") from None


def _values(name: str, query: QueryParams) -> list[str]:
    found = query.getlist(name)
    if len(found) > _MOST_VALUES:
        raise BadInput(f"{name}: at most {_MOST_VALUES} values are taken")
    return found


def _row(group: DailyGroup) -> DailyStatisticsResponse:
    return {
        "day": None if group.day is None else group.day.isoformat(),
        "name": group.operation,
        "resource": group.resource,
        "tasks": group.tasks,
        "states": {WORDS[state]: number for state, number in group.states.items()},
        "waited_seconds": _quantiles(group.waited_s),
        "ran_seconds": None if group.ran_s is None else _quantiles(group.ran_s),
    }


def _quantiles(found: Quantiles) -> QuantilesResponse:
    return {"p50": round(found.p50, 4), "p90": round(found.p90, 4), "p99": round(found.p99, 4)}
