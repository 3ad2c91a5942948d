"""Purging tasks in the v3 dialect: nothing is deleted, but lists, counts and reads leave purged tasks out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from pulp_events.purging import PurgeArguments
from pulp_events.task import FINAL

from pulp_api.authenticated_call import Authenticated
from pulp_api.bodies import any_json
from pulp_api.respond import json, position_header
from pulp_api.times import time_of
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.dialect import ROOT, FieldErrors, object_of
from pulp_api.v3.tasks import STATES, href_of, id_of

router = APIRouter(prefix=ROOT)
_FIELDS: Final = ("finished_before", "states")
_USUAL_AGE: Final = timedelta(days=30)
_USUAL_STATES: Final = ["completed"]
_TIME: Final = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
_NULL: Final = "This field may not be null."


@router.post("/tasks/purge/")
async def purge_tasks(call: Authenticated, request: Request) -> Response:
    """`{"finished_before", "states"}`: 202 with the task that purges all tasks that ended in these states before that
    time.

    By default those completed more than 30 days ago.
    """
    submitted = await call.purge(_wanted(await request.body(), datetime.now(UTC)))
    href = href_of(submitted.task.task_id)
    body: AcceptedResponse = {"task": href}
    return json(body, 202, {"Location": href, **position_header(submitted.position)})


@router.delete("/tasks/{task_id}/")
async def delete_task(call: Authenticated, task_id: str) -> Response:
    """Purge one task: 204; 409 for one that has not ended."""
    position = await call.hide(id_of(task_id))
    return Response(status_code=204, headers=position_header(position))


def _wanted(body: bytes, now: datetime) -> PurgeArguments:
    """Raises `FieldErrors` in Pulp's words, and `BadInput` for a body that is not JSON."""
    given = object_of(any_json(body) if body.strip() else {})
    # Pulp ignores them: but a filter with a misspelt name would purge what it was to keep.
    errors = {name: [f"Unexpected field; there are {', '.join(_FIELDS)}."] for name in given if name not in _FIELDS}
    states = _states(given, errors)
    before = _before(given, now - _USUAL_AGE, errors)
    if errors:
        raise FieldErrors(errors)
    words = tuple(dict.fromkeys(STATES[word].value for word in states))
    return msgspec.convert({"states": words, "finished_before": before}, PurgeArguments)


def _before(given: Mapping[str, Any], usual: datetime, errors: dict[str, list[str]]) -> datetime:
    text = given.get("finished_before", usual)
    if isinstance(text, datetime):
        return text
    found = time_of(text) if isinstance(text, str) else None
    if found is None:
        errors["finished_before"] = [_NULL if text is None else _TIME]
        return usual
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _states(given: Mapping[str, Any], errors: dict[str, list[str]]) -> list[str]:
    states = given.get("states", _USUAL_STATES)
    if not isinstance(states, list):
        kind = type(states).__name__
        errors["states"] = [_NULL if states is None else f'Expected a list of items but got type "{kind}".']
    elif not states:
        errors["states"] = ["This selection may not be empty."]
    elif wrong := [word for word in states if not isinstance(word, str) or STATES.get(word) not in FINAL]:
        errors["states"] = [f'"{wrong[0]}" is not a valid choice.']
    else:
        return states
    return []
