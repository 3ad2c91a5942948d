"""The calls that purge tasks, as the OpenAPI document describes them."""

from typing import Final

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.parameters import TIME

_FILTER: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "finished_before": {**TIME, "description": "Only tasks that ended before this time. Default: 30 days ago."},
        "states": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": ["skipped", "completed", "failed", "canceled"]},
            "description": "The states in which they ended. Default: completed.",
        },
    },
}
PURGE: Final = call(
    "tasks_purge",
    body=_FILTER,
    schema=answer(AcceptedResponse),
    needs_body=False,
    codes=(202, 400, 403, 413, 422),
)
DELETE: Final = call("tasks_delete", href="task_href", codes=(204, 403, 404, 409))
