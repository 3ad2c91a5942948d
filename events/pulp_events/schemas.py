"""The contract as JSON Schema for programs in other languages: one file for each type of event, and one for the audit.

The files in `pulp_events/json_schema`, which are installed with the package, are generated from the types by
`python -m pulp_events.schemas --write`. A program reads them with `schemas.text`.
"""

import argparse
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, defstruct
from msgspec.structs import FieldInfo

from pulp_events.audit import AUDIT_TYPE, Audited, AuditEnvelope
from pulp_events.codec import EVERY_TYPE, MAX_EVENT_BYTES, MAX_NESTING, NEEDED_IN, Envelope
from pulp_events.schedule_codec import SCHEDULE_TYPES
from pulp_events.task_states import STATE_TYPE, TaskState
from pulp_events.webhook_codec import WEBHOOK_TYPES

FOLDER: Final = Path(__file__).with_name("json_schema")
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KINDS: Final[dict[str, type[Struct]]] = {
    **{literal: kind for types in (EVERY_TYPE, SCHEDULE_TYPES, WEBHOOK_TYPES) for kind, literal in types.items()},
    STATE_TYPE: TaskState,
}


def schema_of(wire_type: str) -> dict[str, Any]:
    """The schema of a record's whole value, envelope and data, for one wire type."""
    kind = _KINDS[wire_type]
    _, components = msgspec.json.schema_components([Envelope, _describable(kind)], ref_template="#/$defs/{name}")
    envelope = components.pop("Envelope")
    for definition in components.values():
        definition.pop("title", None)
    data = components[kind.__name__]
    if needed := NEEDED_IN.get(wire_type):
        data["required"] = [*data.get("required", ()), *needed]
    return {
        "$schema": _DIALECT,
        "$id": f"urn:pulp-tasks:event:{wire_type}",
        "title": wire_type,
        "description": f"{components[kind.__name__].pop('description')} A CloudEvent 1.0 in JSON, structured mode."
        " Unknown fields are allowed and kept.",
        "$comment": f"Beyond this schema: at most {MAX_EVENT_BYTES} bytes, no U+0000 in any string, at most"
        f" {MAX_NESTING} nested objects and arrays; the record's key is the subject in lower case.",
        "type": "object",
        "properties": envelope["properties"]
        | {"type": {"const": wire_type}, "data": {"$ref": f"#/$defs/{kind.__name__}"}},
        "required": envelope["required"],
        "$defs": components,
    }


def audit_schema() -> dict[str, Any]:
    """The schema of an audit record's value, whatever it is about."""
    _, components = msgspec.json.schema_components([AuditEnvelope, Audited], ref_template="#/$defs/{name}")
    envelope = components.pop("AuditEnvelope")
    return {
        "$schema": _DIALECT,
        "$id": f"urn:pulp-tasks:audit:{AUDIT_TYPE}",
        "title": AUDIT_TYPE,
        "description": "An audit record: a CloudEvent 1.0 in JSON, structured mode. Unknown fields are allowed.",
        "type": "object",
        "properties": envelope["properties"],
        "required": envelope["required"],
        "$defs": components,
    }


def text(wire_type: str) -> str:
    """The installed file of a wire type, as `org.pulpproject.task.accepted.v1`; raises FileNotFoundError."""
    return files("pulp_events").joinpath("json_schema", f"{wire_type}.json").read_text(encoding="utf-8")


def names() -> frozenset[str]:
    """The wire types that have a schema."""
    return frozenset({AUDIT_TYPE, *_KINDS})


def topics_document() -> str:
    """The installed AsyncAPI 3 document of the topics, as JSON."""
    return files("pulp_events").joinpath("asyncapi.json").read_text(encoding="utf-8")


def _describable(kind: type[Struct]) -> type[Struct]:
    """A struct with the same fields and docstring, whose defaults are not `Raw`, which msgspec cannot describe."""
    fields = [(field.name, field.type, _default(field)) for field in msgspec.structs.fields(kind)]
    return defstruct(kind.__name__, fields, kw_only=True, namespace={"__doc__": kind.__doc__})


def _default(field: FieldInfo) -> Any:
    return msgspec.json.decode(field.default) if isinstance(field.default, Raw) else field.default


def contents() -> Iterator[tuple[str, str]]:
    """The name and text of every file."""
    for wire_type, schema in {AUDIT_TYPE: audit_schema(), **{each: schema_of(each) for each in _KINDS}}.items():
        yield f"{wire_type}.json", msgspec.json.format(msgspec.json.encode(schema)).decode() + "\n"


def write(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(exist_ok=True)
    for name, text in contents():
        (folder / name).write_text(text)


def differences(folder: Path) -> list[str]:
    """The files that are missing, out of date or superfluous, one line each."""
    wanted = dict(contents())
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    return [
        f"{name} {'is missing' if name not in found else 'differs' if name in wanted else 'belongs to no event'}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]


def main(arguments: list[str]) -> int:
    """Write or check the files; 1 if a check finds differences."""
    parser = argparse.ArgumentParser(prog="python -m pulp_events.schemas", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="rewrite the files")
    action.add_argument("--check", action="store_true", help="say what differs from the types")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    if options.write:
        write(options.folder)
        return 0
    found = differences(options.folder)
    for line in found:
        print(f"{options.folder}: {line}: run python -m pulp_events.schemas --write", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
