"""The body of a request to cancel, of a task or of a group."""

import re
from email.message import Message
from email.parser import BytesParser
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from pulp_events.errors import BadInput

from pulp_api.authenticated_call import MAX_REASON
from pulp_api.bodies import any_json
from pulp_api.v3.dialect import FieldErrors, object_of

FORM: Final = "application/x-www-form-urlencoded"
PARTS: Final = "multipart/form-data"
_MOST_FORM_BYTES: Final = 8 * 1024
_MOST_DELIMITERS: Final = 20
"""A form has a state and a reason. The parser takes long for many parts, and parts within parts."""
_DELIMITER: Final = re.compile(rb"(?:^|[\r\n])--")


async def reason_of_cancel(request: Request) -> str | None:
    """The reason, of `{"state": "canceled"}` in JSON or as a form. Raises `FieldErrors`, `BadInput`."""
    found = object_of(_fields(await request.body(), request.headers.get("content-type", "")))
    if (wrong := _wrong_state(found)) is not None:
        raise FieldErrors({"state": [wrong]})
    reason = found.get("reason")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= MAX_REASON):
        raise FieldErrors({"reason": [f"A text of at most {MAX_REASON} characters is expected."]})
    return reason


def _wrong_state(found: dict[str, Any]) -> str | None:
    """What Pulp 3 says of the state; None for the one that it takes, with or without blanks around it."""
    match found.get("state", ...):
        case str() as text if text.strip() == "canceled":
            return None
        case str() as text if not text.strip():
            return "This field may not be blank."
        case None:
            return "This field may not be null."
        case bool() | list() | dict():
            return "Not a valid string."
        case value:
            return "This field is required." if value is ... else "The only acceptable value for 'state' is 'canceled'."


def _fields(body: bytes, content_type: str) -> Any:
    if not body:
        return {}
    match content_type.partition(";")[0].strip().lower():
        case kind if kind == FORM:
            return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        case kind if kind == PARTS:
            return _parts(body, content_type)
        case _:
            return any_json(body)


def _parts(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form in parts. Raises `BadInput`."""
    if len(body) > _MOST_FORM_BYTES or len(_DELIMITER.findall(body)) > _MOST_DELIMITERS:
        raise BadInput("Multipart form parse error - a form with a state and a reason is expected")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = BytesParser().parsebytes(head + body)
    if form.get_boundary() is None:
        raise BadInput("Multipart form parse error - the Content-Type names no boundary")
    found: dict[str, str] = {}
    for part in form.get_payload() if form.is_multipart() else ():
        assert isinstance(part, Message)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            text = part.get_payload(decode=True)
            found[name] = text.decode(errors="replace") if isinstance(text, bytes) else ""
    return found
