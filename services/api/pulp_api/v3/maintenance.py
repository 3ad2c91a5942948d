"""Pulp 3's calls on its whole storage (orphan cleanup and repair), as tasks of existing operations."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Raw

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import json_object
from pulp_api.respond import json, position_header
from pulp_api.submitting.submission import Submission
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)


@router.post("/orphans/cleanup/")
async def clean_up_orphans(call: Authenticated, request: Request) -> Response:
    """Remove content that no repository holds: 202 with the task."""
    call.need_submitter()
    body = json_object(await request.body() or b"{}")
    errors: dict[str, list[str]] = {}
    if body.get("content_hrefs") is not None:
        errors["content_hrefs"] = ["Single units cannot be named: all orphans are removed. Leave it out."]
    age = body.get("orphan_protection_time")
    if age is not None and (isinstance(age, bool) or age != 0):
        errors["orphan_protection_time"] = ["Orphans are not protected by their age: 0 is expected, or nothing."]
    if errors:
        raise FieldErrors(errors)
    return await _started(call, "remove-orphans", {})


@router.post("/repair/")
async def repair(call: Authenticated, request: Request) -> Response:
    """Verify all stored content, and fetch damaged content again: 202 with the task."""
    call.need_submitter()
    body = json_object(await request.body() or b"{}")
    if body.pop("verify_checksums", True) is not True:  # in Pulp 3 false only looks for missing files
        raise FieldErrors({"verify_checksums": ["Checksums are verified in any case: true is expected."]})
    return await _started(call, "repair", body)


async def _started(call: AuthenticatedCall, operation: str, arguments: dict[str, Any]) -> Response:
    """The answer has `task` and nothing else, as Pulp's clients wait for a task only then."""
    submission = Submission(operation=operation, arguments=Raw(msgspec.json.encode(arguments)))
    submitted = await call.submit(submission)
    href = href_of(submitted.task.task_id)
    body: AcceptedResponse = {"task": href}
    return json(body, 202, {"Location": href, **position_header(submitted.position)})
