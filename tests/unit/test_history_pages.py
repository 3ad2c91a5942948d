"""Pages of a task's history: what fits one, and whether more may follow."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pulp_api.task_reader import entries_of_page, has_more
from pulp_projections.reading.queries import HISTORY_BYTES, HistoryEntry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def entries(sizes: Sequence[int]) -> list[HistoryEntry]:
    return [
        HistoryEntry(0, offset, "t", UUID(int=offset), NOON, NOON, "user:jo", "applied", bytes(size))
        for offset, size in enumerate(sizes)
    ]


def found(events: Sequence[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """What the statement finds: one more than the limit, and none behind so many bytes."""
    return [
        each
        for number, each in enumerate(events[: limit + 1])
        if sum(len(before.event) for before in events[:number]) < HISTORY_BYTES
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        [HISTORY_BYTES - 10, 10, 1, 1],  # the bytes of a page end exactly between two events
        [HISTORY_BYTES, 1],
        [HISTORY_BYTES + 5, 1, 1],  # a single event is more than a page
        [HISTORY_BYTES // 2] * 7,
        [HISTORY_BYTES // 2 - 1, 1, HISTORY_BYTES // 2, 3, HISTORY_BYTES],
        [1] * 9,
        [],
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_that_follow_each_other_have_every_event_once(sizes: list[int], limit: int) -> None:
    """A page whose bytes ended exactly between two events said that it was the last one."""
    events = entries(sizes)
    read: list[HistoryEntry] = []
    while True:
        rest = found(events[len(read) :], limit)
        page = entries_of_page(rest, limit)
        read += page
        if not page or not has_more(rest, page):
            break
    assert read == events
