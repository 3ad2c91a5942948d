"""Rows of the history for COPY, in parts."""

from pulp_events.ids import new_id
from pulp_projections.writing import binary_copy, history_rows
from pulp_projections.writing.fold import fold

from tests.support.events import accepted
from tests.support.records import records


def test_the_parts_together_are_what_copy_expects() -> None:
    rows = fold(records([accepted(new_id()) for _ in range(1000)]), {})[0]
    parts = list(history_rows.binary(rows))
    assert len(parts) > 1
    each = [b"".join(history_rows.binary([row])) for row in rows]
    bodies = [one.removeprefix(binary_copy.SIGNATURE).removesuffix(binary_copy.TRAILER) for one in each]
    assert b"".join(parts) == b"".join((binary_copy.SIGNATURE, *bodies, binary_copy.TRAILER))
