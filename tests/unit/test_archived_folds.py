"""The archived events that restore a task's past state, and finding them in files by key, offset and time."""

import tracemalloc
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import pytest
from psycopg import AsyncConnection
from pulp_api.archived import ArchiveNotReadable, DetachedRecords
from pulp_archive import parquet
from pulp_events.codec import encode, key_of
from pulp_events.errors import TooMuchHistory
from pulp_events.events import Event
from pulp_events.reader import Record
from pulp_projections.detached import Detached, DetachedMonth, Places
from pulp_projections.reading.archived import APPLIED, ArchivedEvent, Effects, events_of_tasks
from pulp_projections.reading.archived_folds import ArchivedFolds

from tests.support.archives import archived
from tests.support.events import TASK, accepted, attempt_failed, finished, progress, started

OTHER: Final = UUID(int=2)
MINUTE_MS: Final = 60_000


def archived_event(event: Event, offset: int, effect: str = APPLIED) -> ArchivedEvent:
    record = Record(0, offset, offset * MINUTE_MS, key_of(event.task_id), encode(event))
    return ArchivedEvent(record, event, effect)


async def told(events: Iterable[ArchivedEvent]) -> AsyncIterator[ArchivedEvent]:
    for each in events:
        yield each


def row(task_id: UUID, offset: int, version: int) -> Sequence[Any]:
    return task_id, 0, offset, offset * MINUTE_MS, b"history", version


async def test_events_of_the_archive_come_between_those_of_the_history_and_count() -> None:
    """A clock that ran backwards may have put an event into another month than those around it."""
    folds = ArchivedFolds({0: 8})
    events = (
        archived_event(accepted(TASK), 1),
        archived_event(progress(TASK, sequence=1), 2),
        archived_event(started(OTHER), 3, "stale"),  # without effect
        archived_event(progress(TASK, sequence=2), 5),
        archived_event(attempt_failed(TASK), 7),
        archived_event(finished(TASK), 8),  # after the moment
    )
    await folds.add(told(events))
    found = folds.among([TASK, OTHER], [row(TASK, 4, 2), row(TASK, 6, 2), row(OTHER, 4, 1)])
    assert [(each[0], each[2], each[-1]) for each in found] == [
        *((TASK, 1, 6), (TASK, 4, 6), (TASK, 5, 6), (TASK, 6, 6), (TASK, 7, 6)),
        (OTHER, 4, 1),
    ]
    assert [each.record.offset for each in folds.failures] == [7]


async def test_of_progress_only_the_last_is_kept_and_takes_room() -> None:
    events = [archived_event(progress(TASK, sequence=number), number) for number in range(1, 50)]
    size = len(events[-1].record.value or b"")
    folds = ArchivedFolds({0: 100}, most_bytes=(size + 300) * 2)
    await folds.add(told(events))
    assert [(each[2], each[-1]) for each in folds.among([TASK], [])] == [(49, 49)]
    with pytest.raises(TooMuchHistory, match="choose a moment"):
        await folds.add(told(archived_event(started(UUID(int=number)), 50 + number) for number in range(1, 4)))


async def test_what_they_hold_is_what_they_count() -> None:
    """The places of small events take more memory than their values."""
    most = 1_000_000

    async def many() -> AsyncIterator[ArchivedEvent]:
        for number in range(1, 100_000):
            yield archived_event(started(UUID(int=number % 50)), number)

    folds = ArchivedFolds({0: 100_000}, most_bytes=most)
    tracemalloc.start()
    try:
        with pytest.raises(TooMuchHistory):
            await folds.add(many())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most / 2 < held < 1.5 * most


