"""Purging tasks in the v2 dialect: nothing is deleted, but lists, counts and reads leave purged tasks out."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pulp_accounts.users import Role
from pulp_events.purging import PurgeArguments

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import position_header
from pulp_api.v2.dialect import ROOT, coded
from pulp_api.v2.filters import no_others

router = APIRouter(prefix=ROOT)
_STATES: Final[dict[str, Literal["successful", "failed", "skipped"]]] = {
    "finished": "successful",
    "error": "failed",
    "skipped": "skipped",
}
"""The states that Pulp 2 purges."""


@router.delete("/tasks/", dependencies=[no_others("state")])
async def purge_tasks(
    call: Authenticated, request: Request, state: Annotated[list[str] | None, Query()] = None
) -> Response:
    """Purge all tasks that ended in one of the states `finished`, `error`, `skipped`: 204 once that is durable."""
    call.principal.need(Role.OPERATOR, Role.SUBMITTER)
    if not state:
        return coded(request, 403, "PLP1012", "No task state given to parameters list for delete.")
    for word in state:
        if word not in _STATES:
            return coded(request, 400, "PLP1011", f"Invalid task state passed to purge: {word}.")
    submitted = await call.purge(PurgeArguments(states=tuple(dict.fromkeys(_STATES[word] for word in state))))
    return Response(status_code=204, headers=position_header(submitted.position))
