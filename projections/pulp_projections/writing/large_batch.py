"""A large batch: a transaction with COPY in its binary format, whose cost for each row is the lowest."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, LiteralString

import msgspec
from psycopg import AsyncConnection
from pulp_events.errors import PulpError
from pulp_events.task import Position

from pulp_projections.daily import fold as daily
from pulp_projections.sql import load
from pulp_projections.task_columns import SQL_LISTS
from pulp_projections.writing import binary_copy as field
from pulp_projections.writing import task_rows
from pulp_projections.writing.batch_fold import BatchFold, worker_notices
from pulp_projections.writing.fold import Changes
from pulp_projections.writing.parking import DeadLetter, Standing
from pulp_projections.writing.target import Place, Target

_SQL: Final = load("pulp_projections.writing", "large_batch.sql", SQL_LISTS)
FREE_LETTERS: Final = _SQL["free_letters"]
_DAILY: Final = load("pulp_projections.daily", "daily.sql", {"after": ""})["add"]
_PARTS_AT_ONCE: Final = 8
"""Some 110 kB: still in the processor's caches, and below the 128 kB from which psycopg copies a buffer once more."""
_json = msgspec.json.Encoder().encode


class TooManyParked(PulpError):
    """More tasks would be parked than the site allows. Nothing of the batch is written."""


class LargeBatchWriter:
    """Writes a batch in a transaction of several statements, with COPY."""

    def __init__(self, target: Target, most_parked: int | None = None) -> None:
        """`most_parked`: with more parked tasks than that, `write` raises `TooManyParked`."""
        self._target = target
        self._most_parked = most_parked

    async def write(self, connection: AsyncConnection, place: Place, batch: BatchFold) -> Changes:
        """See `BatchWriter.write`."""
        is_live = self._target.is_live
        async with connection.transaction():
            await self._target.enter(connection, place)
            changes = await write_rows(connection, batch, are_letters_sent=not is_live)
            await self._check_parked(connection, changes)
            if is_live and changes.workers:
                await connection.execute(_SQL["notify_workers"], worker_notices(changes, place))
        return changes

    async def _check_parked(self, connection: AsyncConnection, changes: Changes) -> None:
        parking = [letter for letter in changes.dead_letters if letter.standing is Standing.PARKS]
        if self._most_parked is None or not parking:
            return
        [(parked,)] = await (await connection.execute(_SQL["count_parked"])).fetchall()
        if parked > self._most_parked:
            first = parking[0]
            place = Position(first.record.partition, first.record.offset)
            raise TooManyParked(
                f"{parked} tasks would be parked, and PULP_MOST_PARKED_TASKS allows {self._most_parked}: the processor"
                f" stops rather than park more. The record at {place} cannot be projected: {first.reason}. Nothing is"
                " lost. If this release is too old for what is in the log, upgrade it; else see"
                " `pulp-tasks dead-letters list`, or allow more"
            )


async def write_rows(connection: AsyncConnection, batch: BatchFold, *, are_letters_sent: bool = False) -> Changes:
    """Fold the batch and write its rows, without its position, in the caller's transaction.

    `are_letters_sent` marks dead letters as sent already: a rebuild sends none.
    """
    # The history is sent while it is created, so that Postgres writes the first rows while later ones are folded.
    parts = batch.history()
    await _copy(connection, _SQL["copy_history"], iter(lambda: b"".join(islice(parts, _PARTS_AT_ONCE)), b""))
    changes = batch.changes()
    await _write_changes(connection, batch, changes, are_letters_sent)
    return changes


async def _write_changes(
    connection: AsyncConnection, batch: BatchFold, changes: Changes, are_letters_sent: bool
) -> None:
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
    if changes.freed:
        places = {"partition": batch.records[0].partition, "offsets": changes.freed}
        await connection.execute(FREE_LETTERS, places)
    if changes.restood:
        await connection.execute(_SQL["restand_letters"], _restood(changes.restood, are_letters_sent))
    if changes.days:
        await connection.execute(_DAILY, {"days": daily.rows(changes.days)})
    if changes.dead_letters:
        rows = field.table(_letter_row(letter, are_letters_sent) for letter in changes.dead_letters)
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
            field.data(_storable(letter.reason).encode()),
            field.data(record.key),
            field.data(record.value),
            field.data(_json(headers)),
            field.boolean(sent),
            field.uuid(letter.task_id),
            field.text(letter.standing),
        )
    )


def _restood(letters: Sequence[DeadLetter], sent: bool) -> dict[str, object]:
    return {
        "partition": letters[0].record.partition,
        "offsets": [letter.record.offset for letter in letters],
        "standings": [str(letter.standing) for letter in letters],
        "reasons": [_storable(letter.reason) for letter in letters],
        "sent": sent,
    }


def _storable(reason: str) -> str:
    return reason.replace("\0", "\\0").encode(errors="replace").decode()
