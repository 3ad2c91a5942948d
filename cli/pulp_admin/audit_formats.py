"""The formats of an export of the audit: JSON Lines, CSV, or a Parquet file made from JSON Lines. Pure, but for
`write_parquet`.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pulp_console.exits import CONFIG

from pulp_admin.errors import Failure
from pulp_admin.paths import id_in

COLUMNS: Final = (
    *("partition", "offset", "time", "event_time", "type", "event_id", "actor", "authentication", "address", "client"),
    *("correlation_id", "causation_id", "effect", "reason", "task_id", "operation", "task_group_id"),
)
"""The columns of CSV. Parquet also has the whole event as JSON, in `event`."""
FORMATS: Final = ("jsonl", "csv", "parquet")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a cell that begins with one of these for a formula. The last four are full-width forms."""
_ROWS: Final = 5000
"""The largest size of a row group of Parquet, and so of the memory it needs."""
_GROUP_BYTES: Final = 8 * 1024 * 1024
"""The most bytes of JSON in a row group: a single event may take a megabyte."""


def head(format: str) -> bytes:
    """The text before the events."""
    return _csv([COLUMNS]) if format == "csv" else b""


def lines(format: str, events: Sequence[Mapping[str, Any]]) -> bytes:
    """Events in the format written during an export. Parquet is made from lines of JSON at the end."""
    if format == "csv":
        return _csv([[_cell(value) for value in flat(event).values()] for event in events])
    return b"".join(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for event in events)


def flat(event: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an event."""
    group = event["task_group"]
    ids = {"task_id": id_in(event["task"]), "task_group_id": None if group is None else id_in(group)}
    return {name: ids[name] if name in ids else event[name] for name in COLUMNS}


def write_parquet(source: Path, target: Path) -> int:
    """Convert lines of JSON to a Parquet file, in constant memory; returns the number of events."""
    pyarrow, parquet = _pyarrow()
    texts = {name: pyarrow.string() for name in (*COLUMNS, "event")}
    times = dict.fromkeys(("time", "event_time"), pyarrow.timestamp("us", tz="UTC"))
    numbers = {"partition": pyarrow.int32(), "offset": pyarrow.int64()}
    schema = pyarrow.schema(list({**texts, **times, **numbers}.items()))
    written = 0
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for rows in _batches(source):
            writer.write_table(pyarrow.Table.from_pylist([_row(row) for row in rows], schema=schema))
            written += len(rows)
    return written


def check_parquet() -> None:
    """Raises `Failure` if the library for Parquet is missing."""
    _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # slow to import, and an extra
        from pyarrow import parquet
    except ImportError:
        raise Failure(
            "Parquet needs pyarrow, which is not installed: pip install 'pulp-admin[parquet]', or take --format jsonl",
            CONFIG,
        ) from None
    return pyarrow, parquet


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    from datetime import datetime

    times = {name: datetime.fromisoformat(event[name]) for name in ("time", "event_time")}
    return {**flat(event), **times, "event": json.dumps(event["event"], ensure_ascii=False, separators=(",", ":"))}


def _batches(source: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = 0
    with source.open("rb") as file:
        for line in file:
            rows.append(json.loads(line))
            size += len(line)
            if len(rows) == _ROWS or size >= _GROUP_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """The value in a form that no spreadsheet takes for a formula: an apostrophe makes it text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
