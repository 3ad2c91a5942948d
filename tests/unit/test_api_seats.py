"""How many event streams may be open."""

import pytest
from pulp_api.front.limits import Limits
from pulp_api.streaming.seats import NoSeat, Seats, TooManyStreams

LIMITS = Limits(streams=4, streams_per_address=3)


def test_an_address_and_all_have_a_bound_of_their_own() -> None:
    seats = Seats(LIMITS)
    first, _, _ = (seats.take("192.0.2.1") for _ in range(3))
    with pytest.raises(TooManyStreams, match="3 event streams are open to your address"):
        seats.take("192.0.2.1")
    seats.take("192.0.2.2")
    with pytest.raises(NoSeat, match="4 event streams are open"):
        seats.take("192.0.2.9")
    first.give_back()
    first.give_back()
    assert len(seats) == 3
    seats.take("192.0.2.1")


def test_addresses_of_one_ipv6_site_count_together() -> None:
    seats = Seats(LIMITS)
    for number in range(3):
        seats.take(f"2001:db8::{number}")
    with pytest.raises(TooManyStreams):
        seats.take("2001:db8::ffff:1")
    seats.take("2001:db8:0:1::1")
