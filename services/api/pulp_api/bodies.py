"""JSON bodies of requests. Pure."""

from typing import Any, TypeVar

import msgspec
from pulp_events.errors import BadInput
from pulp_events.plain_words import REFUSALS, Misfit, misfit_of, not_json

T = TypeVar("T")


class BadBody(BadInput):
    """A body is not JSON, or has a field that it may not have, or lacks one."""

    def __init__(self, what: str, misfit: Misfit) -> None:
        super().__init__(f"{what} cannot be used: {misfit.of('it')}")
        self.misfit = misfit


def decoded(body: bytes, kind: type[T], what: str) -> T:
    """The body as a value of the type; `what` names it in errors. Raises `BadBody`, which says what and where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except REFUSALS as error:
        raise BadBody(what, misfit_of(error, kind)) from error


def any_json(body: bytes | str) -> Any:
    """The value of a JSON text. Raises `BadInput`, whose message begins as Pulp 3's."""
    try:
        return msgspec.json.decode(body)
    except REFUSALS as error:
        raise BadInput(f"JSON parse error - {not_json(error)}") from error


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises `BadInput`."""
    try:
        found = msgspec.json.decode(body)
    except REFUSALS as error:
        raise BadInput(f"the body is not JSON: {not_json(error)}") from error
    if not isinstance(found, dict):
        raise BadInput("the body must be a JSON object")
    return found
