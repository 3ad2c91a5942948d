"""Declare the arguments of an operation.

    class MirrorArguments(msgspec.Struct, kw_only=True):
        repo_id: Annotated[RepositoryId, Meta(description="The repository.", examples=["zoo"])]
        feed: Annotated[HttpUrl, REMEMBERED]
        concurrency: Annotated[int, Meta(ge=1, le=64)] = 4

    @operation("mirror", arguments=MirrorArguments, resources=[Resource("repository", "{repo_id}")])
    async def mirror(context: Context[MirrorArguments]) -> None: ...

The type is a `msgspec.Struct`, a dataclass, an attrs class or a `TypedDict`. Its JSON Schema is registered with the
operation. The API refuses a submission that does not fit, or has an unknown argument, before anything is written;
clients use the schema for help and completion. The API has only the schema: it checks types, ranges, lengths, patterns,
choices, and the types of this module. It does not see checks in the code of the type (`__post_init__`), and it checks a
time only with a zone: `Annotated[datetime, Meta(tz=True)]`.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

import msgspec
from msgspec import Meta
from pulp_events.argument_forms import FORMS, MOST_ID_CHARACTERS, MOST_URL_CHARACTERS
from pulp_events.plain_words import misfit_of
from pulp_projections.personal.envelope import PERSONAL

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
T = TypeVar("T")

REMEMBERED: Final = Meta(extra_json_schema={"x-pulp-remembered": True})
"""Marks an argument that a submission may omit: the API then takes its value from the newest task of this operation on
the same resource. Every task has the value, so the field needs no default."""


def personal(of: str) -> Meta:
    """Marks an argument that is about a person: `Annotated[str, personal(of="user")]`.

    `of` is the argument that names the person, a text or a whole number; it may be the marked one itself. The API
    encrypts the value, with a key of that person, before the task is written anywhere, and only the process of the
    operation and those who may read the task get it. Once the key is destroyed, nobody does. Nothing else that an
    operation writes is encrypted: it must not repeat the value in its result, its progress, its errors or its output.
    """
    return Meta(extra_json_schema={PERSONAL: of})


class BadArguments(ValueError):
    """The arguments of a task do not fit its operation's declaration; the message says where, and what is expected."""


class FormedText(str):
    """A text in a form that the API can check; a subclass names the form. Raises `ValueError` for any other text."""

    form: ClassVar[str]
    most_characters: ClassVar[int]
    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        problem = FORMS[cls.form](text)
        if problem is not None:
            raise ValueError(problem)
        return super().__new__(cls, text)


class HttpUrl(FormedText):
    """An http or https URL with a host; no user name, no password, and nothing secret in its query."""

    form = "http-url"
    most_characters = MOST_URL_CHARACTERS
    __slots__ = ()


class RepositoryId(FormedText):
    """The id of a repository: up to 200 characters, usable as the name of a folder."""

    form = "repository-id"
    most_characters = MOST_ID_CHARACTERS
    __slots__ = ()


def schema_of(kind: type[Any], operation: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a declared type. Raises `ValueError` if the type cannot declare arguments."""
    try:
        found = msgspec.json.schema(kind, schema_hook=_schema_of_form)
    except (TypeError, NotImplementedError, RecursionError) as error:
        raise ValueError(f"operation {operation!r}: its arguments have no JSON Schema: {error}") from error
    definitions = dict(found.get("$defs", {}))
    reference = str(found.get("$ref", ""))
    fields = definitions.pop(reference.rpartition("/")[2], found)
    if fields.get("type") != "object" or "properties" not in fields:
        raise ValueError(
            f"operation {operation!r}: arguments are declared as a msgspec.Struct, a dataclass, an attrs class or a"
            f" TypedDict, not as {kind!r}"
        )
    if reference and f'"{reference}"' in json.dumps([fields, definitions]):  # the type contains itself
        definitions[reference.rpartition("/")[2]] = fields
    _check_personal(fields["properties"], definitions, operation)
    schema = {"$schema": _DRAFT, **fields, "additionalProperties": False}
    return {**schema, "$defs": definitions} if definitions else schema


def _check_personal(properties: Mapping[str, Any], definitions: Mapping[str, Any], operation: str) -> None:
    """Raises `ValueError` for marks of personal data that nothing could act on."""
    for name, each in properties.items():
        of = each.get(PERSONAL)
        if of is not None and of not in properties:
            raise ValueError(
                f"operation {operation!r}: argument {name!r} is personal(of={of!r}), and there is no argument {of!r}"
            )
        if of is not None and each.get("x-pulp-remembered"):
            raise ValueError(
                f"operation {operation!r}: argument {name!r} is personal and REMEMBERED: the API takes no personal data"
                " from one task for another"
            )
    inside = [{key: value for key, value in each.items() if key != PERSONAL} for each in properties.values()]
    if f'"{PERSONAL}"' in json.dumps([inside, definitions]):
        raise ValueError(
            f"operation {operation!r}: only a whole argument can be personal: write Annotated[str | None,"
            ' personal(of="user")] for Annotated[str, ...] | None, and mark no field inside an argument'
        )


def decode(given: Mapping[str, Any], kind: type[T], schema: Mapping[str, Any], operation: str) -> T:
    """Convert the arguments of a task to the declared type. Raises `BadArguments`."""
    unknown = sorted(name for name in given if name not in schema["properties"])
    if unknown:
        known = ", ".join(schema["properties"]) or "none"
        raise BadArguments(f"operation {operation}: unknown argument {unknown[0]!r}; it takes: {known}")
    try:
        return msgspec.convert(given, kind, dec_hook=_decode_form, str_keys=True)
    except msgspec.ValidationError as error:
        misfit = misfit_of(error, kind)
        where = "argument " if misfit.path else ""
        raise BadArguments(f"operation {operation}: {where}{misfit.of('the arguments')}") from None


def _schema_of_form(kind: type[Any]) -> dict[str, Any]:
    if issubclass(kind, FormedText):
        return {"type": "string", "format": kind.form, "minLength": 1, "maxLength": kind.most_characters}
    raise NotImplementedError(f"{kind!r} is not a JSON type")


def _decode_form(kind: type[Any], value: Any) -> Any:
    if not issubclass(kind, FormedText):
        raise NotImplementedError(f"{kind!r} is not a JSON type")
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)
