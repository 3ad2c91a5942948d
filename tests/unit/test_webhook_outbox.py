"""The outbox of a subscription: order per task, growing pauses, parking, and continuing after a restart."""

import random
from collections.abc import Callable
from uuid import UUID

import pytest
from pulp_events.task import Position
from pulp_processor.delivering.outbox import Item, Outbox, Outcome, Place, Policy, Settled, Verdict

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
POLICY = Policy(attempts=6, first_pause_s=1, longest_pause_s=60, lanes=2, most_pending=10, most_ahead=4)


def outbox(policy: Policy = POLICY, place: Place | None = None, chance: Callable[[], float] = lambda: 1.0) -> Outbox:
    """An outbox of one partition from its beginning, always with the longest pause."""
    return Outbox(policy, place or Place(cursors={0: 0}), chance)


def offered(box: Outbox, *tasks: UUID | None) -> None:
    """Offer the next records of partition 0, events of these tasks; None is an unwanted event."""
    for task_id in tasks:
        box.offer(Position(0, box.next_offsets[0]), task_id)


def offsets(items: list[Item]) -> list[int]:
    """The offsets of items of partition 0."""
    return [item.position.offset for item in items]


def sent(box: Outbox, now_s: float, verdict: Verdict) -> list[Outcome]:
    """Send everything that is ready at this time; all get the same answer."""
    return [box.settle(item, verdict, now_s).outcome for item in box.take(now_s)]


def answered(box: Outbox, now_s: float, verdict: Verdict, *, asked_pause_s: float = 0) -> Settled:
    """Send the one event that is ready; it gets this answer."""
    [item] = box.take(now_s)
    return box.settle(item, verdict, now_s, asked_pause_s=asked_pause_s)


def test_events_of_a_task_are_sent_one_after_the_other_and_tasks_at_the_same_time() -> None:
    box = outbox()
    offered(box, A, A, B, C)
    first = box.take(0)
    assert offsets(first) == [0, 2], "two lanes; the second event of A waits for the first"
    assert box.take(0) == []
    box.settle(first[0], Verdict.DELIVERED, 1)
    assert offsets(box.take(1)) == [1]
    box.settle(first[1], Verdict.DELIVERED, 1)
    assert offsets(box.take(1)) == [3]


def test_while_no_request_is_free_nothing_is_due_but_an_answer() -> None:
    box = outbox()
    offered(box, A, B, C)
    assert box.due_s() == 0
    first, _ = box.take(0)
    assert box.due_s() is None
    box.settle(first, Verdict.DELIVERED, 1)
    assert box.due_s() == 0


def test_the_place_is_the_first_event_that_is_not_settled_and_those_beyond_it_are_remembered() -> None:
    box = outbox()
    offered(box, None, A, B, None)
    first, second = box.take(0)
    box.settle(second, Verdict.DELIVERED, 1)
    assert box.place() == Place(cursors={0: 1}, ahead={0: [2]}, parked=frozenset())
    box.settle(first, Verdict.DELIVERED, 2)
    assert box.place() == Place(cursors={0: 4}, ahead={}, parked=frozenset())


def test_after_a_restart_what_was_delivered_is_not_sent_again() -> None:
    box = outbox(place=Place(cursors={0: 1}, ahead={0: [2]}))
    offered(box, A, B, C)
    assert offsets(box.take(0)) == [1, 3]


@pytest.mark.parametrize(
    ("failures", "least_s", "most_s"),
    [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (7, 30, 60), (8, 30, 60), (10_000, 30, 60)],
)
def test_pauses_double_up_to_a_bound_and_chance_shortens_them_by_half_at_most(
    failures: int, least_s: float, most_s: float
) -> None:
    assert (POLICY.pause_s(failures, 0), POLICY.pause_s(failures, 1)) == (least_s, most_s)


def test_a_failing_endpoint_gets_one_request_at_a_time_with_the_event_that_has_failed_least() -> None:
    box = outbox()
    offered(box, A, B, C)
    assert sent(box, 0, Verdict.FAILED) == [Outcome.RETRIED, Outcome.RETRIED]
    assert box.failures == 1, "requests that were under way together count once"
    assert box.take(0.99) == []
    assert offsets(box.take(1)) == [2], "C has not failed yet"


def test_a_success_ends_the_pause() -> None:
    box = outbox()
    offered(box, A, B)
    first, second = box.take(0)
    box.settle(first, Verdict.FAILED, 1)
    box.settle(second, Verdict.DELIVERED, 1)
    assert (box.failures, box.due_s()) == (0, 2), "only the event itself waits"


def test_the_receiver_may_ask_for_a_longer_pause() -> None:
    box = outbox()
    offered(box, A)
    assert answered(box, 0, Verdict.FAILED, asked_pause_s=30).next_s == 30
    assert (box.take(29), offsets(box.take(30))) == ([], [0])


def test_no_success_ends_a_pause_that_the_receiver_asks_for() -> None:
    """A receiver that limits the rate accepts some of the requests under way, and refuses the others."""
    box = outbox()
    offered(box, A, B, C)
    first, second = box.take(0)
    box.settle(first, Verdict.FAILED, 1, asked_pause_s=30)
    box.settle(second, Verdict.DELIVERED, 1)
    assert box.failures == 0
    assert (box.take(30.9), box.due_s()) == ([], 31)
    assert offsets(box.take(31)) == [2, 0]


