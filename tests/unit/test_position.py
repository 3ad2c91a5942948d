"""A position is written PARTITION:OFFSET, and read by one rule everywhere."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_admin.positions import LogPosition
from pulp_events.task import Position

PARTITIONS = st.integers(0, 2_147_483_647)
OFFSETS = st.integers(0, 9_223_372_036_854_775_807)


ROOT = Path(__file__).parents[2]
PRODUCT = ("events", "projections", "services", "operations", "cli", "deploy")


@pytest.fixture(params=[Position, LogPosition], ids=["server", "client"])
def kind(request: pytest.FixtureRequest) -> type[Position | LogPosition]:
    """The server's class, and the client's, which imports nothing from the server."""
    found: type[Position | LogPosition] = request.param
    return found


def test_its_text_is_that_of_the_headers(kind: type[Position | LogPosition]) -> None:
    assert str(kind(3, 1042)) == "3:1042"


@given(PARTITIONS, OFFSETS)
def test_what_is_written_is_read(partition: int, offset: int) -> None:
    for kind in (Position, LogPosition):
        assert kind.parse(f"{partition}:{offset}") == (partition, offset)
        assert kind.parse(str(kind(partition, offset))) == (partition, offset)


def test_no_other_file_writes_or_reads_positions() -> None:
    by_hand = re.compile(
        r"""partition['"\]]*\}:\{|partition \|\| ':' \|\| \w*offset(?! /)|offset = [\w.()]+partition\(":"\)"""
    )
    files = [path for folder in PRODUCT for kind in ("*.py", "*.sql") for path in (ROOT / folder).rglob(kind)]
    found = {str(path.relative_to(ROOT)) for path in files if by_hand.search(path.read_text(encoding="utf-8"))}
    completion = "deploy/pulp_deploy/commands/completing.py"  # loads no module of ours, so Postgres writes them
    assert found == {"events/pulp_events/task.py", "cli/pulp_admin/positions.py", completion}


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
def test_nothing_else_is_a_position(text: str, kind: type[Position | LogPosition]) -> None:
    with pytest.raises(ValueError, match="is not a number from 0 to"):
        kind.parse(text)
