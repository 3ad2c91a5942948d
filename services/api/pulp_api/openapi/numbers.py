"""The OpenAPI schemas of counts, statistics, and of how far the read model can be trusted. Pure."""

from typing import Any, Final

from pulp_api.openapi.calls import call
from pulp_api.v3.numbers import MOST_MINUTES
from pulp_api.v3.parameters import FLAG, NUMBER, TEXT, TIME, QueryParameter, Schema, controls

_MAYBE_TIME: Final = {**TIME, "nullable": True}
_NUMBERS: Final = {"type": "array", "items": NUMBER}
_SECONDS: Final = {
    "type": "object",
    "nullable": True,
    "description": "The median, and what one task in twenty exceeds; null if none of them was started.",
    "properties": {"p50": {"type": "number"}, "p95": {"type": "number"}},
}


def _object(**properties: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(row: Schema) -> dict[str, Any]:
    return {"type": "array", "items": row}


_COUNTS: Final = _object(
    states={"type": "object", "description": "State → number of tasks.", "additionalProperties": NUMBER},
    operations={"type": "object", "description": "State → operation → number of tasks.", "additionalProperties": {}},
)
_STATISTICS: Final = _object(
    since=TIME,
    until=TIME,
    step_seconds={"type": "number"},
    times={**_list(TIME), "description": "When each step begins."},
    accepted=_NUMBERS,
    ended={
        "type": "object",
        "description": "State → numbers, of states in which any ended.",
        "additionalProperties": {},
    },
    waiting={**_NUMBERS, "description": "How many waited when the step ended."},
    running={**_NUMBERS, "description": "How many ran, or were between two attempts, when the step ended."},
    operations=_list(_object(name=TEXT, ended=NUMBER, failed=NUMBER, waited_seconds=_SECONDS, ran_seconds=_SECONDS)),
)
_MAYBE_NUMBER: Final = {**NUMBER, "nullable": True}
_READ_MODEL: Final = _object(
    partitions=_list(_object(partition=NUMBER, next_offset=NUMBER, end=_MAYBE_NUMBER, lag=_MAYBE_NUMBER)),
    generations=_list(
        _object(
            generation=NUMBER,
            status={"type": "string", "enum": ["building", "ready", "active", "retired", "verifying"]},
            percent={"type": "number", "nullable": True, "description": "How far its rebuild is."},
            created_at=TIME,
            activated_at=_MAYBE_TIME,
            verified_at={**_MAYBE_TIME, "description": "When it was last compared with the log."},
        )
    ),
    dead_letters={**NUMBER, "description": "How many there are."},
)
_DEAD_LETTERS: Final = _object(
    count=NUMBER,
    results=_list(
        _object(
            position={"type": "string", "description": "PARTITION:OFFSET"},
            time=TIME,
            reason=TEXT,
            published={**FLAG, "description": "Whether the dead-letter topic has it already."},
        )
    ),
)


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    span = {"type": "integer", "minimum": 1, "maximum": MOST_MINUTES, "default": 60}
    return {
        f"{root}/task-counts/": {"get": call("task_counts_read", schema=_COUNTS, codes=(200, 504))},
        f"{root}/statistics/": {
            "get": call(
                "statistics_read", query=[QueryParameter("minutes", span)], schema=_STATISTICS, codes=(200, 400)
            )
        },
        f"{root}/read-model/": {"get": call("read_model_read", schema=_READ_MODEL)},
        f"{root}/dead-letters/": {
            "get": call("dead_letters_list", query=controls("limit offset"), schema=_DEAD_LETTERS)
        },
    }
