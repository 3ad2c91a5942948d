"""The committed JSON Schemas are those of the types, and what the codec writes fits them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pulp_events.codec import TYPES
from pulp_events.schemas import differences

FOLDER = Path(__file__).parents[2] / "events" / "schemas"
GOLDEN = (Path(__file__).parents[1] / "golden" / "events-v1.jsonl").read_text().splitlines()


def test_the_committed_schemas_are_those_of_the_types() -> None:
    assert differences(FOLDER) == []


def test_every_type_has_its_schema() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(TYPES.values())


@pytest.mark.parametrize("line", GOLDEN)
def test_a_golden_event_fits_its_schema(line: str) -> None:
    event = json.loads(line)
    schema = json.loads((FOLDER / f"{event['type']}.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(event)
