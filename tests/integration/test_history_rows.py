"""History rows as Postgres reads them back: each column matches the record."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from pulp_events.codec import encode, key_of
from pulp_events.reader import Record
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import TASK, accepted
from tests.support.projection import rows

ID = UUID("00000000-0000-4000-8000-0000000000ff")
LAST_MS = 253_402_300_799_000  # 9999-12-31T23:59:59Z: the limit to which broker times are clamped


@pytest.mark.parametrize("most_records", [100, 0], ids=["one statement", "by COPY"])
@pytest.mark.parametrize(
    "event_time",
    [
        datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize(
    ("timestamp_ms", "broker_time"),
    [
        (1_795_521_600_001, datetime(2026, 11, 24, 12, 0, 0, 1000, tzinfo=UTC)),
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (2**62, datetime.fromtimestamp(LAST_MS / 1000, UTC)),
    ],
)
async def test_each_column_is_what_the_record_says(
    database: str,
    event_time: datetime,
    timestamp_ms: int,
    broker_time: datetime,
    most_records: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    event = msgspec.structs.replace(accepted(), id=ID, time=event_time, actor="user:Zoë\t\\N")
    value = encode(event)
    projector = Projector(database, 0)
    await projector.locate()
    await projector.project([Record(0, 0, timestamp_ms, key_of(TASK), value)])
    await projector.close()
    assert await rows(database, "task_events") == [
        {
            "partition": 0,
            "record_offset": 0,
            "task_id": TASK,
            "event_id": ID,
            "type": "org.pulpproject.task.accepted.v1",
            "event_time": event_time,
            "broker_time": broker_time,
            "actor": "user:Zoë\t\\N",
            "effect": "applied",
            "event": value,
        }
    ]
