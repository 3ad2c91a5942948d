"""The fold of a batch. Expected results come from a plain reading of the records (`tests/support/records.py`)."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from pulp_events.codec import key_of
from pulp_events.events import ErrorCode, Outcome, TaskError, UnknownEvent, Unparking
from pulp_events.reader import Record
from pulp_events.task import State, Task
from pulp_projections.writing.fold import Changes, Fold, HistoryRow, fold, task_ids
from pulp_projections.writing.parking import DeadLetter

from tests.support import events, later_release
from tests.support.events import NOON, TASK, accepted, cancel_requested, finished, progress, purged, started, unparked
from tests.support.records import NOON_MS, PlainFold, garbage, life, record, records, story


class Rows(Struct):
    """What a read model would hold after some batches."""

    tasks: dict[UUID, Task]
    history: list[tuple[int, str, str]]
    dead: dict[int, DeadLetter]
    counts: Counter[tuple[int, str, str]]
    causes: dict[UUID, UUID]

    def take(self, history: list[HistoryRow], changes: Changes) -> None:
        """Write the changes, as the store does."""
        created, updated = ({task.task_id: task for task in tasks} for tasks in (changes.created, changes.updated))
        assert len(created) == len(changes.created)
        assert len(updated) == len(changes.updated)
        assert not created.keys() & (updated.keys() | self.tasks.keys())
        assert updated.keys() <= self.tasks.keys()
        self.tasks |= created | updated
        self.history += [(row.record.offset, row.type, row.effect) for row in history]
        assert 0 not in changes.counts.values()
        self.counts.update(changes.counts)
        assert not self.causes.keys() & dict(changes.causes).keys()
        self.causes |= changes.causes
        came, stayed = (
            {letter.record.offset: letter for letter in each} for each in (changes.dead_letters, changes.restood)
        )
        assert not came.keys() & self.dead.keys()
        assert {*stayed, *changes.freed} <= self.dead.keys()
        assert not stayed.keys() & set(changes.freed)
        self.dead = {
            offset: letter for offset, letter in (self.dead | came | stayed).items() if offset not in changes.freed
        }

    def parked(self) -> dict[bytes, list[DeadLetter]]:
        """As the store holds them."""
        found: dict[bytes, list[DeadLetter]] = {}
        for _, letter in sorted(self.dead.items()):
            if letter.standing in ("parks", "waits"):
                assert letter.task_id is not None
                found.setdefault(key_of(letter.task_id), []).append(letter)
        return found


def fold_all(batches: Sequence[Sequence[Record]]) -> Rows:
    rows = Rows({}, [], {}, Counter(), {})
    for batch in batches:
        known = {task_id: rows.tasks[task_id] for task_id in task_ids(batch) if task_id in rows.tasks}
        folding = Fold(known, parked=rows.parked())
        rows.take(list(folding.history(batch)), folding.changes())
        assert folding.parked == rows.parked()
    rows.history.sort()
    return rows


def split(log: Sequence[Record], cuts: Sequence[int]) -> list[Sequence[Record]]:
    places = [0, *sorted(cuts), len(log)]
    return [log[start:end] for start, end in pairwise(places)]


def mixed_log(random: Random, length: int) -> list[Record]:
    """Events and other records at consecutive offsets."""
    log: list[Record] = []
    spoilt: list[int] = []
    events_of_story = story(random, 4, length)
    for offset, event in enumerate(events_of_story):
        key = key_of(event.task_id)
        chance = random.random()
        if chance < 0.1:
            spoilt.append(offset)
            log.append(garbage(random.choice([None, b"", b"{}", b"\xff"]), offset, key=random.choice([b"k", key, key])))
        elif chance < 0.2 and spoilt:
            place = random.choice(spoilt)
            about = events_of_story[place].task_id
            log.append(record(unparked(about, offset=place, action=random.choice(list(Unparking))), offset))
        else:
            log.append(record(event, offset))
    return log


@given(st.randoms(use_true_random=False), st.integers(0, 60), st.data())
def test_any_split_into_batches_gives_the_same_rows_as_one_event_at_a_time(
    random: Random, length: int, data: st.DataObject
) -> None:
    log = mixed_log(random, length)
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=8))
    assert fold_all(split(log, cuts)) == fold_all([[item] for item in log])


@given(st.randoms(use_true_random=False), st.integers(0, 60))
def test_the_rows_are_those_of_a_plain_reading(random: Random, length: int) -> None:
    log = mixed_log(random, length)
    rows, plain = fold_all([log]), PlainFold().read(log)
    assert [(offset, effect) for offset, _, effect in rows.history] == plain.effects
    assert sorted(rows.dead) == plain.dead
    assert {str(task_id): summary(task) for task_id, task in rows.tasks.items()} == {
        task_id: vars(task) for task_id, task in plain.tasks.items()
    }
    assert rows.counts == Counter(
        (0, task.state, task.operation) for task in plain.tasks.values() if task.purged_by is None
    )
    assert {str(task_id): str(cause) for task_id, cause in rows.causes.items()} == plain.causes


def test_a_purged_task_is_counted_no_more() -> None:
    ended = [accepted(), started(), finished()]
    assert fold(records([*ended, purged()]), {})[1].counts == {}
    known = {task.task_id: task for task in fold(records(ended), {})[1].created}
    changes = fold(records([purged(), purged()], start=3), known)[1]
    assert (changes.counts, changes.workers) == ({(0, "successful", "sync"): -1}, {})
    running = {task.task_id: task for task in fold(records(ended[:2]), {})[1].created}
    assert fold(records([finished(), purged()], start=2), running)[1].counts == {(0, "running", "sync"): -1}
    assert fold(records([purged(), finished()], start=2), running)[1].counts == {
        (0, "running", "sync"): -1,
        (0, "successful", "sync"): 1,
    }


def summary(task: Task) -> dict[str, object]:
    return {
        "state": task.state.value,
        "attempt": task.attempt,
        "attempt_id": None if task.attempt_id is None else str(task.attempt_id),
        "cancellable": task.cancellable,
        "sequence": task.sequence,
        "progress": msgspec.json.decode(task.progress),
        "version": task.version,
        "last_offset": task.offset,
        "operation": task.operation,
        "purged_by": task.purged_by,
    }


def test_a_life_in_one_batch_is_one_new_task_and_no_update() -> None:
    history, changes = fold(records(life(TASK)), {})
    assert [task.state for task in changes.created] == [State.SUCCESSFUL]
    assert changes.updated == []
    assert [row.effect for row in history] == ["applied"] * 6


def test_a_task_that_is_known_is_updated_once() -> None:
    (task,) = fold(records([accepted()]), {})[1].created
    _, changes = fold(records([started(), progress(), finished()], start=1), {TASK: task})
    assert changes.created == []
    assert [(task.state, task.version, task.offset) for task in changes.updated] == [(State.SUCCESSFUL, 4, 3)]


def test_the_counters_move_with_the_state_and_only_with_it() -> None:
    _, first = fold(records([accepted(operation="sync")]), {})
    assert first.counts == {(0, "waiting", "sync"): 1}
    tasks = {TASK: first.created[0]}
    _, second = fold(records([started()], start=1), tasks)
    assert second.counts == {(0, "waiting", "sync"): -1, (0, "running", "sync"): 1}
    tasks = {TASK: second.updated[0]}
    assert fold(records([progress()], start=2), tasks)[1].counts == {}


def test_the_workers_are_those_whose_tasks_stand_differently() -> None:
    _, new = fold(records([accepted()]), {})
    assert new.workers == {}
    _, begun = fold(records([started(worker="w1")], start=1), {TASK: new.created[0]})
    assert begun.workers == {"w1": False}
    running = {TASK: begun.updated[0]}
    assert fold(records([progress()], start=2), running)[1].workers == {}
    assert fold(records([cancel_requested()], start=2), running)[1].workers == {"w1": True}
    assert fold(records([finished()], start=2), running)[1].workers == {"w1": False}
    failed = finished(outcome=Outcome.FAILED, error=TaskError(code=ErrorCode.WORKER_LOST, description="lost"))
    assert fold(records([failed], start=2), running)[1].workers == {"w1": True}
    assert fold(records([cancel_requested(), finished()], start=2), running)[1].workers == {"w1": False}


def test_a_worker_that_sent_an_event_without_effect_is_among_them() -> None:
    (task,) = fold(records([accepted(), started(worker="w1"), finished()]), {})[1].created
    assert fold(records([started(worker="w2", attempt=2)], start=3), {TASK: task})[1].workers == {"w2": True}
    assert fold(records([accepted(), cancel_requested()], start=3), {TASK: task})[1].workers == {}


def test_what_changes_nothing_writes_no_task() -> None:
    (task,) = fold(records([accepted()]), {})[1].created
    history, changes = fold(records([accepted(), progress()], start=1), {TASK: task})
    assert (changes.created, changes.updated) == ([], [])
    assert [row.effect for row in history] == ["duplicate", "not started"]


def test_an_event_in_another_partition_than_its_tasks_changes_nothing() -> None:
    (task,) = fold(records([accepted()], partition=1), {})[1].created
    batch = records([accepted(), started(), cancel_requested()], partition=2)
    history, changes = fold(batch, {TASK: task})
    assert (changes.created, changes.updated) == ([], [])
    assert [row.effect for row in history] == ["wrong partition", "unknown task", "unknown task"]
    # The same where this partition is read before the task's own, as in a rebuild.
    assert [row.effect for row in fold(batch[1:], {})[0]] == ["unknown task", "unknown task"]


def test_an_event_of_an_unknown_type_is_kept_without_effect() -> None:
    known = record(accepted(), 0)
    body = {**json.loads(known.value or b""), "type": "org.pulpproject.task.praised.v7", "data": {"by": "all"}}
    history, changes = fold([replace(known, value=json.dumps(body).encode())], {})
    (row,) = history
    assert (row.type, row.effect) == ("org.pulpproject.task.praised.v7", "unknown type")
    assert isinstance(row.event, UnknownEvent)
    assert (row.event.task_id, row.event.time) == (TASK, NOON)
    assert (changes.created, changes.dead_letters) == ([], [])


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, str(TASK).encode(), "no value"),
        (b"", str(TASK).encode(), "no event"),
        (b"not JSON", str(TASK).encode(), "no event"),
        (b"{}", str(TASK).encode(), "`type`"),
        (b"\xff\xfe", str(TASK).encode(), "no event"),
        (record(accepted(), 0).value, None, "key"),
        (record(accepted(), 0).value, str(uuid4()).encode(), "key"),
    ],
)
def test_what_is_no_event_is_a_dead_letter_and_the_rest_goes_on(
    value: bytes | None, key: bytes | None, reason: str
) -> None:
    other = uuid4()
    batch = [record(accepted(), 0), garbage(value, 1, key=key), record(accepted(other), 2)]
    history, changes = fold(batch, {})
    assert [(letter.record, reason in letter.reason) for letter in changes.dead_letters] == [(batch[1], True)]
    assert [row.record.offset for row in history] == [0, 2]
    assert [task.state for task in changes.created] == [State.WAITING, State.WAITING]


def test_what_is_refused_parks_its_task_and_the_rest_goes_on() -> None:
    other = uuid4()
    batch = records([accepted(), started(), accepted(other), cancel_requested(), started(other)])
    folding = Fold({}, {1: "too large"})
    assert [row.record.offset for row in folding.history(batch)] == [0, 2, 4]
    changes = folding.changes()
    assert [(letter.record, letter.reason, letter.standing) for letter in changes.dead_letters] == [
        (batch[1], "too large", "parks"),
        (batch[3], "an earlier record of its task cannot be projected", "waits"),
    ]
    assert [task.state for task in changes.created] == [State.WAITING, State.RUNNING]


@pytest.mark.parametrize("name", ["ce_subject", "Subject"])
def test_a_record_without_a_readable_key_parks_the_task_that_a_header_names(name: str) -> None:
    nameless = Record(0, 1, NOON_MS, None, b"{}", ((name, str(TASK).encode()),))
    history, changes = fold([record(accepted(), 0), nameless, record(started(), 2)], {})
    assert [row.record.offset for row in history] == [0]
    assert [(letter.standing, letter.task_id) for letter in changes.dead_letters] == [("parks", TASK), ("waits", TASK)]


def test_what_belongs_to_no_task_parks_nothing() -> None:
    history, changes = fold([record(accepted(), 0), garbage(b"{}", 1), record(started(), 2)], {})
    assert [row.record.offset for row in history] == [0, 2]
    assert [(letter.standing, letter.task_id) for letter in changes.dead_letters] == [("dead", None)]


def test_another_record_than_the_one_that_parks_the_task_lets_nothing_go_on() -> None:
    batch = [record(accepted(), 0), garbage(b"", 1, key=key_of(TASK)), record(unparked(offset=0), 2)]
    history, changes = fold([*batch, record(unparked(offset=3, action=Unparking.DISCARD), 3)], {})
    assert [(row.record.offset, row.effect) for row in history][1:] == [
        (2, "about a dead letter"),
        (3, "about a dead letter"),
    ]
    assert [letter.standing for letter in changes.dead_letters] == ["parks"]


def test_a_discarded_record_stays_and_its_task_goes_on() -> None:
    batch = [record(accepted(), 0), garbage(b"", 1, key=key_of(TASK)), record(started(), 2)]
    history, changes = fold([*batch, record(unparked(offset=1, action=Unparking.DISCARD), 3)], {})
    assert [row.record.offset for row in history] == [0, 2, 3]
    assert [(letter.record.offset, letter.standing) for letter in changes.dead_letters] == [(1, "discarded")]
    assert [(task.state, task.version, task.offset) for task in changes.created] == [(State.RUNNING, 2, 2)]


@given(st.randoms(use_true_random=False), st.integers(1, 60), st.data())
def test_a_task_that_was_parked_ends_as_if_nothing_had_happened(
    random: Random, length: int, data: st.DataObject
) -> None:
    sound = [record(event, offset) for offset, event in enumerate(story(random, 4, length))]
    started_at = [item.offset for item in sound if later_release.is_started(item)]
    assume(started_at)
    bad = random.choice(started_at)
    log = [later_release.written_later(item) if item.offset == bad else item for item in sound]
    task_id = UUID((sound[bad].key or b"").decode())
    act = record(unparked(task_id, offset=bad), len(log))
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=4))
    before = fold_all(split(log, cuts))
    assert bad in before.dead
    assert {letter.task_id for letter in before.dead.values()} == {task_id}
    untouched = fold_all([sound])
    others = {each: task for each, task in untouched.tasks.items() if each != task_id}
    assert {each: task for each, task in before.tasks.items() if each != task_id} == others
    with pytest.MonkeyPatch.context() as upgrade:
        known = {task_id: before.tasks[task_id]} if task_id in before.tasks else {}
        later_release.upgrade(upgrade)
        folding = Fold(known, parked=before.parked())
        before.take(list(folding.history([act])), folding.changes())
        rebuilt = fold_all([[*log, act]])
    expected = fold_all([[*sound, act]])
    assert before.dead == {}
    before.history = sorted(before.history)
    for found in (before, rebuilt):
        assert found.tasks == expected.tasks
        assert [(offset, effect) for offset, _, effect in found.history] == [
            (offset, effect) for offset, _, effect in expected.history
        ]
        assert found.counts + Counter() == expected.counts + Counter()
        assert found.causes == expected.causes


def test_a_cause_is_that_of_the_event_which_made_the_task() -> None:
    first, second, other = uuid4(), uuid4(), uuid4()
    batch = records([accepted(TASK, rerun_of=first), accepted(TASK, rerun_of=second), accepted(other)])
    _, changes = fold(batch, {})
    assert changes.causes == [(TASK, first)]


@pytest.mark.parametrize("cause", ["schedule:nightly", "", "e0e0a250"])
def test_a_cause_that_is_no_task_is_left_to_the_history(cause: str) -> None:
    _, changes = fold(records([events.event(accepted().data, causation_id=cause)]), {})
    assert (len(changes.created), changes.causes) == (1, [])


def test_only_accepted_names_a_task_that_is_run_again() -> None:
    caused = events.event(started().data, causation_id=str(uuid4()))
    _, changes = fold(records([accepted(TASK), caused]), {})
    assert ([task.state for task in changes.created], changes.causes) == ([State.RUNNING], [])


def test_ignored_events_are_counted_by_the_reason_that_the_history_gives() -> None:
    for seed in range(20):
        log = [*records(story(Random(seed), 5, 200)), garbage(b"no event", 1000)]
        history, changes = fold(log, {})
        effects = Counter(row.effect for row in history)
        assert changes.ignored == {effect: number for effect, number in effects.items() if effect != "applied"}
        assert len(changes.dead_letters) + len(history) == len(log)
