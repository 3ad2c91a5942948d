"""What the query of a stream selects."""

from pulp_api.v3.events import choice_of
from starlette.datastructures import QueryParams


def test_a_time_says_where_a_stream_begins_and_hides_nothing_behind_it() -> None:
    """A time in the future means `now`, and a broker's clock may later be set back before it."""
    wanted = "type=finished&names=message"
    assert choice_of(QueryParams(f"since=2999-01-01T00:00:00Z&{wanted}")) == choice_of(QueryParams(wanted))
