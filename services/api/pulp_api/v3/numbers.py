"""Counts, statistics, and how far the read model can be trusted: what those who look after the service want to see."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypedDict, cast

from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta
from pulp_events.errors import LogError
from pulp_projections.reading import queries, statistics, trust

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.parameters import NUMBER, QueryParameter, names_of, refuse_unknown
from pulp_api.v3.tasks import WORDS

router = APIRouter(prefix=ROOT)
MOST_MINUTES: Final = 30 * 24 * 60
PARAMETERS: Final = [QueryParameter("minutes", {**NUMBER, "minimum": 1, "maximum": MOST_MINUTES, "default": 60})]
STEPS: Final = 60
"""How many steps a span of statistics has."""
_MOST_OPERATIONS: Final = 100
GenerationStatus = Literal["building", "ready", "active", "retired", "verifying"]


class TaskCountsResponse(TypedDict):
    """How many tasks there are."""

    states: Annotated[dict[str, int], Meta(description="State → number of tasks.")]
    operations: Annotated[dict[str, dict[str, int]], Meta(description="State → operation → number of tasks.")]


class PercentilesResponse(TypedDict):
    """The median, and what one task in twenty exceeds."""

    p50: float
    p95: float


class OperationTimesResponse(TypedDict):
    """How long the tasks of an operation took that ended."""

    name: str
    ended: int
    failed: int
    waited_seconds: PercentilesResponse
    ran_seconds: Annotated[PercentilesResponse | None, Meta(description="Null if no task was started.")]


class StatisticsResponse(TypedDict):
    """What happened in a span of time, step by step."""

    since: Time
    until: Time
    step_seconds: float
    times: Annotated[list[Time], Meta(description="When each step begins.")]
    accepted: list[int]
    ended: Annotated[dict[str, list[int]], Meta(description="State → numbers; states without tasks are left out.")]
    waiting: Annotated[list[int], Meta(description="The number of tasks that waited when the step ended.")]
    running: Annotated[
        list[int], Meta(description="The number of tasks that ran, or were between two attempts, when the step ended.")
    ]
    operations: list[OperationTimesResponse]


class PartitionLagResponse(TypedDict):
    """How far a partition of the log is projected."""

    partition: int
    next_offset: int
    end: int | None
    lag: int | None


class GenerationResponse(TypedDict):
    """A copy of the read model."""

    generation: int
    status: GenerationStatus
    percent: Annotated[float | None, Meta(description="The progress of its rebuild.")]
    created_at: Time
    activated_at: Time | None
    verified_at: Annotated[Time | None, Meta(description="When it was last compared with the log.")]


class ReadModelResponse(TypedDict):
    """How far the read model can be trusted."""

    partitions: list[PartitionLagResponse]
    generations: list[GenerationResponse]
    dead_letters: Annotated[int, Meta(description="The number of records that cannot be projected.")]
    parked_tasks: Annotated[int, Meta(description="The number of tasks that such a record keeps from going on.")]


@router.get("/task-counts/")
async def count_tasks(call: Authenticated, request: Request) -> Response:
    """The exact number of tasks in each state, and by operation. Purged tasks are left out.

    Where only own tasks are visible, viewers and submitters are told of these.
    """
    refuse_unknown(request.query_params, ())
    if call.scope:  # nothing counts the tasks of each user, so all are read
        await call.quotas.search(call.asking)
    await call.at_least_positions()
    async with call.service.connection() as connection:
        found = await statistics.counts(connection, call.scope)
    counts: TaskCountsResponse = {
        "states": {WORDS[state]: sum(by_operation.values()) for state, by_operation in found.items()},
        "operations": {WORDS[state]: by_operation for state, by_operation in found.items() if by_operation},
    }
    return json(counts)


@router.get("/statistics/")
async def read_statistics(
    call: Authenticated, request: Request, minutes: Annotated[int, Query(ge=1, le=MOST_MINUTES)] = 60
) -> Response:
    """What happened in the last `minutes`, in 60 steps: accepted and ended tasks, those that waited and ran when each
    step ended, and how long tasks waited and ran, by operation. Purged tasks count as well.

    Where only own tasks are visible, viewers and submitters are told of these.
    """
    refuse_unknown(request.query_params, names_of(PARAMETERS))
    await call.quotas.search(call.asking)
    scope, step = call.scope, timedelta(minutes=minutes) / STEPS
    until = datetime.now(UTC)
    since = until - step * STEPS
    async with call.service.connection() as connection:
        found = await statistics.changes(connection, since=since, step=step, steps=STEPS, scope=scope)
        durations = await statistics.durations(connection, since=since, most=_MOST_OPERATIONS, scope=scope)
    series: StatisticsResponse = {
        "since": instant(since),
        "until": instant(until),
        "step_seconds": step.total_seconds(),
        "times": [instant(time) for time in found.times],
        "accepted": found.accepted,
        "ended": {WORDS[state]: series for state, series in found.ended.items()},
        "waiting": found.waiting,
        "running": found.running,
        "operations": [_durations(each) for each in durations],
    }
    return json(series)


@router.get("/read-model/")
async def read_read_model(call: Authenticated) -> Response:
    """The generations of the read model, when each was last compared with the log, and the lag of every partition.

    `end` is null while Kafka does not answer.
    """
    ends: dict[int, int] | None
    try:
        ends = dict(await call.service.log.end_offsets())
    except LogError:
        ends = None
    async with call.service.connection() as connection:
        shown = await queries.positions(connection)
        generations = await trust.generations(connection)
        dead = await trust.dead_letters(connection)
        parked = await trust.parked_tasks(connection)
    told: ReadModelResponse = {
        "partitions": [
            {
                "partition": partition,
                "next_offset": offset,
                "end": None if ends is None else ends.get(partition, 0),
                "lag": None if ends is None else max(0, ends.get(partition, 0) - offset),
            }
            for partition, offset in sorted(shown.items())
        ],
        "generations": [_generation(each) for each in generations],
        "dead_letters": dead,
        "parked_tasks": parked,
    }
    return json(told)


def _durations(row: statistics.Durations) -> OperationTimesResponse:
    return {
        "name": row.operation,
        "ended": row.ended,
        "failed": row.failed,
        "waited_seconds": _percentiles(row.waited_s),
        "ran_seconds": None if row.ran_s is None else _percentiles(row.ran_s),
    }


def _percentiles(pair: tuple[float, float]) -> PercentilesResponse:
    return {"p50": round(pair[0], 3), "p95": round(pair[1], 3)}


def _generation(row: trust.GenerationRow) -> GenerationResponse:
    return {
        "generation": row.number,
        "status": cast("GenerationStatus", row.status),  # as `trust` reports it
        "percent": None if row.percent is None else round(row.percent, 1),
        "created_at": instant(row.created_at),
        "activated_at": instant(row.activated_at),
        "verified_at": instant(row.verified_at),
    }
