"""The gate between releases: a released version of an event never changes.

`tests/golden/schemas` has the JSON Schema of each version as it was first released; these files never change.
`python -m pulp_events.compatibility --check` compares the types with them, and is part of `./dev check`. `--add` adds
new versions, and changes no existing file.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pulp_events.audit import AUDIT_TYPE
from pulp_events.schemas import audit_schema, names, schema_of

FOLDER: Final = Path(__file__).parents[2] / "tests" / "golden" / "schemas"
_PREFIX: Final = "#/$defs/"
_WORDS: Final = frozenset({"title", "description", "$comment", "$id", "$schema", "examples"})
"""Keywords that only document."""
_WAY_OUT: Final = (
    "give the event a new version, and keep this one in pulp_events.upcasting with a function that makes the new one"
    " of it"
)


def breaks(released: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What would break a program that knows the released schema, one sentence each. Pure.

    A field may be added if it is not required. Nothing else may change, so that programs with the old schema can still
    write and read the version.
    """
    yield from _between(_resolved(released, released), _resolved(now, now), "")


def findings(released: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """How the types break released schemas, one line each. Pure."""
    for wire_type, schema in sorted(released.items()):
        if wire_type not in now:
            yield f"{wire_type} is not read any more: {_WAY_OUT}"
            continue
        for found in breaks(schema, now[wire_type]):
            yield f"{wire_type}: {found}: {_WAY_OUT}"
    for wire_type in sorted(now.keys() - released.keys()):
        yield f"{wire_type} is new: once it is as it shall be for ever, run python -m pulp_events.compatibility --add"


def current() -> dict[str, dict[str, Any]]:
    """The schema of every version that is read, as JSON has it."""
    found = {name: audit_schema() if name == AUDIT_TYPE else schema_of(name) for name in sorted(names())}
    schemas: dict[str, dict[str, Any]] = json.loads(json.dumps(found))
    return schemas


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The schemas that were released."""
    return {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _between(before: Any, after: Any, place: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict) and "properties" in before and "properties" in after:
        yield from _between_objects(before, after, place)
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for word in sorted((before.keys() | after.keys()) - {"items", "anyOf"}):
            if before.get(word) != after.get(word):
                yield f"{place or 'it'} had {_told(word, before)}, and has {_told(word, after)}"
        for word in ("items", "anyOf"):
            if word in before or word in after:
                yield from _between(before.get(word), after.get(word), place)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _between(one, other, place)
    elif before != after:
        yield f"{place or 'it'} had another type"


def _between_objects(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Iterator[str]:
    fields, left = before["properties"], after["properties"]
    for name, schema in fields.items():
        where = f"{place}.{name}" if place else name
        if name not in left:
            yield f"{where} was removed"
        else:
            yield from _between(schema, left[name], where)
    for name in sorted({*after.get("required", ())} ^ {*before.get("required", ())}):
        where = f"{place}.{name}" if place else name
        if name in after.get("required", ()):
            yield f"{where} became required"
        elif name in left:
            yield f"{where} is not required any more, and old programs need it"
    for word in sorted((before.keys() | after.keys()) - {"properties", "required"}):
        if before.get(word) != after.get(word):
            yield f"{place or 'it'} had {_told(word, before)}, and has {_told(word, after)}"


def _told(word: str, schema: Mapping[str, Any]) -> str:
    return f"{word} {json.dumps(schema[word])}" if word in schema else f"no {word}"


def _resolved(value: Any, whole: Mapping[str, Any]) -> Any:
    """The schema without documentation, and with references resolved."""
    if isinstance(value, list):
        return [_resolved(each, whole) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(whole["$defs"][value["$ref"].removeprefix(_PREFIX)], whole)
    return {
        word: {name: _resolved(field, whole) for name, field in each.items()}
        if word == "properties"
        else _resolved(each, whole)
        for word, each in value.items()
        if word not in _WORDS and word != "$defs"
    }


def add(folder: Path) -> list[str]:
    """Keep the schemas of new versions; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    new = {name: schema for name, schema in current().items() if not (folder / f"{name}.json").exists()}
    for name, schema in new.items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    return [*new]


def main(arguments: list[str]) -> int:
    """Check the types, or add new versions; returns 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m pulp_events.compatibility", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="say what breaks programs of earlier releases")
    action.add_argument("--add", action="store_true", help="keep the schemas of versions that are new")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    if options.add:
        for name in add(options.folder):
            print(name)
        return 0
    found = [*findings(kept(options.folder), current())]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
