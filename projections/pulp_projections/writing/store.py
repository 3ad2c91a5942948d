"""Writing a batch's changes: rows by COPY in its binary format, in the caller's transaction and search path."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection
from pulp_events.events import Resource, TaskError
from pulp_events.reader import Record
from pulp_events.task import State, Task

from pulp_projections.sql import load
from pulp_projections.writing import binary_copy as field
from pulp_projections.writing import history_rows, task_rows
from pulp_projections.writing.fold import Changes, DeadLetter, Fold

_SQL = load("pulp_projections.writing", "store.sql")
_PARTS_AT_ONCE: Final = 8
"""Most often some 110 kB, which is still in the processor's caches. From 128 kB on psycopg would copy it once more."""
_json = msgspec.json.Encoder().encode
_resources_of = msgspec.json.Decoder(tuple[Resource, ...]).decode
_error_of = msgspec.json.Decoder(TaskError).decode


async def load_tasks(connection: AsyncConnection, task_ids: Iterable[UUID]) -> dict[UUID, Task]:
    """The tasks that have a row, by id."""
    # As one text: psycopg takes several times as long for a list of them.
    ids = ",".join([f"{task_id.int:032x}" for task_id in task_ids])
    cursor = await connection.execute(_SQL["load_tasks"], {"task_ids": f"{{{ids}}}"})
    return {row[0]: _task_of(row) for row in await cursor.fetchall()}


async def advance(connection: AsyncConnection, partition: int, expected: int, end: int) -> bool:
    """Move the position from `expected` to `end`; false if it is not at `expected`."""
    cursor = await connection.execute(_SQL["advance"], {"partition": partition, "expected": expected, "end": end})
    return cursor.rowcount == 1


async def write(
    connection: AsyncConnection, records: Iterable[Record], folding: Fold, *, letters_sent: bool = False
) -> Changes:
    """Fold the records, and write the rows; what they change."""
    await write_history(connection, history_rows.binary(folding.history(records)))
    changes = folding.changes()
    await write_changes(connection, changes, letters_sent=letters_sent)
    return changes


async def write_history(connection: AsyncConnection, parts: Iterator[bytes]) -> None:
    """Write rows of the history, in parts of `history_rows.binary`.

    They are sent as they are made, some at once: Postgres writes the first ones while the next are folded.
    """
    sent = iter(lambda: b"".join(islice(parts, _PARTS_AT_ONCE)), b"")
    await _copy(connection, _SQL["copy_history"], sent)


async def write_changes(connection: AsyncConnection, changes: Changes, *, letters_sent: bool = False) -> None:
    """Write all but the history. `letters_sent` marks dead letters as sent already: a rebuild sends nothing."""
    if changes.created:
        await _copy(connection, _SQL["copy_tasks"], [task_rows.created(changes.created)])
        if any(task.resources for task in changes.created):
            await _copy(connection, _SQL["copy_resources"], [task_rows.resources(changes.created)])
    if changes.causes:
        await _copy(connection, _SQL["copy_causes"], [task_rows.causes(changes.causes)])
    if changes.updated:
        await connection.execute(_SQL["make_changed"])
        await _copy(connection, _SQL["copy_changed"], [task_rows.changed(changes.updated)])
        await connection.execute(_SQL["update_tasks"])
    if changes.counts:
        partitions, states, operations = zip(*changes.counts, strict=True)
        values = {"partitions": partitions, "states": states, "operations": operations}
        lists = {name: list(each) for name, each in (*values.items(), ("changes", changes.counts.values()))}
        await connection.execute(_SQL["count_tasks"], lists)
    if changes.dead_letters:
        rows = field.table(_letter_row(letter, letters_sent) for letter in changes.dead_letters)
        await _copy(connection, _SQL["copy_dead_letters"], [rows])


async def _copy(connection: AsyncConnection, statement: LiteralString, parts: Iterable[bytes]) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in parts:
            await copy.write(part)


def _letter_row(letter: DeadLetter, sent: bool) -> bytes:
    record = letter.record
    headers = [[name, None if value is None else b64encode(value).decode()] for name, value in record.headers]
    return field.row(
        (
            field.integer(record.partition),
            field.bigint(record.offset),
            field.time(record.timestamp_ms),
            field.data(letter.reason.replace("\0", "\\0").encode(errors="replace")),
            field.data(record.key),
            field.data(record.value),
            field.data(_json(headers)),
            field.boolean(sent),
        )
    )


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
