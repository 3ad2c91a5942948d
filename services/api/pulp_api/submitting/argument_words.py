"""Describe the schema of an operation's arguments in words, for messages, tables and examples. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

Schema = Mapping[str, Any]
REMEMBERED: Final = "x-pulp-remembered"
_TEXTS: Final = {
    "http-url": ("url", "an http or https URL", "https://example.org/"),
    "repository-id": ("id", "a repository's id", "zoo"),
    "uuid": ("uuid", "a UUID", "6f0ee21f-4a0c-4cf0-8d8b-2a8a46d9e3a1"),
    "date-time": ("time", "a time (RFC 3339)", "2026-01-31T12:00:00Z"),
    "date": ("date", "a date (YYYY-MM-DD)", "2026-01-31"),
    "time": ("time of day", "a time of day (RFC 3339)", "12:00:00Z"),
    "duration": ("duration", "a duration (ISO 8601)", "PT1H"),
    "decimal": ("decimal", "a decimal number as a text", "1.5"),
}
"""Format of a text → a short name for it, what is expected, an example."""
_KINDS: Final = {
    "string": ("text", "a text", "text"),
    "integer": ("integer", "a whole number", 1),
    "number": ("number", "a number", 1.0),
    "boolean": ("boolean", "true or false", True),
    "null": ("null", "null", None),
    "array": ("list", "a list", []),
    "object": ("object", "an object", {}),
}
_EDGES: Final = (("exclusiveMinimum", "above"), ("exclusiveMaximum", "below"), ("multipleOf", "a multiple of"))
_ANYTHING: Final = ("any", "any value", None)


class ShownArgument(NamedTuple):
    """One argument of an operation, as clients see it."""

    name: str
    type: str
    """A word such as `integer`, `url`, `boolean`, `text or null`."""
    required: bool
    remembered: bool
    """If it is missing, it takes its value from the newest task of this operation on the same resource."""
    default: Any
    description: str
    expected: str
    """A description of a valid value: `a whole number from 1 to 64`."""


def parameters(schema: Schema) -> list[ShownArgument]:
    """The arguments, in the order of their declaration."""
    required = schema.get("required", ())
    return [
        ShownArgument(
            name=name,
            type=type_of(each, schema),
            required=name in required and not is_remembered(each),
            remembered=is_remembered(each),
            default=each.get("default"),
            description=each.get("description", ""),
            expected=expected(each, schema),
        )
        for name, each in schema.get("properties", {}).items()
    ]


def is_remembered(schema: Schema) -> bool:
    """Whether the argument may be missing if an earlier task had it."""
    return schema.get(REMEMBERED) is True


def type_of(schema: Schema, root: Schema) -> str:
    """The type in a few words: `integer`, `url or null`, `fast|safe`."""
    schema = resolved(schema, root)
    choices = _choices(schema)
    if choices is not None:
        return "|".join(str(each) for each in choices)
    branches = _branches(schema)
    if branches:
        return " or ".join(dict.fromkeys(type_of(branch, root) for branch in branches))
    return str(_words(schema)[0])


def expected(schema: Schema, root: Schema) -> str:
    """A description of a valid value as a noun phrase, which ` is expected` can follow."""
    schema = resolved(schema, root)
    choices = _choices(schema)
    if choices is not None:
        texts = [msgspec.json.encode(each).decode() for each in choices]
        return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
    branches = _branches(schema)
    if branches:
        return " or ".join(dict.fromkeys(expected(branch, root) for branch in branches))
    return " ".join((str(_words(schema)[1]), *_limits(schema)))


def example(operation: str, schema: Schema | None) -> dict[str, Any]:
    """A valid submission, with all required and remembered arguments."""
    if schema is None:
        return {"operation": operation}
    wanted = schema.get("required", ())
    properties = schema.get("properties", {})
    arguments = {name: _example(properties[name], schema) for name in properties if name in wanted}
    return {"operation": operation, "arguments": arguments}


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference resolved within the document; keywords next to the reference are kept."""
    seen = 0
    while isinstance(schema.get("$ref"), str) and seen < 20:
        reference, seen = schema["$ref"], seen + 1
        target: Any = root
        for part in reference.removeprefix("#").split("/")[1:]:
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        schema = {**(target if isinstance(target, Mapping) else {}), **_without_reference(schema)}
    return schema


def _without_reference(schema: Schema) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _choices(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _branches(schema: Schema) -> list[Schema]:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _words(schema: Schema) -> tuple[str, str, Any]:
    kind = str(schema.get("type"))
    if kind == "string":
        return _TEXTS.get(str(schema.get("format")), _KINDS[kind])
    return _KINDS.get(kind, _ANYTHING)


def _limits(schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"from {low} to {high}"
    elif low is not None:
        yield f"of at least {low}"
    elif high is not None:
        yield f"of at most {high}"
    edges = [f"{word} {schema[key]}" for key, word in _EDGES if key in schema]
    if edges:
        yield " and ".join(edges)
    if schema.get("format") in _TEXTS:  # a text with a format has a suitable length
        return
    for least, most, unit in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "fields"),
    ):
        yield from _span(schema.get(least), schema.get(most), unit)
    if "pattern" in schema:
        yield f"that matches {schema['pattern']}"


def _span(low: int | None, high: int | None, unit: str) -> Iterator[str]:
    if low and high is not None:
        yield f"of {low} to {high} {unit}"
    elif low:
        yield f"of at least {low} {unit}"
    elif high is not None:
        yield f"of at most {high} {unit}"


def _example(schema: Schema, root: Schema, depth: int = 0) -> Any:
    schema = resolved(schema, root)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    branches = _branches(schema)
    if branches:
        return _example(branches[0], root, depth)
    if schema.get("type") == "object" and depth < 5:
        properties = schema.get("properties", {})
        return {
            name: _example(properties[name], root, depth + 1)
            for name in schema.get("required", ())
            if name in properties
        }
    if schema.get("type") == "array" and schema.get("minItems") and depth < 5:
        return [_example(schema.get("items") or {}, root, depth + 1)] * schema["minItems"]
    if schema.get("type") in ("integer", "number"):
        return schema.get("minimum", schema.get("maximum", _words(schema)[2]))
    return _words(schema)[2]