def test_of_requests_that_fail_together_the_longest_pause_that_they_ask_for_counts() -> None:
    box = outbox()
    offered(box, A, B, C)
    first, second = box.take(0)
    box.settle(first, Verdict.FAILED, 1, asked_pause_s=5)
    box.settle(second, Verdict.FAILED, 1, asked_pause_s=40)
    assert (box.take(40.9), box.due_s()) == ([], 41)


def test_a_dead_endpoint_is_given_up_after_the_limit_and_nothing_is_lost() -> None:
    box, now_s, outcomes = outbox(), 0.0, []
    offered(box, A, B)
    while Outcome.GIVEN_UP not in outcomes:
        outcomes += sent(box, now_s, Verdict.FAILED)
        now_s = box.due_s() or 0
    assert box.failures == POLICY.attempts
    assert box.place().cursors == {0: 0}


def test_an_endpoint_that_is_gone_is_given_up_at_once() -> None:
    box = outbox()
    offered(box, A)
    assert sent(box, 0, Verdict.GONE) == [Outcome.GIVEN_UP]
    assert box.place().cursors == {0: 0}


def test_a_refused_event_parks_its_task_alone() -> None:
    box, outcomes, now_s = outbox(), [], 0.0
    offered(box, A, A, B)
    while Outcome.PARKED not in outcomes:
        for item in box.take(now_s):
            verdict = Verdict.REFUSED if item.task_id == A else Verdict.DELIVERED
            outcomes.append(box.settle(item, verdict, now_s).outcome)
        now_s = box.due_s() or now_s
    assert outcomes.count(Outcome.RETRIED) == 4, "five attempts"
    assert box.place() == Place(cursors={0: 3}, parked=frozenset({A}))
    assert (box.failures, box.is_idle, box.is_parked(A)) == (0, True, True)
    offered(box, A, B)
    assert offsets(box.take(now_s)) == [4], "later events of the task wait as well"


def test_an_event_that_fails_while_others_succeed_parks_its_task_and_not_the_subscription() -> None:
    box, now_s, last = outbox(), 0.0, None
    while last is not Outcome.PARKED:
        offered(box, *([A] if not now_s else []), B)
        for item in box.take(now_s):
            verdict = Verdict.FAILED if item.task_id == A else Verdict.DELIVERED
            found = box.settle(item, verdict, now_s)
            last = found.outcome if item.task_id == A else last
            assert found.outcome is not Outcome.GIVEN_UP
        now_s = max(now_s + 0.001, box.due_s() or 0)
    assert box.place().cursors == {0: box.next_offsets[0]}


def test_memory_is_bounded_by_what_waits_and_by_what_is_ahead() -> None:
    box = outbox()
    offered(box, *[A] * 10)
    assert box.room == 0
    box = outbox()
    offered(box, A)
    answered(box, 0, Verdict.REFUSED)
    for _ in range(POLICY.most_ahead):
        offered(box, B)
        sent(box, 0.1, Verdict.DELIVERED)
    assert (box.ahead_count, box.room) == (POLICY.most_ahead, 0)


def test_failures_and_attempts_survive_a_restart() -> None:
    box = outbox()
    offered(box, A)
    sent(box, 0, Verdict.FAILED)
    kept = box.place()
    assert (kept.failures, kept.attempts) == (1, {Position(0, 0): 1})
    again = outbox(place=kept)
    offered(again, A)
    assert answered(again, 0, Verdict.FAILED).attempts == 2


@pytest.mark.parametrize("seed", range(200))
def test_whatever_fails_and_crashes_nothing_is_lost_and_each_task_stays_in_order(seed: int) -> None:
    chance = random.Random(seed)
    partitions: dict[int, list[UUID | None]] = {0: [], 1: []}
    for task_id in chance.choices([A, B, C, None], k=chance.randint(1, 30)):  # a task is in one partition
        partitions[0 if task_id in (A, None) else 1].append(task_id)
    stored, now_s = Place(cursors={0: 0, 1: 0}), 0.0
    received: list[Item] = []
    box = Outbox(POLICY, stored, lambda: 0.5)
    for _ in range(400):
        for partition, events in partitions.items():
            while box.room and box.next_offsets[partition] < len(events):
                offset = box.next_offsets[partition]
                box.offer(Position(partition, offset), events[offset])
        taken = box.take(now_s)
        assert len({item.task_id for item in taken}) == len(taken)
        for item in taken:
            verdict = chance.choice([*[Verdict.DELIVERED] * 3, Verdict.FAILED, Verdict.REFUSED])
            if verdict is Verdict.DELIVERED:
                received.append(item)
            box.settle(item, verdict, now_s)
        if chance.random() < 0.1:  # it was killed: whatever was not stored is lost
            box = Outbox(POLICY, stored, lambda: 0.5)
        elif chance.random() < 0.5:
            stored = box.place()
        if box.is_idle and all(box.next_offsets[each] == len(events) for each, events in partitions.items()):
            break
        now_s = max(now_s + 0.1, box.due_s() or 0)
    firsts = list(dict.fromkeys(item.position for item in received))
    for partition, events in partitions.items():
        for task_id in {each for each in events if each is not None}:
            wanted = [offset for offset, each in enumerate(events) if each == task_id]
            got = [place.offset for place in firsts if place.partition == partition and place.offset in wanted]
            assert got == wanted[: len(got)], "the first deliveries are in order, without gaps"
            assert got == wanted or box.is_parked(task_id)
