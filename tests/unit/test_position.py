"""A position is written PARTITION:OFFSET, and read by one rule wherever somebody names one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_events.task import Position

PARTITIONS = st.integers(0, 2_147_483_647)
OFFSETS = st.integers(0, 9_223_372_036_854_775_807)


def test_its_text_is_that_of_the_headers() -> None:
    assert str(Position(3, 1042)) == "3:1042"


@given(PARTITIONS, OFFSETS)
def test_what_is_written_is_read(partition: int, offset: int) -> None:
    assert Position.parse(f"{partition}:{offset}") == (partition, offset)
    assert Position.parse(str(Position(partition, offset))) == (partition, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "3",
        "3:",
        ":1",
        "3:1:2",
        "-1:0",
        "3:-1",
        "+3:1",
        " 3:1",
        "3:1 ",
        "3: 1",
        "1_0:1",
        "٣:1",
        "²:1",
        "2147483648:0",
        "0:9223372036854775808",
        "0:" + "0" * 20,
        "0:1.5",
        "0x1:1",
    ],
)
def test_nothing_else_is_a_position(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number from 0 to"):
        Position.parse(text)
