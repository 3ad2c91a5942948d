"""Times in requests: every parameter that takes one takes the same forms."""

from datetime import UTC, datetime

import pytest
from pulp_api.as_of import moment_asked
from pulp_api.times import time_of
from pulp_api.v3.filters import TASK_FILTERS

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T12:00:00Z",
        "2026-11-24T14:00:00+02:00",
        "2026-11-24T14:00:00 02:00",  # the plus sign was not quoted in a URL
        "2026-11-24 14:00:00 0200",
        "2026-11-24T14:00:00.000000 02",
        "2026-11-24 12:00:00Z",
        "20261124T120000Z",
        " 2026-11-24T12:00:00Z ",
        "2026-11-24T02:00:00-10:00",
    ],
)
def test_a_time_with_its_zone(text: str) -> None:
    assert time_of(text) == NOON
    assert moment_asked(text, 4, "topic") == NOON
    assert TASK_FILTERS.condition("started_at__gte", [text]).parameters == {"started_at__gte": NOON}
    ranged = TASK_FILTERS.condition("finished_at__range", [f"{text},{text}"]).parameters
    assert set(ranged.values()) == {NOON}


@pytest.mark.parametrize("text", ["2026-11-24T12:00:00", "2026-11-24 12:00:00", "2026-11-24T12:00"])
def test_a_time_without_a_zone_is_left_to_who_asks(text: str) -> None:
    assert time_of(text) == NOON.replace(tzinfo=None)
    assert TASK_FILTERS.condition("started_at__lt", [text]).parameters == {"started_at__lt": NOON}  # as Pulp 3 takes it


@pytest.mark.parametrize(
    "text",
    ["", "soon", "12:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "\0", "٣"],
)
def test_what_is_no_time(text: str) -> None:
    assert time_of(text) is None
