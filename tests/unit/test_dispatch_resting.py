"""Which workers rest, and when they are woken."""

import pytest
from pulp_processor.dispatching.fleet import KEPT_AWAKE, Fleet, Profile
from pulp_processor.dispatching.waiting import Offer

USUAL = Profile(frozenset({"default"}), frozenset({"sync"}))
OTHER = Profile(frozenset({"nightly"}), frozenset({"sync"}))
SYNC = Offer("default", "sync")
LOOKS = 10
"""More than a worker has to be without a task before it may rest."""


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
    assert rested(fleet_of(16)) == []


def test_of_many_that_have_nothing_to_do_sixteen_stay_awake_and_take_what_comes() -> None:
    fleet = fleet_of(128)
    assert len(set(rested(fleet))) == 112
    taken = [take_one(fleet) for _ in range(17)]
    assert len(set(taken[:16])) == 16
    assert taken[16] is None


def test_nobody_rests_who_had_a_task_lately() -> None:
    fleet = fleet_of(3, kept_awake=0)
    for _ in range(LOOKS):
        busy = take_one(fleet)
        assert busy is not None
        fleet.give_back(busy)
        assert fleet.rest() == []


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