RECORDS: Final = [
    Record(0, number, number * MINUTE_MS, key_of(each), encode(started(each)))
    for number, each in enumerate([TASK, OTHER, UUID(int=3)] * 10)
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three files of ten records, in row groups of four."""
    monkeypatch.setattr(parquet, "GROUP_RECORDS", 4)
    archived(str(tmp_path / "archive"), RECORDS, end=len(RECORDS), span=10)
    return str(tmp_path / "archive")


@pytest.mark.parametrize(("start", "end"), [(0, 30), (3, 4), (7, 22), (29, 30)])
def test_records_are_found_by_key_and_by_offset(folder: str, start: int, end: int) -> None:
    records = DetachedRecords(folder)
    for wanted in ([TASK], [TASK, OTHER], [UUID(int=9)]):
        keys = {key_of(each) for each in wanted}
        read = [each for batch in records.read(0, start, end, keys=keys) for each in batch if each.offset < end]
        assert read == [each for each in RECORDS[start:end] if each.key in keys]
    times = [each for batch in records.times(0, start, end) for each in batch]
    assert times == [(each.offset, each.timestamp_ms) for each in RECORDS[start:end]]


def test_of_row_groups_without_a_wanted_key_or_offset_no_value_is_read(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = parquet._library().parquet
    read_row_group, read = library.ParquetFile.read_row_group, list[tuple[int, Any]]()

    def noted(self: Any, group: int, columns: Any = None, **more: Any) -> Any:
        read.append((group, columns))
        return read_row_group(self, group, columns=columns, **more)

    monkeypatch.setattr(library.ParquetFile, "read_row_group", noted)
    found = [each for batch in DetachedRecords(folder).read(0, 12, 16, keys={RECORDS[14].key or b""}) for each in batch]
    assert RECORDS[14] in found
    assert read == [(0, ["key"]), (0, None), (1, ["key"]), (1, None)]
    read.clear()
    assert list(DetachedRecords(folder).read(0, 12, 16, keys={b"nobody"})) == []
    assert read == [(0, ["key"]), (1, ["key"])]


async def test_effects_are_read_with_the_records_that_have_them(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One span may be the whole archive, and all its effects would be in memory."""
    asked = list[tuple[int, int, int]]()

    async def effects(_: AsyncConnection, partition: int, first: int, last: int) -> Effects:
        asked.append((partition, first, last))
        return Effects({6: "stale", 12: None})

    monkeypatch.setattr(Effects, "of", effects)
    nobody = cast("AsyncConnection", None)  # nothing else is read from Postgres
    month = DetachedMonth("before", None, datetime(2023, 1, 1, tzinfo=UTC), {0: 30}, (Places(0, 0, 29, 30),), False)
    found = events_of_tasks(nobody, DetachedRecords(folder), Detached([month]), [TASK], 0, 2, 20)
    assert [(each.record.offset, each.effect) async for each in found] == [
        *((3, APPLIED), (6, "stale"), (9, APPLIED), (15, APPLIED), (18, APPLIED))
    ]
    assert asked == [(0, 3, 3), (0, 6, 6), (0, 9, 9), (0, 12, 12), (0, 15, 15), (0, 18, 18), (0, 21, 21)]


@pytest.mark.parametrize(
    ("partition", "start", "end", "is_there"), [(0, 0, 30, True), (0, 0, 31, False), (1, 0, 1, False), (1, 5, 5, True)]
)
def test_an_archive_that_lacks_detached_records_cannot_be_read(
    folder: str, partition: int, start: int, end: int, is_there: bool
) -> None:
    """It is refused; an answer without them would be wrong."""
    records = DetachedRecords(folder)
    for ask in (
        lambda: list(records.read(partition, start, end)),
        lambda: list(records.times(partition, start, end)),
        lambda: records.count(partition, start, end),
        lambda: records.first_after(partition, start, end, 0, 0),
    ):
        if is_there:
            ask()
        else:
            with pytest.raises(ArchiveNotReadable):
                ask()


def test_the_manifests_tell_how_many_records_are_looked_at(folder: str) -> None:
    records = DetachedRecords(folder)
    assert [records.count(0, *span) for span in ((0, 30), (9, 11), (10, 20))] == [30, 20, 10]
