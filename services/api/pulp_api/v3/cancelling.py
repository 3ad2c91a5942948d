"""The body of a request to cancel, of a task or of a group."""

from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request

from pulp_api.authenticated_call import MAX_REASON
from pulp_api.bodies import any_json
from pulp_api.v3.dialect import FieldErrors

FORM: Final = "application/x-www-form-urlencoded"


async def reason_of_cancel(request: Request) -> str | None:
    """The reason, of `{"state": "canceled"}` in JSON or as a form. Raises `FieldErrors`, `BadInput`."""
    found = _fields(await request.body(), request.headers.get("content-type", ""))
    if not isinstance(found, dict) or "state" not in found:
        raise FieldErrors({"state": ["This field is required."]})
    if found["state"] != "canceled":
        raise FieldErrors({"state": ["The only acceptable value for 'state' is 'canceled'."]})
    reason = found.get("reason")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= MAX_REASON):
        raise FieldErrors({"reason": [f"A text of at most {MAX_REASON} characters is expected."]})
    return reason


def _fields(body: bytes, content_type: str) -> Any:
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() == FORM:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    return any_json(body)
