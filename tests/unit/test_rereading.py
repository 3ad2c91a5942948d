"""When a partition is read again from its position, and when that is given up."""

from pulp_processor.consuming.rereading import MOST_SEEKS, RIVAL_S, Rereads


def test_a_position_where_the_log_does_not_continue_is_given_up_after_some_tries() -> None:
    rereads = Rereads()
    for number in range(MOST_SEEKS):
        rereads = rereads.at(7, 100.0 + number)
        assert rereads.reason_to_give_up is None
        assert rereads.pause_s == 0
    reason = rereads.at(7, 106.0).reason_to_give_up
    assert reason is not None
    assert "lacks records" in reason


def test_a_position_that_another_processor_moves_is_left_to_it_for_a_while() -> None:
    rereads, now_s, pauses_s = Rereads(), 100.0, []
    while rereads.reason_to_give_up is None:
        rereads = rereads.at(rereads.offset + 10, now_s)
        pauses_s.append(rereads.pause_s)
        now_s += max(rereads.pause_s, 0.01)
    assert pauses_s == sorted(pauses_s)
    assert 0.0 == pauses_s[0] < pauses_s[-1] <= 2.0
    assert rereads.last_s - rereads.first_s >= RIVAL_S
    assert "not in the consumer group" in rereads.reason_to_give_up


def test_two_handovers_long_after_each_other_are_no_reason_to_give_up() -> None:
    rereads = Rereads().at(10, 100.0).at(20, 100.0 + 10 * RIVAL_S)
    assert rereads.reason_to_give_up is None
