"""The states of an attempt, cell by cell, as the design has them; and what holds in every history."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_events.events import ErrorCode, Outcome
from pulp_events.task import FINAL, Position
from pulp_events.task import State as TaskState
from pulp_worker.attempt_parts import (
    AppendAgain,
    AppendAttemptFailed,
    Appended,
    AppendFinished,
    Appending,
    AppendRefused,
    AppendStarted,
    AskToStop,
    AwaitingTurn,
    Begin,
    Broke,
    Closed,
    Confirming,
    Effect,
    Finishing,
    Gone,
    GraceOver,
    Input,
    Kept,
    Kill,
    KillOperation,
    Lose,
    Observed,
    OperationEnded,
    Orders,
    Over,
    Released,
    Running,
    RunOperation,
    State,
    Stop,
    Stopping,
    Unanswered,
    Withdraw,
    lets_next_begin,
)
from pulp_worker.attempt_state import step
from pulp_worker.claims import Status
from pulp_worker.outcome import Ended, failed

PLACE = Position(0, 7)
PASSED, NOT_PASSED = {0: 8}, {0: 7}
SUCCESS = Ended(Outcome.SUCCESSFUL)
STOPPED = failed(ErrorCode.WORKER_STOPPED, "stopped")
KILLED = failed(ErrorCode.OPERATION_STUCK, "killed")

STATES: dict[str, State] = {
    "waits": AwaitingTurn(),
    "appends": Appending(),
    "appends,over": Appending(is_over=True),
    "confirms": Confirming(PLACE, Orders()),
    "runs": Running(Orders()),
    "stops": Stopping(Orders()),
    "stops,over": Stopping(Orders(), is_over=True),
    "ends": Finishing(is_successful=True),
    "ended": Finishing(is_successful=True, position=PLACE),
    "over": Over(),
    "released": Released(may_follow=False),
    "gone": Gone(),
}


def seen(
    state: TaskState,
    *,
    current: bool = True,
    held: bool = True,
    positions: Mapping[int, int] = PASSED,
    live: bool = True,
    past: bool = False,
) -> Observed:
    return Observed(Status(state, current, held, past), positions, live)


INPUTS: dict[str, Input] = {
    "begin": Begin(),
    "withdraw": Withdraw(),
    "appended": Appended(PLACE),
    "unanswered": Unanswered(is_live=True),
    "unanswered, lease over": Unanswered(is_live=False),
    "refused": AppendRefused("too large"),
    "waiting": seen(TaskState.WAITING, current=False),
    "waiting, tried": seen(TaskState.WAITING, current=False, past=True),
    "running": seen(TaskState.RUNNING),
    "running, not passed": seen(TaskState.RUNNING, positions=NOT_PASSED),
    "running, not held": seen(TaskState.RUNNING, held=False),
    "running, lease over": seen(TaskState.RUNNING, live=False),
    "cancelling": seen(TaskState.CANCELLING),
    "cancelling, by another": seen(TaskState.CANCELLING, current=False),
    "final": seen(TaskState.FAILED),
    "final, not held": seen(TaskState.FAILED, held=False),
    "final, by another": seen(TaskState.CANCELLED, current=False),
    "stop, asked": Stop(STOPPED, is_asked=True),
    "stop, not asked": Stop(STOPPED, is_asked=False),
    "kill": Kill(KILLED),
    "lose": Lose(),
    "grace over": GraceOver(),
    "operation ended": OperationEnded(SUCCESS),
    "broke": Broke(),
    "kept": Kept(),
    "closed": Closed(),
}
KINDS: dict[str, type[Any]] = {
    "A": Appending,
    "C": Confirming,
    "R": Running,
    "S": Stopping,
    "E": Finishing,
    "O": Over,
    "L": Released,
    "G": Gone,
}
EFFECTS: dict[str, type[Any]] = {
    "started": AppendStarted,
    "finished": AppendFinished,
    "again": AppendAgain,
    "run": RunOperation,
    "ask": AskToStop,
    "kill": KillOperation,
}
# One line for each of INPUTS, one cell for each of STATES: the kind of the next state and the effect; `.` is neither.
TABLE = """
begin                  | A+started | .  | . | .          | .      | .      | .     | .          | .          | . | . | .
withdraw               | L         | .  | . | .          | .      | .      | .     | .          | .          | . | . | .
appended               | .         | C  | O | .          | .      | .      | .     | E          | .          | . | . | .
unanswered             | .         | A+again | O | .     | .      | .      | .     | E+again    | .          | . | . | .
unanswered, lease over | .         | L  | O | .          | .      | .      | .     | E+again    | .          | . | . | .
refused                | .         | L  | O | .          | .      | .      | .     | E+finished | .          | . | . | .
waiting                | .         | .  | . | L          | .      | .      | .     | .          | E+finished | . | . | .
waiting, tried         | .         | A  | . | L          | S+kill | S+kill | .     | O          | L          | . | . | .
running                | L         | .  | . | R+run      | .      | .      | .     | .          | E+finished | . | . | .
running, not passed    | L         | .  | . | .          | .      | .      | .     | .          | .          | . | . | .
running, not held      | L         | .  | . | L          | .      | .      | .     | .          | E+finished | . | . | .
running, lease over    | L         | .  | . | E+finished | .      | .      | .     | .          | E+finished | . | . | .
cancelling             | L         | A  | A | E+finished | S+ask  | S      | S     | .          | E+finished | . | . | .
cancelling, by another | L         | .  | . | L          | .      | .      | .     | .          | E+finished | . | . | .
final                  | O         | A  | . | O          | S+kill | S+kill | .     | O          | .          | . | . | .
final, not held        | O         | A  | . | O          | S+kill | S+kill | .     | O          | G          | G | . | .
final, by another      | O         | .  | . | O          | .      | .      | .     | .          | .          | . | . | .
stop, asked            | L         | A  | A | C          | S+ask  | S      | S     | .          | .          | . | . | .
stop, not asked        | L         | A  | A | C          | S+kill | S+kill | S+kill | .         | .          | . | . | .
kill                   | L         | A  | A | C          | S+kill | S+kill | S+kill | .         | .          | . | . | .
lose                   | L         | A  | A | C          | S+kill | S+kill | S+kill | .         | .          | . | . | .
grace over             | .         | .  | . | .          | .      | S+kill | S+kill | .         | .          | . | . | .
operation ended        | .         | .  | . | .          | E+finished | E+finished | O | .      | .          | . | . | .
broke                  | L         | L  | O | L          | L      | L      | O     | L          | L          | . | . | .
kept                   | .         | .  | . | .          | .      | .      | .     | .          | .          | L | . | .
closed                 | G         | G  | G | G          | G      | G      | G     | G          | G          | G | G | .
"""
ROWS = {
    name.strip(): [cell.strip() for cell in cells] for name, *cells in (r.split("|") for r in TABLE.split("\n") if r)
}
CELLS = [(before, name, cell) for name, row in ROWS.items() for before, cell in zip(STATES, row, strict=True)]


def test_the_table_has_everything() -> None:
    assert set(ROWS) == set(INPUTS)
    assert {type(state) for state in STATES.values()} == set(get_args(State))
    assert {type(given) for given in INPUTS.values()} == set(get_args(Input))


@pytest.mark.parametrize(("before", "name", "cell"), CELLS)
def test_what_follows(before: str, name: str, cell: str) -> None:
    state = STATES[before]
    after, effects = step(state, INPUTS[name])
    if cell == ".":
        assert (after, effects) == (state, ())
    else:
        kind, _, effect = cell.partition("+")
        assert type(after) is KINDS[kind]
        assert [type(effect) for effect in effects] == ([EFFECTS[effect]] if effect else [])


def fed(*inputs: Input, state: State | None = None) -> tuple[State, list[Effect]]:
    """The state and all effects after these inputs, by default from the first state."""
    state = state or AwaitingTurn()
    effects: list[Effect] = []
    for one in inputs:
        state, some = step(state, one)
        effects += some
    return state, effects


def ended_as(*inputs: Input) -> Ended:
    """What the last effect appends, starting with a running operation."""
    _, effects = fed(*inputs, state=Running(Orders()))
    assert isinstance(effects[-1], AppendFinished)
    return effects[-1].ended


FAILURE = failed("wrong", "of its own")
CANCELLED = Ended(Outcome.CANCELLED)
CANCELLING = seen(TaskState.CANCELLING)


@pytest.mark.parametrize(
    ("orders", "own", "code"),
    [
        # The operation's own outcome counts if nobody asked it to stop, or it succeeded, or it stopped as asked.
        ([], SUCCESS, None),
        ([], FAILURE, "wrong"),
        ([], CANCELLED, None),
        ([CANCELLING], CANCELLED, None),
        ([CANCELLING], SUCCESS, None),
        ([CANCELLING], FAILURE, "wrong"),
        ([Stop(STOPPED, is_asked=True)], SUCCESS, None),
        ([Stop(STOPPED, is_asked=True)], FAILURE, "worker-stopped"),
        ([Stop(STOPPED, is_asked=True)], CANCELLED, "worker-stopped"),
        ([CANCELLING, Stop(STOPPED, is_asked=True)], CANCELLED, None),
        ([Stop(STOPPED, is_asked=True), CANCELLING], CANCELLED, None),
        ([Kill(KILLED)], SUCCESS, None),
        ([Kill(KILLED)], FAILURE, "operation-stuck"),
        # The first stop counts, and the last kill.
        ([Kill(KILLED), Stop(STOPPED, is_asked=True)], FAILURE, "operation-stuck"),
        ([Stop(STOPPED, is_asked=True), Kill(KILLED)], FAILURE, "operation-stuck"),
        # Without a lease, nothing else counts: others may have ended the task.
        ([Lose()], SUCCESS, "lease-lost"),
        ([Lose()], CANCELLED, "lease-lost"),
        ([CANCELLING, Lose()], CANCELLED, "lease-lost"),
        ([Stop(STOPPED, is_asked=True), Lose()], SUCCESS, "lease-lost"),
    ],
)
def test_how_the_task_ends(orders: list[Input], own: Ended, code: str | None) -> None:
    ended = ended_as(*orders, OperationEnded(own))
    if code is None:
        assert ended == own
    else:
        assert ended.outcome is Outcome.FAILED
        assert ended.error is not None
        assert ended.error.code == code


LASTING = failed("wrong", "of its own", is_final=True)
REPEATED = Finishing(is_successful=False, may_go_on=True, position=PLACE)


@pytest.mark.parametrize(
    ("orders", "own", "is_repeated"),
    [
        ([], FAILURE, True),
        ([], LASTING, False),
        ([], failed(ErrorCode.BAD_ARGUMENTS, "none"), False),
        ([], SUCCESS, False),
        ([], CANCELLED, False),
        ([CANCELLING], FAILURE, False),
        ([Stop(STOPPED, is_asked=True)], FAILURE, True),
        ([Stop(STOPPED, is_asked=True), CANCELLING], FAILURE, False),
        ([Kill(KILLED)], FAILURE, False),
        ([Lose()], SUCCESS, True),
    ],
)
def test_after_which_ends_the_task_is_tried_again(orders: list[Input], own: Ended, is_repeated: bool) -> None:
    state, effects = fed(*orders, OperationEnded(own), state=Running(Orders(may_repeat=True)))
    assert isinstance(state, Finishing)
    assert state.may_go_on is is_repeated
    assert isinstance(effects[-1], AppendAttemptFailed if is_repeated else AppendFinished)
    _, effects = fed(*orders, OperationEnded(own), state=Running(Orders()))
    assert isinstance(effects[-1], AppendFinished)  # without a retry left


def test_an_attempt_that_loses_its_lease_before_it_begins_is_repeated() -> None:
    begun = fed(Begin(), Appended(PLACE), state=AwaitingTurn(may_repeat=True))[0]
    _, effects = fed(seen(TaskState.RUNNING, live=False), state=begun)
    assert [type(effect) for effect in effects] == [AppendAttemptFailed]


@pytest.mark.parametrize(
    ("given", "after"),
    [
        (seen(TaskState.RUNNING, positions=NOT_PASSED), REPEATED),
        (seen(TaskState.WAITING, current=False, past=True), Released(may_follow=True)),
        (seen(TaskState.CANCELLING, current=False, past=True), Released(may_follow=True)),  # it was cancelled before
        (seen(TaskState.RUNNING, current=False, past=True), Released(may_follow=True)),  # the next attempt runs
        (seen(TaskState.FAILED), Over()),  # the deadline would have passed, so that it ended the task
        (seen(TaskState.CANCELLED, current=False, held=False, past=True), Gone()),
    ],
)
def test_the_claim_of_a_repeated_attempt_is_released_once_it_is_seen_that_the_task_goes_on(
    given: Input, after: State
) -> None:
    assert step(REPEATED, given) == (after, ())


def test_an_attempt_whose_failure_cannot_be_recorded_ends_the_task() -> None:
    appending = Finishing(is_successful=False, may_go_on=True)
    for before, told in ((REPEATED, seen(TaskState.RUNNING)), (appending, AppendRefused("too large"))):
        state, effects = step(before, told)
        assert state == Finishing(is_successful=False)
        assert [type(effect) for effect in effects] == [AppendFinished]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    ("order", "outcome", "code"),
    [
        (seen(TaskState.CANCELLING, positions=NOT_PASSED), Outcome.CANCELLED, None),
        (Stop(STOPPED, is_asked=True), Outcome.FAILED, "worker-stopped"),
        (Kill(KILLED), Outcome.FAILED, "operation-stuck"),
        (Lose(), Outcome.FAILED, "lease-lost"),
    ],
)
def test_what_is_asked_before_the_operation_begins_keeps_it_from_beginning(
    order: Input, outcome: Outcome, code: str | None, early: bool
) -> None:
    before = [Begin(), order, Appended(PLACE)] if early else [Begin(), Appended(PLACE), order]
    _, effects = fed(*before, seen(TaskState.RUNNING))
    assert [type(effect) for effect in effects] == [AppendStarted, AppendFinished]
    assert isinstance(effects[-1], AppendFinished)
    ended = effects[-1].ended
    assert ended.outcome is outcome
    assert (ended.error and ended.error.code) == code


@pytest.mark.parametrize(
    ("state", "is_so"),
    [
        (AwaitingTurn(), False),
        (Running(Orders()), False),
        (Finishing(is_successful=True), False),
        (Finishing(is_successful=False, position=PLACE), True),
        (Over(), True),
        (Gone(), True),
        (fed(seen(TaskState.CANCELLING, current=False))[0], True),
        (fed(Withdraw())[0], False),
        (fed(seen(TaskState.CANCELLING, current=False), state=Confirming(PLACE, Orders()))[0], True),
        (fed(seen(TaskState.WAITING, current=False), state=Confirming(PLACE, Orders()))[0], False),
        (fed(Broke(), state=Running(Orders()))[0], False),
    ],
)
def test_nobody_is_passed_over_within_a_hold(state: State, is_so: bool) -> None:
    assert lets_next_begin(state, shares=True) is is_so


def test_tasks_of_a_hold_that_share_nothing_do_not_wait_for_the_log() -> None:
    for ended in (Finishing(is_successful=True), Finishing(is_successful=False), Finishing(False, may_go_on=True)):
        assert lets_next_begin(ended, shares=False)
    for begun in (Appending(), Confirming(PLACE, Orders()), Running(Orders()), Stopping(Orders())):
        assert not lets_next_begin(begun, shares=False)


statuses = st.builds(Status, st.sampled_from(TaskState), st.booleans(), st.booleans(), st.booleans())
inputs = st.one_of(
    st.sampled_from([one for one in INPUTS.values() if not isinstance(one, Observed)]),
    st.builds(Observed, statuses, st.sampled_from([PASSED, NOT_PASSED]), st.booleans()),
)


@given(st.lists(inputs, max_size=40), st.booleans())
def test_every_history(history: list[Input], may_repeat: bool) -> None:
    state: State = AwaitingTurn(may_repeat)
    runs, ran, is_lost = False, False, False
    for one in history:
        if isinstance(one, OperationEnded) and not runs:
            continue  # the shell reports an end only once, and only of a running operation
        before = state
        state, effects = step(before, one)
        is_lost = is_lost or isinstance(one, Lose)
        runs = runs and not isinstance(one, OperationEnded)
        for effect in effects:
            if isinstance(effect, RunOperation):
                assert not ran
                assert isinstance(before, Confirming)
                assert isinstance(one, Observed)
                assert one.status.is_current
                assert one.status.is_held
                assert one.status.state not in {TaskState.CANCELLING, *FINAL}
                assert one.positions[before.position.partition] > before.position.offset
                assert one.is_live
                assert not is_lost
                runs = ran = True
            elif isinstance(effect, AppendFinished | AppendAttemptFailed):
                assert not runs
            elif isinstance(effect, AskToStop | KillOperation):
                assert runs
            elif isinstance(effect, AppendAgain):
                assert isinstance(one, Unanswered)
            else:
                assert isinstance(before, AwaitingTurn)
        if isinstance(before, Over | Released | Gone):
            assert not effects
        if isinstance(one, Observed) and one.status.state in FINAL and isinstance(before, Over):
            assert isinstance(state, Over | Gone)
