"""Writing a batch's changes: rows by COPY, in the caller's transaction and search path.

Of tasks and dead letters COPY's text format is written (PostgreSQL manual, COPY, "Text Format"), since their rows have
arrays and JSON in them; of the history, which is nearly all there is to write, its binary one.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection
from pulp_events.events import Access, Resource, TaskError
from pulp_events.task import State, Task

from pulp_projections import history_rows
from pulp_projections.fold import Changes, DeadLetter
from pulp_projections.sql import load

_SQL = load("pulp_projections", "store.sql")
_json = msgspec.json.Encoder().encode
_resources_of = msgspec.json.Decoder(tuple[Resource, ...]).decode
_error_of = msgspec.json.Decoder(TaskError).decode


async def load_tasks(connection: AsyncConnection, task_ids: Iterable[UUID]) -> dict[UUID, Task]:
    """The tasks that have a row, by id."""
    cursor = await connection.execute(_SQL["load_tasks"], {"task_ids": list(task_ids)})
    return {row[0]: _task_of(row) for row in await cursor.fetchall()}


async def advance(connection: AsyncConnection, partition: int, expected: int, end: int) -> bool:
    """Move the position from `expected` to `end`; false if it is not at `expected`."""
    cursor = await connection.execute(_SQL["advance"], {"partition": partition, "expected": expected, "end": end})
    return cursor.rowcount == 1


async def write(connection: AsyncConnection, changes: Changes, *, letters_sent: bool = False) -> None:
    """Write the rows. `letters_sent` marks dead letters as sent already: a rebuild sends nothing."""
    if changes.history:
        await _copy(connection, _SQL["copy_history"], [history_rows.binary(changes.history)])
    if changes.created:
        await _copy(connection, _SQL["copy_tasks"], map(_created_line, changes.created))
    if changes.updated:
        await connection.execute(_SQL["make_changed"])
        await _copy(connection, _SQL["copy_changed"], map(_changed_line, changes.updated))
        await connection.execute(_SQL["update_tasks"])
    if changes.counts:
        partitions, states, operations = zip(*changes.counts, strict=True)
        values = {"partitions": partitions, "states": states, "operations": operations}
        lists = {name: list(each) for name, each in (*values.items(), ("changes", changes.counts.values()))}
        await connection.execute(_SQL["count_tasks"], lists)
    if changes.dead_letters:
        lines = (_letter_line(letter, letters_sent) for letter in changes.dead_letters)
        await _copy(connection, _SQL["copy_dead_letters"], lines)


async def _copy(connection: AsyncConnection, statement: LiteralString, lines: Iterable[bytes]) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(b"".join(lines))


def _created_line(task: Task) -> bytes:
    exclusive = [resource.key for resource in task.resources if resource.access is Access.EXCLUSIVE]
    shared = [resource.key for resource in task.resources if resource.access is Access.SHARED]
    fields = (
        *_changing(task),
        _text(task.operation),
        _raw(task.arguments),
        _text(_json(task.resources).decode()),
        _array(exclusive),
        _array(shared),
        _array(task.tags),
        _text(task.queue),
        str(task.priority),
        _optional(task.group_id),
        _optional(task.parent_id),
        _array([str(task_id) for task_id in task.depends_on]),
        _optional(task.timeout_seconds),
        _text(task.created_by),
        r"\N" if task.correlation_id is None else _text(task.correlation_id),
        time_text(task.accepted_at_ms),
        str(task.partition),
        str(task.accepted_offset),
    )
    return ("\t".join(fields) + "\n").encode()


def _changed_line(task: Task) -> bytes:
    return ("\t".join(_changing(task)) + "\n").encode()


def _changing(task: Task) -> tuple[str, ...]:
    return (
        str(task.task_id),
        task.state,
        time_text(task.updated_at_ms),
        _optional_time(task.started_at_ms),
        _optional_time(task.cancel_requested_at_ms),
        _optional_time(task.finished_at_ms),
        str(task.offset),
        str(task.version),
        str(task.attempt),
        _optional(task.attempt_id),
        r"\N" if task.worker is None else _text(task.worker),
        "t" if task.cancellable else "f",
        str(task.sequence),
        _raw(task.progress),
        _raw(task.result),
        r"\N" if task.error is None else _text(_json(task.error).decode()),
    )


def _letter_line(letter: DeadLetter, sent: bool) -> bytes:
    record = letter.record
    headers = [[name, None if value is None else b64encode(value).decode()] for name, value in record.headers]
    fields = (
        str(record.partition),
        str(record.offset),
        time_text(record.timestamp_ms),
        _text(letter.reason.replace("\0", "\\0").encode(errors="replace").decode()),
        _bytes(record.key),
        _bytes(record.value),
        _text(_json(headers).decode()),
        "t" if sent else "f",
    )
    return ("\t".join(fields) + "\n").encode()


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _text(value: str) -> str:
    return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value


def _raw(value: Raw) -> str:
    return _text(bytes(value).decode())


def _bytes(value: bytes | None) -> str:
    return r"\N" if value is None else r"\\x" + value.hex()


def _array(items: Sequence[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return _text("{" + ",".join(f'"{item}"' for item in quoted) + "}")


def _optional(value: object) -> str:
    return r"\N" if value is None else str(value)


@lru_cache(maxsize=4096)  # a broker gives a whole batch of records one time
def time_text(timestamp_ms: int) -> str:
    """A broker's time as Postgres reads it; one out of any calendar's range becomes its limit."""
    return datetime.fromtimestamp(history_rows.clamped_ms(timestamp_ms) / 1000, UTC).isoformat()


def _optional_time(timestamp_ms: int | None) -> str:
    return r"\N" if timestamp_ms is None else time_text(timestamp_ms)


def _task_of(row: tuple[Any, ...]) -> Task:
    return Task(
        task_id=row[0],
        state=State(row[1]),
        operation=row[2],
        arguments=Raw(row[3].encode()),
        resources=_resources_of(row[4]),
        tags=tuple(row[5]),
        queue=row[6],
        priority=row[7],
        group_id=row[8],
        parent_id=row[9],
        depends_on=tuple(row[10]),
        timeout_seconds=row[11],
        created_by=row[12],
        correlation_id=row[13],
        accepted_at_ms=row[14],
        updated_at_ms=row[15],
        started_at_ms=row[16],
        cancel_requested_at_ms=row[17],
        finished_at_ms=row[18],
        partition=row[19],
        accepted_offset=row[20],
        offset=row[21],
        version=row[22],
        attempt=row[23],
        attempt_id=row[24],
        worker=row[25],
        cancellable=row[26],
        sequence=row[27],
        progress=Raw(row[28].encode()),
        result=Raw(row[29].encode()),
        error=None if row[30] is None else _error_of(row[30]),
    )
