"""Which workers rest, and when they are woken."""

import pytest
from pulp_processor.dispatching.fleet import KEPT_AWAKE, Fleet, Profile
from pulp_processor.dispatching.waiting import Offer

USUAL = Profile(frozenset({"default"}), frozenset({"sync"}))
OTHER = Profile(frozenset({"nightly"}), frozenset({"sync"}))
SYNC = Offer("default", "sync")
LOOKS = 10
"""More than it takes until workers that are not needed rest."""


def fleet_of(workers: int, profile: Profile = USUAL, *, slots: int = 1, kept_awake: int = KEPT_AWAKE) -> Fleet:
    fleet = Fleet(kept_awake)
    for number in range(workers):
        fleet.put(f"{profile.queues} {number}", profile, slots)
    return fleet


def rested(fleet: Fleet, looks: int = LOOKS) -> list[str]:
    return [instance for _ in range(looks) for instance in fleet.rest()]


def take_one(fleet: Fleet) -> str | None:
    worker = fleet.least_busy(SYNC)
    if worker is None:
        return None
    fleet.take(worker.instance)
    return worker.instance


def test_in_a_small_installation_nobody_rests() -> None:
    assert rested(fleet_of(32)) == []


def test_of_many_that_have_nothing_to_do_32_stay_awake_and_take_what_comes() -> None:
    fleet = fleet_of(128)
    assert len(set(rested(fleet))) == 96
    taken = [take_one(fleet) for _ in range(33)]
    assert len(set(taken[:32])) == 32
    assert taken[32] is None


def test_more_are_woken_before_the_last_one_is_busy() -> None:
    fleet = fleet_of(128)
    tired = rested(fleet)
    for _ in range(23):
        take_one(fleet)
    assert fleet.wake() == []
    take_one(fleet)
    first = fleet.wake()
    assert len(set(first)) == 32
    assert set(first) < set(tired)
    assert fleet.wake() == []  # they are already on their way
    for each in first:
        fleet.put(each, USUAL, 1)
    assert [take_one(fleet) is None for _ in range(32)] == [False] * 32
    second = fleet.wake()
    assert len(set(first + second)) == 64
    for _ in range(8):
        take_one(fleet)
    assert sorted(first + second + fleet.wake()) == sorted(tired)  # no worker is free: all are needed


def test_nobody_rests_soon_after_all_were_needed() -> None:
    fleet = fleet_of(3, kept_awake=0)
    rested(fleet, 3)
    busy = [take_one(fleet) for _ in range(3)]
    assert fleet.rest() == []
    for each in busy:
        assert each is not None
        fleet.give_back(each)
    assert rested(fleet, 5) == []
    assert len(fleet.rest()) == 3


def test_those_that_few_tasks_in_turn_do_not_need_rest() -> None:
    """20 tasks at a time go round all 128 workers, so each worker had a task a moment ago."""
    fleet = fleet_of(128)
    tired: list[str] = []
    for _ in range(LOOKS):
        busy: list[str] = []
        for _ in range(200):
            one = take_one(fleet)
            assert one is not None
            busy.append(one)
            if len(busy) == 20:
                fleet.give_back(busy.pop(0))
        assert len(busy) == 19
        tired += fleet.rest()
        for each in busy:
            fleet.give_back(each)
    assert len(tired) == 128 - 19 - KEPT_AWAKE


def test_those_that_had_no_task_for_longest_rest_first() -> None:
    fleet = fleet_of(18, kept_awake=16)
    for _ in range(17):
        one = take_one(fleet)
        assert one is not None
        fleet.give_back(one)
    assert rested(fleet) == [f"{USUAL.queues} 17", f"{USUAL.queues} 0"]


@pytest.mark.parametrize("slots", [1, 2])
def test_who_has_a_task_does_not_rest(slots: int) -> None:
    fleet = fleet_of(3, slots=slots, kept_awake=0)
    busy = take_one(fleet)
    assert len(rested(fleet)) == 2
    assert busy not in rested(fleet)


def test_those_that_rest_are_woken_once_when_nobody_else_is_free() -> None:
    fleet = fleet_of(4, kept_awake=2)
    tired = rested(fleet)
    assert len(tired) == 2
    take_one(fleet)
    assert fleet.wake() == []  # one is free
    take_one(fleet)
    assert sorted(fleet.wake()) == sorted(tired)
    assert fleet.wake() == []
    assert take_one(fleet) is None  # they do not listen yet
    fleet.put(tired[0], USUAL, 1)
    assert take_one(fleet) == tired[0]


def test_each_kind_of_worker_has_its_own_that_stay_awake() -> None:
    fleet = fleet_of(3, kept_awake=2)
    fleet.put("nightly", OTHER, 1)
    tired = rested(fleet)
    assert len(tired) == 1
    fleet.take("nightly")
    assert fleet.wake() == []  # none of its kind rests


def test_one_that_rests_and_goes_is_not_woken() -> None:
    fleet = fleet_of(1, kept_awake=0)
    [tired] = rested(fleet)
    assert fleet.slots == 1
    fleet.remove(tired)
    assert fleet.wake() == []
    assert fleet.slots == 0
