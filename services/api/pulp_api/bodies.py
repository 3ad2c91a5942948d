"""JSON bodies of requests. Pure."""

from typing import Any

import msgspec
from pulp_events.errors import BadInput


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises `BadInput`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput("the body must be a JSON object")
    return found
