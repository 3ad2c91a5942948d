"""After every step, the assignments follow the rules, computed from scratch from all waiting tasks."""

import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_processor.dispatching.dispatch import LONGEST_CHAIN, Assignment, Dispatch, Hold
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask

from tests.support.dispatch_rules import Model, conflicts

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OFFERS = [Offer("default", "sync"), Offer("default", "publish"), Offer("slow", "sync")]
PROFILES = [
    Profile(frozenset({"default", "slow"}), frozenset({"sync", "publish"})),
    Profile(frozenset({"default"}), frozenset({"sync"})),
    Profile(frozenset({"slow"}), frozenset({"sync", "publish"})),
]
RESOURCES = "abcd"
USERS = ["ann", "ben", "eve"]


class Pair:
    """The dispatcher's core and a model, with the same inputs."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.dispatch = Dispatch()
        self.model = Model()
        self.count = 0

    def step(self) -> None:
        """Do something at random; then both must agree on what may begin."""
        happening = self.random.choice(
            [self.add] * 6
            + [self.remove, self.wait_again, self.succeed, self.hold, self.pass_over, self.take_back, self.limit]
            + [self.back_off, self.back_off, self.resume]
            + [self.come, self.go, self.release, self.release, self.assign, self.assign]
        )
        happening()
        for task in self.model.waiting.values():
            assert (self.model.counts(task) and task.is_runnable) == self.model.may_begin(task), (
                happening.__name__,
                task,
            )

    def new_id(self) -> UUID:
        self.count += 1
        return UUID(int=self.count)

    def uses(self) -> tuple[frozenset[str], frozenset[str]]:
        exclusive = frozenset(self.random.sample(RESOURCES, self.random.choice([0, 1, 1, 1, 2])))
        rest = sorted(set(RESOURCES) - exclusive)
        return exclusive, frozenset(self.random.sample(rest, self.random.choice([0, 0, 1, 2])))

    def add(self) -> None:
        exclusive, shared = self.uses()
        second = self.random.choice([self.count, self.random.randint(0, self.count)])
        others = list(self.model.waiting)
        unmet = set(self.random.sample(others, min(len(others), self.random.choice([0, 0, 0, 1, 2]))))
        task_id = self.new_id()
        task = WaitingTask(
            task_id,
            Order(EPOCH + timedelta(seconds=second), self.random.choice([0, 0, 1]), self.count),
            self.random.choice(OFFERS),
            self.random.choice([0, 0, 0, 5, -5]),
            exclusive,
            shared,
            self.random.choice(USERS),
            set(unmet),
        )
        self.model.waiting[task_id] = task
        self.model.unmet[task_id] = unmet
        self.dispatch.add(task)

    def remove(self) -> None:
        if self.model.waiting:
            task_id = self.random.choice(list(self.model.waiting))
            self.forget(task_id)
            assert self.dispatch.remove(task_id) is not None
        assert self.dispatch.remove(UUID(int=0)) is None

    def wait_again(self) -> None:
        """A task waits again: it was assigned, or is read again."""
        if self.model.waiting:
            task = self.random.choice(list(self.model.waiting.values()))
            self.dispatch.remove(task.task_id)
            self.model.passed_over.discard(task.task_id)
            self.model.backing_off.discard(task.task_id)
            self.model.waiting[task.task_id] = again = replace(task, unmet=set(self.model.unmet[task.task_id]))
            self.dispatch.add(again)

    def forget(self, task_id: UUID) -> None:
        del self.model.waiting[task_id]
        self.model.passed_over.discard(task_id)
        self.model.backing_off.discard(task_id)

    def succeed(self) -> None:
        wanted = sorted({other for task_id in self.model.waiting for other in self.model.unmet[task_id]})
        if wanted:
            other = self.random.choice(wanted)
            for unmet in self.model.unmet.values():
                unmet.discard(other)
            self.dispatch.succeeded(other)

    def hold(self) -> None:
        """Add a hold that existed before, as a takeover reads it."""
        exclusive, shared = self.uses()
        hold = Hold(self.new_id(), self.random.choice("xyz"), self.random.choice(USERS), exclusive, shared)
        if not any(conflicts(hold, other) for other in self.model.holds.values()):
            self.model.holds[hold.hold_id] = hold
            self.dispatch.hold(hold)

    def release(self) -> None:
        if self.model.holds:
            hold_id = self.random.choice(list(self.model.holds))
            del self.model.holds[hold_id]
            assert self.dispatch.release(hold_id)
            assert not self.dispatch.release(hold_id)

    def pass_over(self) -> None:
        if self.model.waiting:
            task_id = self.random.choice(list(self.model.waiting))
            self.model.passed_over.add(task_id)
            self.dispatch.pass_over(task_id)

    def take_back(self) -> None:
        for task_id in list(self.model.passed_over):
            self.model.passed_over.remove(task_id)
            self.dispatch.take_back(task_id)

    def back_off(self) -> None:
        if self.model.waiting:
            task_id = self.random.choice(list(self.model.waiting))
            self.model.backing_off.add(task_id)
            self.dispatch.back_off(task_id)

    def resume(self) -> None:
        for task_id in list(self.model.backing_off):
            self.model.backing_off.remove(task_id)
            self.dispatch.resume(task_id)

    def limit(self) -> None:
        users = self.random.sample(USERS, self.random.randint(0, 2))
        self.model.limits = {user: self.random.randint(0, 3) for user in users}
        self.dispatch.limit(self.model.limits)

    def come(self) -> None:
        name, profile, slots = self.random.choice("xyz"), self.random.choice(PROFILES), self.random.randint(1, 4)
        self.model.workers[name] = profile, slots
        self.dispatch.fleet.put(name, profile, slots)

    def go(self) -> None:
        name = self.random.choice("xyz")
        self.model.workers.pop(name, None)
        self.dispatch.fleet.remove(name)

    def assign(self) -> None:
        for assignment in self.dispatch.assign():
            self.check(assignment)
        assert self.model.best() is None

    def check(self, assignment: Assignment) -> None:
        head, worker = assignment.tasks[0], assignment.instance
        assert head is self.model.best()
        free = self.model.free(head.offer)
        assert free[worker] == min(free.values())
        assert list(assignment.tasks[1:]) == self.model.followers(head, worker)
        for task in assignment.tasks:
            self.forget(task.task_id)
        self.model.holds[assignment.hold_id] = Hold(
            assignment.hold_id, worker, head.created_by, head.exclusive, head.shared
        )


@given(st.integers(0, 2**32))
def test_what_may_begin_is_what_the_rules_say(seed: int) -> None:
    pair = Pair(seed)
    for _ in range(80):
        pair.step()


def task(number: int, *, exclusive: str = "", shared: str = "", priority: int = 0, user: str = "ann") -> WaitingTask:
    order = Order(EPOCH + timedelta(seconds=number), 0, number)
    offer = Offer("default", "sync")
    return WaitingTask(UUID(int=number), order, offer, priority, frozenset(exclusive), frozenset(shared), user)


def begun(dispatch: Dispatch) -> list[list[int]]:
    """The numbers of the tasks that are assigned now, slot by slot."""
    return [[one.task_id.int for one in assignment.tasks] for assignment in dispatch.assign()]


def fleet(**slots: int) -> Dispatch:
    dispatch = Dispatch()
    for name, count in slots.items():
        dispatch.fleet.put(name, PROFILES[0], count)
    return dispatch


def test_tasks_spread_over_the_workers() -> None:
    dispatch = fleet(**{f"worker-{number}": 2 for number in range(4)})
    for number in range(4):
        dispatch.add(task(number))
    assert Counter(assignment.instance for assignment in dispatch.assign()) == dict.fromkeys(
        (f"worker-{number}" for number in range(4)), 1
    )


def test_a_blocked_task_stops_none_that_does_not_conflict_with_it() -> None:
    dispatch = fleet(one=100)
    for number in range(1, 21):
        dispatch.add(task(number, exclusive="a"))
    dispatch.add(task(30, exclusive="b"))
    dispatch.add(task(31))
    assert begun(dispatch) == [list(range(1, 17)), [30], [31]]


def test_a_priority_does_not_pass_a_task_that_it_conflicts_with() -> None:
    dispatch = fleet(one=1)
    dispatch.add(task(1, exclusive="a"))
    dispatch.add(task(2, shared="a", priority=9))
    dispatch.add(task(3, priority=5))
    assert begun(dispatch) == [[3]]


def test_a_task_that_backs_off_stops_none_and_takes_its_place_afterwards() -> None:
    dispatch = fleet(one=1)
    dispatch.add(task(1, exclusive="a"))
    dispatch.add(task(2, exclusive="a"))
    dispatch.add(task(3, exclusive="a"))
    dispatch.back_off(UUID(int=1))
    dispatch.back_off(UUID(int=2))
    assert begun(dispatch) == [[3]]
    dispatch.resume(UUID(int=2))
    dispatch.resume(UUID(int=1))
    dispatch.fleet.put("two", PROFILES[0], 1)
    assert begun(dispatch) == []  # the third one has the resource
    dispatch.add(task(4, exclusive="b"))
    assert begun(dispatch) == [[4]]


@pytest.mark.parametrize("limit", [0, 2])
def test_no_more_tasks_of_a_user_begin_than_the_limit_says(limit: int) -> None:
    dispatch = fleet(one=10)
    dispatch.limit({"ann": limit})
    for number in range(1, 6):
        dispatch.add(task(number))
    dispatch.add(task(6, user="ben"))
    assert begun(dispatch) == [*([number] for number in range(1, limit + 1)), [6]]
    dispatch.limit({})
    assert begun(dispatch) == [[number] for number in range(limit + 1, 6)]


def steps(waiting: int, resources: int) -> int:
    """How many Python calls it takes to run 200 tasks one by one, while this many others wait."""
    dispatch = fleet(one=resources)
    for number in range(waiting):
        dispatch.add(task(number, exclusive=chr(97 + number % resources)))
    held = [assignment.hold_id for assignment in dispatch.assign()]
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        for _ in range(200 // LONGEST_CHAIN):
            dispatch.release(held.pop(0))
            held += [assignment.hold_id for assignment in dispatch.assign()]
    finally:
        sys.setprofile(None)
    return calls


def test_the_work_for_a_task_does_not_grow_with_what_waits() -> None:
    few, many = steps(4_000, 20), steps(16_000, 20)
    assert many <= 1.2 * few


def _free_tasks(dispatch: Dispatch, count: int, *, priority: int = 0, first: int = 1) -> None:
    for number in range(first, first + count):
        order = Order(EPOCH, 0, number)
        dispatch.add(WaitingTask(UUID(int=number), order, OFFERS[0], priority))


def test_short_tasks_without_resources_share_a_slot_only_where_far_more_wait_than_there_are_slots() -> None:
    dispatch = Dispatch()
    dispatch.fleet.put("x", PROFILES[0], 2)
    dispatch.fleet.put("y", PROFILES[0], 2)
    dispatch.ran("sync", 0.01)
    _free_tasks(dispatch, 7)
    assert [len(one.tasks) for one in dispatch.assign()] == [1, 1, 1, 1]
    assert dispatch.waiting.keys() == {UUID(int=number) for number in (5, 6, 7)}
    _free_tasks(dispatch, 13, first=8)
    dispatch.fleet.put("z", PROFILES[0], 1)
    # 16 wait for 5 slots, in use or not: three tasks for each, in their order
    assert [[task.task_id.int for task in one.tasks] for one in dispatch.assign()] == [[5, 6, 7]]


@pytest.mark.parametrize(("took_s", "together"), [(0.05, 10), (0.1, 5), (0.001, LONGEST_CHAIN), (0.3, 1), (9.0, 1)])
def test_what_shares_a_slot_takes_half_a_second_by_what_was_seen(took_s: float, together: int) -> None:
    dispatch = Dispatch()
    dispatch.fleet.put("x", PROFILES[0], 1)
    dispatch.ran("sync", took_s)
    _free_tasks(dispatch, 100)
    [assignment] = dispatch.assign()
    assert len(assignment.tasks) == together


def test_tasks_of_which_nobody_knows_how_long_they_take_share_no_slot() -> None:
    dispatch = Dispatch()
    dispatch.fleet.put("x", PROFILES[0], 1)
    _free_tasks(dispatch, 100)
    [assignment] = dispatch.assign()
    assert len(assignment.tasks) == 1


def test_a_task_does_not_share_the_slot_of_one_with_a_higher_priority() -> None:
    dispatch = Dispatch()
    dispatch.fleet.put("x", PROFILES[0], 1)
    dispatch.ran("sync", 0.001)
    _free_tasks(dispatch, 3, priority=5)
    _free_tasks(dispatch, 50, first=4)
    [assignment] = dispatch.assign()
    assert [task.task_id.int for task in assignment.tasks] == [1, 2, 3]


def test_long_tasks_on_the_same_resources_do_not_take_a_slot_together() -> None:
    dispatch = Dispatch()
    dispatch.fleet.put("x", PROFILES[0], 1)
    dispatch.ran("sync", 0.25)
    for number in range(1, 9):
        dispatch.add(WaitingTask(UUID(int=number), Order(EPOCH, 0, number), OFFERS[0], exclusive=frozenset("a")))
    [assignment] = dispatch.assign()
    assert len(assignment.tasks) == 3
