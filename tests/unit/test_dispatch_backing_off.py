"""Which tasks have backed off for long enough, by the test's clock."""

from random import Random
from uuid import UUID

from pulp_processor.dispatching.backing_off import BackingOff

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


class Clock:
    """Seconds."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_each_backs_off_for_its_time_and_is_told_of_once() -> None:
    clock = Clock()
    backing_off = BackingOff(clock)
    assert (backing_off.left_s(), backing_off.due()) == (None, [])
    backing_off.put(ONE, 3)
    backing_off.put(TWO, 1)
    assert backing_off.left_s() == 1
    clock.now_s += 1
    assert (backing_off.left_s(), backing_off.due(), backing_off.due(), backing_off.left_s()) == (0, [TWO], [], 2)
    clock.now_s += 5
    assert (backing_off.left_s(), backing_off.due(), backing_off.left_s()) == (0, [ONE], None)


def test_the_last_word_about_a_task_counts() -> None:
    clock = Clock()
    backing_off = BackingOff(clock)
    backing_off.put(ONE, 1)
    backing_off.put(ONE, 4)
    backing_off.put(TWO, 2)
    backing_off.forget(TWO)
    backing_off.put(THREE, 3)
    assert backing_off.left_s() == 3
    clock.now_s += 3
    assert (backing_off.due(), backing_off.left_s()) == ([THREE], 1)
    clock.now_s += 1
    assert backing_off.due() == [ONE]


def test_it_agrees_with_a_plain_list() -> None:
    random, clock = Random(1), Clock()
    backing_off, plain = BackingOff(clock), dict[UUID, float]()
    for _ in range(2000):
        task_id = UUID(int=random.randint(1, 20))
        match random.choice(["put", "put", "forget", "pass"]):
            case "put":
                seconds = random.uniform(0.1, 20)
                backing_off.put(task_id, seconds)
                plain[task_id] = clock.now_s + seconds
            case "forget":
                backing_off.forget(task_id)
                plain.pop(task_id, None)
            case _:
                clock.now_s += random.uniform(0, 3)
        due = {each for each, until_s in plain.items() if until_s <= clock.now_s}
        assert set(backing_off.due()) == due
        plain = {each: until_s for each, until_s in plain.items() if each not in due}
        left_s = backing_off.left_s()
        assert left_s == (min(plain.values()) - clock.now_s if plain else None)
