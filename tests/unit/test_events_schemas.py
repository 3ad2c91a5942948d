"""The committed JSON Schemas match the types, and agree with the codec."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pulp_events.codec import EVERY_TYPE
from pulp_events.schemas import FOLDER, differences, main, text

GOLDEN = Path(__file__).parents[1] / "golden"
LINES = [line for number in (1, 2) for line in (GOLDEN / f"events-v{number}.jsonl").read_text().splitlines()]
SCHEMAS: dict[str, Any] = {kind: json.loads(text(kind)) for kind in EVERY_TYPE.values()}
BREAKS: dict[str, dict[str, Any]] = {
    "org.pulpproject.task.accepted.v1": {
        "operation": "",
        "arguments": [],
        "resources": [{"type": "a"}],
        "tags": ["x" * 641],
        "priority": 1001,
        "group_id": "g",
        "depends_on": "x",
        "timeout_seconds": 0,
        "retry": {"retries": 101},
        "deadline_seconds": 0,
    },
    "org.pulpproject.task.started.v1": {"attempt": 0, "attempt_id": None, "worker": "", "cancellable": "yes"},
    "org.pulpproject.task.progress.v1": {"attempt_id": "a", "sequence": 0, "progress": "half"},
    "org.pulpproject.task.attempt-failed.v1": {"attempt_id": None, "error": {"code": "x"}, "retry_at": 5},
    "org.pulpproject.task.cancel-requested.v1": {"reason": "x" * 1025},
    "org.pulpproject.task.accepted.v2": {"operation": "", "request": {"authentication": ""}},
    "org.pulpproject.task.cancel-requested.v2": {"reason": "x" * 1025, "request": {"client": "curl"}},
    "org.pulpproject.task.finished.v1": {"outcome": "ok", "attempt_id": 1, "error": {"code": "x"}},
    "org.pulpproject.task.purged.v1": {"requested_by": "", "filter": [1]},
    "org.pulpproject.task.unparked.v1": {
        "action": "skip",
        "offset": -1,
        "reason": "x" * 1025,
        "request": {"client": "a"},
    },
}


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[kind], format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_files_are_made_from_the_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert differences(FOLDER) == []
    assert main(["--check"]) == 0
    assert main(["--write", "--folder", str(tmp_path)]) == 0
    (tmp_path / "org.pulpproject.task.started.v1.json").write_text("{}")
    (tmp_path / "org.pulpproject.task.finished.v1.json").unlink()
    (tmp_path / "other.json").write_text("{}")
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "finished.v1.json is missing" in told
    assert "started.v1.json differs" in told
    assert "other.json belongs to no event" in told


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one_and_names_what_it_is_of(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind])
    assert (SCHEMAS[kind]["title"], SCHEMAS[kind]["$id"]) == (kind, f"urn:pulp-tasks:event:{kind}")


@pytest.mark.parametrize("line", LINES)
def test_a_golden_event_fits_its_schema_and_no_other(line: str) -> None:
    event = json.loads(line)
    fits = {kind for kind in SCHEMAS if validator(kind).is_valid(event)}
    assert fits == {event["type"]}
    assert validator(event["type"]).is_valid(event | {"unknown": 1, "data": event["data"] | {"unknown": 1}})


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in BREAKS.items() for field in fields])
def test_a_field_that_breaks_the_contract_breaks_the_schema(kind: str, field: str) -> None:
    event = next(event for event in map(json.loads, LINES) if event["type"] == kind)
    event["data"][field] = BREAKS[kind][field]
    assert not validator(kind).is_valid(event)


@pytest.mark.parametrize("kind", ["accepted", "cancel-requested"])
def test_version_2_needs_its_request(kind: str) -> None:
    event = next(event for event in map(json.loads, LINES) if event["type"] == f"org.pulpproject.task.{kind}.v2")
    del event["data"]["request"]
    assert not validator(event["type"]).is_valid(event)


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "subject", "time", "actor", "data"])
def test_each_attribute_of_the_envelope_is_needed(attribute: str) -> None:
    event = json.loads(LINES[0])
    del event[attribute]
    assert not validator("org.pulpproject.task.accepted.v1").is_valid(event)
