"""Brokers' times as datetimes: to the millisecond, from the first to the last that has a date."""

from datetime import UTC, datetime

import pytest
from pulp_projections.times import clamped_ms, moment


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        (1_767_268_800_123, datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)),
        (2**33 * 1000 - 1, datetime(2242, 3, 16, 12, 56, 31, 999_000, tzinfo=UTC)),
        (2**33 * 1000 + 1, datetime(2242, 3, 16, 12, 56, 32, 1000, tzinfo=UTC)),
        (253_402_300_798_999, datetime(9999, 12, 31, 23, 59, 58, 999_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_exact(timestamp_ms: int, expected: datetime) -> None:
    assert moment(timestamp_ms) == expected


def test_no_time_stays_none() -> None:
    assert moment(None) is None


@pytest.mark.parametrize("timestamp_ms", [-1, 2**63 - 1])
def test_a_number_without_a_date_becomes_the_nearest_time(timestamp_ms: int) -> None:
    nearest = datetime(1970, 1, 1, tzinfo=UTC) if timestamp_ms < 0 else datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert moment(clamped_ms(timestamp_ms)) == nearest
