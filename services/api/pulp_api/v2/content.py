"""Content in the v2 dialect: the removal of orphans."""

from typing import Final

import msgspec
from fastapi import APIRouter, Response
from msgspec import Raw

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.errors import NoSuch
from pulp_api.respond import json, position_header
from pulp_api.submitting.submission import Submission
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.report import accepted

router = APIRouter(prefix=ROOT)
_TYPES: Final = {
    "rpm": "RPM",
    "erratum": "Erratum",
    "package_group": "Package Group",
    "modulemd": "Modulemd",
    "distribution": "Distribution",
}
"""The content types of Pulp 2 that repositories here hold, and their names."""


@router.delete("/content/orphans/")
async def remove_orphans(call: Authenticated) -> Response:
    """Start the removal of orphaned content."""
    return await _remove(call, {})


@router.delete("/content/orphans/{content_type}/")
async def remove_orphans_of_type(call: Authenticated, content_type: str) -> Response:
    """Start the removal of orphaned content of one type; 404 for a type that repositories here do not hold."""
    call.need_submitter()
    if content_type not in _TYPES:
        raise NoSuch("content_type", content_type)
    return await _remove(call, {"content_type": content_type})


@router.get("/plugins/types/")
async def list_types(call: Authenticated) -> Response:
    """The content types of Pulp 2 that repositories here hold."""
    return json([_type(content_type) for content_type in _TYPES])


@router.get("/plugins/types/{content_type}/")
async def read_type(call: Authenticated, content_type: str) -> Response:
    """One content type."""
    if content_type not in _TYPES:
        raise NoSuch("content_type", content_type)
    return json(_type(content_type))


async def _remove(call: AuthenticatedCall, arguments: dict[str, str]) -> Response:
    submission = Submission(operation="remove-orphans", arguments=Raw(msgspec.json.encode(arguments)))
    submitted = await call.submit(submission)
    return json(accepted(submitted.task), 202, position_header(submitted.position))


def _type(content_type: str) -> dict[str, str]:
    href = f"{ROOT}/plugins/types/{content_type}/"
    return {"_href": href, "_ns": "content_types", "id": content_type, "display_name": _TYPES[content_type]}
