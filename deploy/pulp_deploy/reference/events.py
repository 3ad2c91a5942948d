"""docs/reference/events.md: each type of event with its fields, from the types and the golden events."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from pulp_events.codec import EARLIER, HEADERS, MAX_EVENT_BYTES, MAX_NESTING, TYPES
from pulp_events.events import Event, RequestFacts, Resource, TaskError
from pulp_events.schemas import schema_of
from pulp_events.topics import Topics

from pulp_deploy.reference.markdown import code, indented, table

GOLDEN: Final = Path(__file__).parents[3] / "tests" / "golden"
_FILES: Final = ("events-v2.jsonl", "events-v1.jsonl")
_HEAD: Final = """# Events

Every change of a task is one record in the topic `{topic}`: a [CloudEvent](https://cloudevents.io) 1.0 in JSON,
structured mode. This page is made from the code: `python -m pulp_deploy.reference --write`. The JSON Schemas are in
[`events/pulp_events/json_schema`](../../events/pulp_events/json_schema), and in every wheel.

## The record

| part | what it holds |
| --- | --- |
| key | the task id, as text in lower case |
| headers | {headers} |
| value | the event: at most {bytes} bytes, at most {nesting} nested objects and arrays, no U+0000 in a string |
| partition | for `accepted` chosen by the task's resources; for every later event that of its `accepted` |
| time | the broker's time of the append (`LogAppendTime`) |

**The key does not choose the partition.** The partition of a new task is CRC-32 of its partition key, modulo the
number of partitions. The partition key is `TYPE:ID` of the first exclusive resource, else of the first shared one,
else the task id: `pulp_events.topics.partition_of`. Kafka's own partitioner picks another partition; a later event
that lands there has no effect ([how it works](../explain/how-it-works.md#which-partition-a-task-goes-to)).

## The envelope

Every event has these fields around its `data`.
"""


def text() -> str:
    """The page."""
    numbers = {"bytes": f"{MAX_EVENT_BYTES:,}", "nesting": str(MAX_NESTING)}
    headers = ", ".join(f"`{name}: {value.decode() if isinstance(value, bytes) else value}`" for name, value in HEADERS)
    head = _HEAD.format(topic=Topics.named().events, headers=headers, **numbers)
    every: dict[Any, str] = {**TYPES, **EARLIER}
    schemas = {kind: schema_of(wire_type) for kind, wire_type in every.items()}
    shared = next(iter(schemas.values()))
    open_to_all = {"type": {"type": "string"}, "data": {"type": "object"}}
    envelope = {**shared, "properties": shared["properties"] | open_to_all}
    parts = [head, _fields(envelope, _envelope_meanings()), "\nThe types of events and their data:\n"]
    for kind, wire_type in every.items():
        schema = schemas[kind]["$defs"][kind.__name__]
        parts.append(f"\n## {wire_type}\n\n{cleandoc(kind.__doc__ or '')}\n")
        parts.append(_fields(schema, meanings(kind)))
        parts.append(f"\nAn example:\n\n{indented(json.dumps(example(wire_type), indent=2, ensure_ascii=False))}")
    parts.append("\n## Parts of events\n")
    for part, owner in ((Resource, "resources"), (TaskError, "error"), (RequestFacts, "request")):
        definitions = next(each["$defs"] for each in schemas.values() if part.__name__ in each["$defs"])
        parts.append(f"\n### {owner}\n\n{cleandoc(part.__doc__ or '')}\n")
        parts.append(_fields(definitions[part.__name__], meanings(part), definitions))
    return "".join(parts)


def example(wire_type: str) -> dict[str, Any]:
    """The first golden event of a type."""
    lines = (json.loads(line) for name in _FILES for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines())
    found: dict[str, Any] = next(event for event in lines if event["type"] == wire_type)
    return found


def meanings(struct: type[Struct]) -> dict[str, str]:
    """The text below each field of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = cleandoc(ast.literal_eval(below.value))
    return found


def _envelope_meanings() -> dict[str, str]:
    """What `Event` says of the attributes that it names differently."""
    of_event = meanings(Event)
    return {
        "type": "One of those below.",
        "id": "Of the event: a second event with the same id has no effect.",
        "subject": "The task id.",
        "actor": of_event["actor"],
        "causationid": of_event["causation_id"],
        "time": "The author's clock; no order follows from it.",
        "data": "The fields of the type.",
    }


def _fields(schema: dict[str, Any], texts: dict[str, str], definitions: dict[str, Any] | None = None) -> str:
    required = schema.get("required", ())
    definitions = definitions or schema.get("$defs", {})
    rows = (
        (code(name), _type(each), "yes" if name in required else _default(each), texts.get(name, ""))
        for name, each in schema["properties"].items()
    )
    return table(("field", "type", "required, or the default", "meaning"), rows)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " or ".join(code(str(each)) for each in schema["enum"])
    kind = str(schema.get("format") or schema.get("type") or "any JSON value")
    if kind == "array":
        kind = f"list of {_type(schema['items'])}"
    return ", ".join([kind, *_bounds(schema)])


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "at least {:,}",
        "maximum": "at most {:,}",
        "minLength": "at least {} characters",
        "maxLength": "at most {:,} characters",
        "maxItems": "at most {:,} items",
    }
    for key, sentence in words.items():
        if key in schema:
            yield sentence.format(schema[key])


def _default(schema: dict[str, Any]) -> str:
    return code(json.dumps(schema["default"])) if "default" in schema else "may be left out"
