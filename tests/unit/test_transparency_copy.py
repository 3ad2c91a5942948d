"""Copies of the records as JSON Lines: who may read them, and lines that are not records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_events.reader import Record
from pulp_transparency.auditing import audit
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import RecordsFault
from pulp_transparency.records import CopyFolder, encoded, write_copy
from pulp_transparency.tiles import TileFolder, tiles_of

from tests.support.transparency import RING, logged, record, records

SIZE = 20


class Kept:
    """Two partitions."""

    def partitions(self) -> list[int]:
        return [0, 1]

    def end(self, partition: int) -> None:
        """Nothing: everything is there."""

    def read(self, partition: int, start: int = 0) -> Iterator[Record]:
        return (each for each in records(SIZE, partition) if each.offset >= start)


def test_only_the_owner_can_read_a_copy(tmp_path: Path) -> None:
    """It holds the arguments of tasks and the addresses of requests."""
    assert write_copy(Kept(), tmp_path / "copy") == {0: SIZE, 1: SIZE}
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "copy").iterdir()}
    assert modes == {"0.jsonl": 0o600, "1.jsonl": 0o600}
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    copy = CopyFolder(tmp_path / "copy")
    assert copy.partitions() == [0, 1]
    assert list(copy.read(1, record(7).offset)) == records(SIZE, 1)[7:]


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": [["\ud800", None]]},  # half of a surrogate pair cannot be encoded, so it has no hash
        {"headers": [[5, None]]},
        {"headers": [["name"]]},
        {"headers": "ab"},
        {"offset": -1},
        {"partition": True},
        {"value": "AA"},
        {"key": 5},
    ],
)
def test_a_line_that_is_no_record_is_named(changed: dict[str, Any], tmp_path: Path) -> None:
    note = logged(tmp_path / "log", records(SIZE))
    assert RING.open(note, 0).size == SIZE
    lines = [encoded(each) for each in records(SIZE)]
    lines[7] = json.dumps(json.loads(lines[7]) | changed)
    (tmp_path / "0.jsonl").write_text("\n".join(lines) + "\n")
    report = audit(TileFolder(tmp_path / "log"), RING, 0, CopyFolder(tmp_path).read(0))
    [found] = report.found
    assert (found.kind, found.place) == ("unreadable", f"0:{record(7).offset}")
    assert "0.jsonl, line 8 does not hold a record" in found.what


def test_numbers_that_no_record_has_are_told_without_tiles_as_well(tmp_path: Path) -> None:
    """Where the tiles cannot be trusted, each record is hashed again."""
    logged(tmp_path / "log", records(SIZE))
    (tmp_path / "log" / next(iter(tiles_of(SIZE))).path).unlink()
    strange = record(7, 2**40)
    report = audit(TileFolder(tmp_path / "log"), RING, 0, iter([*records(7), strange, *records(SIZE)[8:]]))
    assert [(each.subject, each.kind) for each in report.found] == [("tile", "missing"), ("record", "unreadable")]
    with pytest.raises(RecordsFault, match="no record of Kafka has partition -1"):
        LogEntry.of(record(7, -1)).encode()
