"""The gate between releases: it passes changes that old programs can handle, and nothing else."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulp_events.codec import EARLIER, TYPES
from pulp_events.compatibility import FOLDER, breaks, current, findings, kept, main
from pulp_events.filters import kind_of
from pulp_events.upcasting import UPCASTERS

ACCEPTED = "org.pulpproject.task.accepted.v2"
STARTED = "org.pulpproject.task.started.v1"


def test_what_was_released_is_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_earlier_version_has_an_upcaster_and_a_newer_one() -> None:
    assert set(UPCASTERS) == set(EARLIER)
    assert {kind_of(literal) for literal in EARLIER.values()} <= {kind_of(literal) for literal in TYPES.values()}


def data(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][schema["properties"]["data"]["$ref"].rpartition("/")[2]]
    return found


def remove(schema: dict[str, Any]) -> None:
    del data(schema)["properties"]["priority"]


def rename(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["importance"] = data(schema)["properties"].pop("priority")


def retype(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["priority"]["type"] = "string"


def narrow(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["priority"]["maximum"] = 10


def widen(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["queue"]["maxLength"] = 1000


def require(schema: dict[str, Any]) -> None:
    data(schema)["required"].append("queue")


def release(schema: dict[str, Any]) -> None:
    data(schema)["required"].remove("operation")


def add_required(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["site"] = {"type": "string"}
    data(schema)["required"].append("site")


def refuse_null(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["group_id"] = data(schema)["properties"]["group_id"]["anyOf"][0]


def drop_word(schema: dict[str, Any]) -> None:
    schema["$defs"]["Access"]["enum"].remove("shared")


def default(schema: dict[str, Any]) -> None:
    data(schema)["properties"]["queue"]["default"] = "other"


def in_a_part(schema: dict[str, Any]) -> None:
    del schema["$defs"]["Retry"]["properties"]["backoff_seconds"]


def of_the_envelope(schema: dict[str, Any]) -> None:
    schema["required"].append("traceparent")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (remove, "data.priority was removed"),
        (rename, "data.priority was removed"),
        (retype, 'data.priority had type "integer", and has type "string"'),
        (narrow, "data.priority had maximum 1000, and has maximum 10"),
        (widen, "data.queue had maxLength 255, and has maxLength 1000"),
        (require, "data.queue became required"),
        (release, "data.operation is not required any more, and old programs need it"),
        (add_required, "data.site became required"),
        (refuse_null, "data.group_id had no format, and has format"),
        (drop_word, 'data.resources.access had enum ["exclusive", "shared"], and has enum ["exclusive"]'),
        (default, 'data.queue had default "default", and has default "other"'),
        (in_a_part, "data.retry.backoff_seconds was removed"),
        (of_the_envelope, "traceparent became required"),
    ],
)
def test_a_change_that_breaks_old_programs_is_refused(change: Callable[[dict[str, Any]], None], says: str) -> None:
    before = current()[ACCEPTED]
    after = copy.deepcopy(before)
    change(after)
    found = [*breaks(before, after)]
    assert any(line.startswith(says) for line in found), found


def test_an_optional_field_and_other_words_pass() -> None:
    before = current()[ACCEPTED]
    after = copy.deepcopy(before)
    data(after)["properties"]["note"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    data(after)["properties"]["priority"]["description"] = "In other words."
    after["title"] = "renamed"
    assert [*breaks(before, after)] == []


def test_the_gate_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a released version that is gone, one that has changed, and a new one."""
    assert main(["--add", "--folder", str(tmp_path)]) == 0
    assert main(["--check", "--folder", str(tmp_path)]) == 0
    (tmp_path / "org.pulpproject.task.vanished.v1.json").write_text("{}")
    (tmp_path / f"{ACCEPTED}.json").unlink()
    changed = json.loads((tmp_path / f"{STARTED}.json").read_text())
    data(changed)["properties"]["host"] = {"type": "string"}
    (tmp_path / f"{STARTED}.json").write_text(json.dumps(changed))
    capsys.readouterr()
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        STARTED,
        "org.pulpproject.task.vanished.v1 is not read any more",
        f"{ACCEPTED} is new",
    ]
    assert "data.host was removed: give the event a new version" in told[0]
    assert main(["--add", "--folder", str(tmp_path)]) == 0
    assert json.loads((tmp_path / f"{STARTED}.json").read_text()) == changed  # what is there stays


def test_the_committed_schemas_are_of_every_version() -> None:
    assert kept(FOLDER).keys() == current().keys()
    assert [*findings(kept(FOLDER), current())] == []
