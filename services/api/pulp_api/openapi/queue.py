"""The OpenAPI schemas of what waits, by queue and by resource, and of why a task waits."""

from typing import Any, Final

from pulp_api.openapi.calls import call
from pulp_api.v3.parameters import FLAG, LIST, NUMBER, TEXT, TIME, QueryParameter, Schema, controls
from pulp_api.v3.waiting import Code

_SECONDS: Final = {"type": "number", "nullable": True, "description": "Since its acceptance; null if none waits."}
_NULLABLE: Final = {"type": "string", "nullable": True}
_ACCESS: Final = {"type": "string", "enum": ["exclusive", "shared"]}


def _count(meaning: str) -> Schema:
    return {"type": "integer", "description": meaning}


def _object(**properties: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _page(row: Schema) -> dict[str, Any]:
    return _object(count=NUMBER, results={"type": "array", "items": row})


_HOLDERS: Final = {
    "type": "array",
    "description": "At most 20, an exclusive one first.",
    "items": _object(
        task=TEXT, state=_NULLABLE, worker_name=TEXT, access=_ACCESS, since=TIME, seconds={"type": "number"}
    ),
}
_OTHERS: Final = {
    **FLAG,
    "description": "Whether tasks that the user may not see hold it, or wait for it. Which, and how many, is not told.",
}
_QUEUE: Final = _object(
    name=TEXT,
    waiting=_count("Runnable and blocked ones."),
    runnable=_count("Tasks for which only a worker with a free slot is missing."),
    blocked=_count(
        "Waiting tasks that more workers would not help: now they need a resource or another task, or their"
        " user may run no more."
    ),
    running=_count("Tasks that occupy a slot."),
    wanted_slots=_count("Runnable and running ones: how many slots could be in use, which an autoscaler should read."),
    unserved=_count("Waiting tasks, runnable or blocked, that no live worker can run."),
    oldest_wait_seconds=_SECONDS,
    workers=_count("Live workers that serve it and do not drain."),
    slots=NUMBER,
    free_slots={**NUMBER, "nullable": True, "description": "Null for a user who may not see all tasks."},
)
_RESOURCE: Final = _object(
    resource=TEXT, waiting=NUMBER, oldest_wait_seconds=_SECONDS, held_by=_HOLDERS, others=_OTHERS
)
_IN_LINE: Final = _object(
    place=NUMBER,
    task=TEXT,
    name=TEXT,
    queue=TEXT,
    access=_ACCESS,
    pulp_created=TIME,
    wait_seconds={"type": "number"},
    passed_over={
        **FLAG,
        "description": "Those behind it do not wait for it: for too long nobody could run it, or it waits for its next"
        " attempt.",
    },
)
_LINE: Final = _object(
    resource=TEXT, held_by=_HOLDERS, others=_OTHERS, waiting=NUMBER, tasks={"type": "array", "items": _IN_LINE}
)
_REASON: Final[dict[str, Schema]] = {
    "reason": {"type": "string", "enum": [code.value for code in Code]},
    "message": {"type": "string", "description": "One plain sentence."},
    "tasks": {**LIST, "description": "Hrefs of the tasks that it waits for."},
    "resource": _NULLABLE,
    "access": {**_NULLABLE, "description": "How it is held: exclusive or shared."},
}
_ROOT: Final = {
    "type": "object",
    "nullable": True,
    "description": "The same of the last task in the row, if it waits for a task that waits itself.",
}
WHY: Final = _object(
    task=TEXT,
    state=TEXT,
    message={"type": "string", "description": "The first reason, or that the task does not wait."},
    reasons={
        "type": "array",
        "description": "What does not pass by itself first; empty if the task does not wait.",
        "items": _object(**_REASON, advice={"type": "string", "description": "What to do about it."}),
    },
    root_cause=_ROOT,
    resources={
        "type": "array",
        "items": _object(
            resource=TEXT,
            access={**_ACCESS, "description": "How the task uses it."},
            held_by={**_HOLDERS, "description": "Those that conflict with it."},
            others=_OTHERS,
            before=_count("How many tasks that conflict with it wait before it."),
            tasks={**LIST, "description": "The first ten of these, in order."},
        ),
    },
)


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    resource = QueryParameter("resource", {**TEXT, "description": "TYPE:ID"}, is_required=True)
    return {
        f"{root}/queues/": {
            "get": call("queues_list", query=[QueryParameter("name", TEXT)], schema=_page(_QUEUE), codes=(200, 504))
        },
        f"{root}/resources/": {
            "get": call("resources_list", query=controls("limit offset"), schema=_page(_RESOURCE), codes=(200, 504))
        },
        f"{root}/resources/line/": {
            "get": call("resources_line", query=[resource, *controls("limit")], schema=_LINE, codes=(200, 400, 504))
        },
    }
