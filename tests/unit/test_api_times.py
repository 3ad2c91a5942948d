"""Times in answers are UTC, in whatever time zone Postgres gives them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pulp_api.respond import instant, second

NOON = datetime(2026, 11, 24, 12, 0, 1, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))])
def test_a_time_is_told_in_utc(zone: timezone) -> None:
    assert instant(NOON.astimezone(zone)) == "2026-11-24T12:00:01.250000Z"
    assert second(NOON.astimezone(zone)) == "2026-11-24T12:00:01Z"


def test_no_time_is_none() -> None:
    assert instant(None) is None
    assert second(None) is None
