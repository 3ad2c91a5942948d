"""JSON bodies of requests. Pure."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UnsetType
from pulp_events.argument_forms import CONTROL
from pulp_events.errors import BadInput
from pulp_events.events import Resource
from pulp_events.plain_words import REFUSALS, Misfit, misfit_of, not_json

T = TypeVar("T")
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKED: Final = "begins with a byte order mark: send UTF-8 without one"


class BadBody(BadInput):
    """A body is not JSON, or has a field that it may not have, or lacks one."""

    def __init__(self, what: str, misfit: Misfit) -> None:
        super().__init__(f"{what} cannot be used: {misfit.of('it')}")
        self.misfit = misfit


def decoded(body: bytes, kind: type[T], what: str) -> T:
    """The body as a value of the type; `what` names it in errors. Raises `BadBody`, which says what is wrong and
    where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except REFUSALS as error:
        told = misfit_of(error, kind)
        raise BadBody(what, Misfit("", _MARKED) if _is_marked(body) else told) from error


def check_names(what: str, names: Iterable[tuple[str, str | UnsetType]]) -> None:
    """Raises `BadBody` for a name with a control character: it would break the lines of logs and listings.

    So does one that is blank, or has blanks at its ends, as filters leave these out. `names` are the values, each with
    its place in the body; those that are unset are not looked at.
    """
    for path, name in names:
        if isinstance(name, UnsetType):
            continue
        if CONTROL.search(name):
            raise BadBody(what, Misfit(path, "has a control character, such as a line break: leave it out"))
        if name != name.strip():
            raise BadBody(what, Misfit(path, "begins or ends with a blank: leave it out"))


def names_of_task(
    resources: Sequence[Resource] | UnsetType | None, tags: Sequence[str] | UnsetType | None
) -> Iterator[tuple[str, str]]:
    """The names among the resources and tags of a body, each with its place."""
    for number, resource in enumerate(resources or ()):
        yield f"resources[{number}].type", resource.type
        yield f"resources[{number}].id", resource.id
    for number, tag in enumerate(tags or ()):
        yield f"tags[{number}]", tag


def any_json(body: bytes | str) -> Any:
    """The value of a JSON text. Raises `BadInput`, whose message begins as Pulp 3's."""
    try:
        return msgspec.json.decode(body)
    except REFUSALS as error:
        raise BadInput(f"JSON parse error - {f'it {_MARKED}' if _is_marked(body) else not_json(error)}") from error


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises `BadInput`."""
    try:
        found = msgspec.json.decode(body)
    except REFUSALS as error:
        raise BadInput(f"the body is not JSON: {f'it {_MARKED}' if _is_marked(body) else not_json(error)}") from error
    if not isinstance(found, dict):
        raise BadInput("the body must be a JSON object")
    return found


def _is_marked(body: bytes | str) -> bool:
    return body.startswith(_MARKS) if isinstance(body, bytes) else body.startswith("\ufeff")
