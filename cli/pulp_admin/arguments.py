"""The arguments of an operation: read from the command line, converted and checked as the operation declares. Pure."""

import difflib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from pulp_admin.errors import why

_WIDTH: Final = 78
_TRUE: Final = ("true", "yes", "on")
_FALSE: Final = ("false", "no", "off")
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class GivenText(str):
    """A value given as NAME=TEXT; `typed` converts it to the declared type."""

    __slots__ = ()


def given_arguments(pairs: Sequence[str], text: str | None) -> dict[str, Any]:
    """The arguments of `--argument` and `--arguments`, by name. Raises a usage error."""
    found = {} if text is None else _json(text, "--arguments")
    if not isinstance(found, dict):
        raise click.UsageError(f"--arguments: a JSON object is expected, not {type(found).__name__}")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.rstrip(":"):
            shown = "..." if "://" in pair else pair  # a URL may hold a password
            raise click.UsageError(f"--argument {shown}: NAME=TEXT or NAME:=JSON is expected")
        is_json = name.endswith(":")
        found[name.rstrip(":")] = _json(value, f"--argument {name}") if is_json else GivenText(value)
    return found


def typed(given: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with every NAME=TEXT converted to the declared type: `8` to a number, `true` to a boolean.

    A text that cannot be converted stays a text, so the check refuses it.
    """
    schema = operation.get("arguments") or {}
    properties = schema.get("properties", {})
    return {
        name: _typed(str(value), _types(properties.get(name, {}), schema)) if isinstance(value, GivenText) else value
        for name, value in given.items()
    }


def problem_with(given: Mapping[str, Any], operation: Mapping[str, Any]) -> str | None:
    """Return the error that the server would report, or None.

    Only names and types are checked; formats, ranges and nested values are left to the server.
    """
    if operation.get("parameters") is None:
        return None
    told = [f"{name}: {message}" for name, message in _problems(given, operation)]
    return f"operation {operation['name']}: {'; '.join(told)}" if told else None


def example_of(submission: Mapping[str, Any]) -> str:
    """The command line for the server's example of a valid submission; broken into lines if it is long."""
    parts = [shlex.join(["pulp-admin", "submit", str(submission.get("operation", "OPERATION"))])]
    for name, value in (submission.get("arguments") or {}).items():
        is_text = isinstance(value, str)
        parts.append(shlex.join(["--argument", f"{name}={value}" if is_text else f"{name}:={json.dumps(value)}"]))
    line = f"Example: {' '.join(parts)}"
    return line if len(line) <= _WIDTH else "Example: " + " \\\n    ".join(parts)


def rows_of(operation: Mapping[str, Any]) -> list[list[str]]:
    """Name, type, whether it is required, default, description of each argument."""
    return [
        [
            each["name"],
            each["type"],
            "first time" if each["remembered"] else "yes" if each["required"] else "no",
            "the last one" if each["remembered"] else "-" if each["required"] else json.dumps(each["default"]),
            each["description"] or each["expected"],
        ]
        for each in operation["parameters"]
    ]


def _problems(given: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parameters = {each["name"]: each for each in operation["parameters"]}
    schema = operation["arguments"]
    for name, each in parameters.items():
        if each["required"] and name not in given:
            yield name, f"this argument is required: {each['expected']}"
    for name, value in given.items():
        if name not in parameters:
            takes = f"it takes {', '.join(parameters)}" if parameters else "it takes none"
            yield name, f"there is no argument {name!r}{_did_you_mean(name, list(parameters))} ({takes})"
        elif not _is_a(value, _types(schema["properties"][name], schema)):
            yield name, f"{parameters[name]['expected']} is expected"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    begun = [each for each in known if len(word) > 2 and each.startswith(word)]
    near = begun or difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _types(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> set[str]:
    """The JSON types that a schema accepts; empty if it does not restrict them."""
    if depth > 10:
        return set()
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
        return _types(target, root, depth + 1)
    kinds = schema.get("type")
    if kinds is not None:
        return {kinds} if isinstance(kinds, str) else set(kinds)
    if "enum" in schema:
        return {_type_of(value) for value in schema["enum"]}
    branches = [_types(each, root, depth + 1) for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
    return set().union(*branches) if all(branches) else set()


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _is_a(value: object, types: set[str]) -> bool:
    kind = _type_of(value)
    return not types or kind in types or (kind == "integer" and "number" in types)


def _typed(text: str, types: set[str]) -> Any:
    if not types or "string" in types:
        return text
    word = text.strip().lower()
    if "boolean" in types and word in (*_TRUE, *_FALSE):
        return word in _TRUE
    if "null" in types and word == "null":
        return None
    if types & {"integer", "number"} and _INTEGER.fullmatch(word):
        return int(word)
    if "number" in types and _NUMBER.fullmatch(word):
        return float(word)
    if types & {"array", "object"}:
        try:
            found = json.loads(text)
        except ValueError:
            return text
        return found if _is_a(found, types) else text
    return text


def _json(text: str, where: str) -> Any:
    is_file = text.startswith("@")
    try:
        read = Path(text[1:]).read_text(encoding="utf-8-sig") if is_file else text
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{where}: the file {text[1:]} cannot be read: {why(error)}") from error
    try:
        return json.loads(read)
    except ValueError as error:
        raise click.UsageError(f"{where}: {f'{text[1:]} is' if is_file else 'this is'} not JSON: {error}") from error
