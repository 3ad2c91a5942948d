"""The OpenAPI paths of counts, statistics, and of how far the read model can be trusted. Pure."""

from typing import Any

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.checkpoints import CheckpointsResponse
from pulp_api.v3.daily import PARAMETERS, DailyStatisticsResponse
from pulp_api.v3.numbers import PARAMETERS as STATISTICS_PARAMETERS
from pulp_api.v3.numbers import ReadModelResponse, StatisticsResponse, TaskCountsResponse


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    return {
        f"{root}/task-counts/": {
            "get": call("task_counts_read", schema=answer(TaskCountsResponse), codes=(200, 400, 504))
        },
        f"{root}/statistics/": {
            "get": call(
                "statistics_read",
                query=STATISTICS_PARAMETERS,
                schema=answer(StatisticsResponse),
                codes=(200, 400),
            )
        },
        f"{root}/statistics/days/": {
            "get": call(
                "statistics_days_list",
                query=PARAMETERS,
                schema=page(answer(DailyStatisticsResponse)),
                codes=(200, 400, 504),
            )
        },
        f"{root}/read-model/": {"get": call("read_model_read", schema=answer(ReadModelResponse))},
        f"{root}/checkpoints/": {
            "get": call("checkpoints_list", schema=answer(CheckpointsResponse), codes=(200, 400, 503))
        },
    }
