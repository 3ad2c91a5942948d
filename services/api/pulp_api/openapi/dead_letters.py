"""The OpenAPI paths of dead letters. Pure."""

from typing import Any, Final

from pulp_api.dead_letters import MOST_REASON
from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.dead_letters import (
    PARAMETERS,
    DeadLetterActResponse,
    DeadLetterResponse,
    SingleDeadLetterResponse,
)

_ACT: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "maxLength": MOST_REASON,
            "nullable": True,
            "description": "Why; it is kept in the history of the task and in the audit.",
        }
    },
}


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    href = "dead_letter_href"
    return {
        f"{root}/dead-letters/": {
            "get": call(
                "dead_letters_list", query=PARAMETERS, schema=page(answer(DeadLetterResponse)), codes=(200, 400, 504)
            )
        },
        f"{{{href}}}": {
            "get": call(
                "dead_letters_read",
                href=href,
                schema=answer(SingleDeadLetterResponse),
                codes=(200, 400, 403, 404, 504),
            )
        },
        **{
            f"{{{href}}}{action}/": {
                "post": call(
                    f"dead_letters_{action}",
                    href=href,
                    body=_ACT,
                    needs_body=False,
                    schema=answer(DeadLetterActResponse),
                    codes=(200, 202, 400, 403, 404, 409, 413),
                )
            }
            for action in ("retry", "discard")
        },
    }
