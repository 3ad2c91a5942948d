"""An attempt as a state machine, from inputs to the next state and actions. Pure.

AwaitingTurn ─▶ Appending ─▶ Confirming ─▶ Running ─▶ Stopping ─▶ Finishing ─▶ Gone
                                              └───────────────────────┘

From every state, if others have ended the attempt: Over ─▶ Gone. If none of it runs and its task has not ended:
Released ─▶ Gone, as for an attempt that failed and is repeated.
"""

from collections.abc import Mapping
from typing import Final, assert_never

from msgspec.structs import replace
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
    is_over,
)
from pulp_worker.claims import Status
from pulp_worker.outcome import Ended, failed

_LOST: Final = failed(ErrorCode.LEASE_LOST, "The worker could not renew its lease, and stopped the operation.")
_LOST_BEFORE: Final = failed(ErrorCode.LEASE_LOST, "The worker's lease had run out before the operation began.")
_CANCELLED: Final = Ended(Outcome.CANCELLED)

Next = tuple[State, tuple[Effect, ...]]


def step(state: State, given: Input) -> Next:
    """The next state and the actions. Total: an input that is meaningless in a state changes nothing."""
    match given:
        case Closed():
            return Gone(), ()
        case Broke():
            return _broken(state), ()
        case _:
            pass
    match state:
        case AwaitingTurn():
            return _awaiting_turn(state, given)
        case Appending():
            return _appending(state, given)
        case Confirming():
            return _confirming(state, given)
        case Running():
            return _running(state, given)
        case Stopping():
            return _stopping(state, given)
        case Finishing():
            return _finishing(state, given)
        case Over():
            return _over(state, given)
        case Released() | Gone():
            return state, ()
        case _:
            assert_never(state)


def has_passed(positions: Mapping[int, int], position: Position) -> bool:
    """Whether the event at the position was projected."""
    return positions.get(position.partition, 0) > position.offset


def _broken(state: State) -> State:
    """The reactor ends the task once the claim is released."""
    if isinstance(state, Gone | Over | Released):
        return state
    return Over() if is_over(state) else Released(may_follow=False)


def _awaiting_turn(state: AwaitingTurn, given: Input) -> Next:
    match given:
        case Begin():
            return Appending(Orders(may_repeat=state.may_repeat)), (AppendStarted(),)
        case Withdraw() | Stop() | Kill() | Lose():
            return Released(may_follow=False), ()
        case Observed(status=status):
            if status.state in FINAL:
                return Over(), ()
            if status.state is not TaskState.WAITING or not status.is_held:
                return Released(may_follow=status.state is TaskState.CANCELLING), ()
        case _:
            pass
    return state, ()


def _appending(state: Appending, given: Input) -> Next:
    match given:
        case Appended():
            if state.is_over:
                return Over(), ()
            return Confirming(given.position, state.orders), ()
        case Unanswered():
            if state.is_over:
                return Over(), ()
            if state.orders.is_lost or not given.is_live:
                return Released(may_follow=False), ()
            return state, (AppendAgain(),)
        case AppendRefused():
            return _broken(state), ()
        case Observed(status=status):
            if _is_ended(status):
                return replace(state, is_over=True), ()
            return replace(state, orders=_with_cancel(state.orders, status)), ()
        case Stop() | Kill() | Lose():
            return replace(state, orders=_with_order(state.orders, given)), ()
        case _:
            return state, ()


def _confirming(state: Confirming, given: Input) -> Next:
    match given:
        case Observed(status=status, positions=positions):
            if has_passed(positions, state.position):
                return _confirmed(state.orders, status, is_live=given.is_live)
            if status.is_current and status.state in FINAL:
                return Over(), ()
            return replace(state, orders=_with_cancel(state.orders, status)), ()
        case Stop() | Kill() | Lose():
            return replace(state, orders=_with_order(state.orders, given)), ()
        case _:
            return state, ()


def _confirmed(orders: Orders, status: Status, *, is_live: bool) -> Next:
    """The operation runs only if the read model shows this attempt as the current one, and its claim is held."""
    if status.state in FINAL:
        return Over(), ()
    if not (status.is_current and status.is_held):
        return Released(may_follow=status.state is TaskState.CANCELLING and not status.is_current), ()
    if orders.is_lost or not is_live:
        return _finish(_LOST_BEFORE, orders)
    if orders.verdict is not None:
        return _finish(orders.verdict, orders)
    if _with_cancel(orders, status).is_cancelled:
        return _finish(_CANCELLED, orders)
    return Running(orders), (RunOperation(),)


def _running(state: Running, given: Input) -> Next:
    match given:
        case Observed(status=status):
            if _is_ended(status):
                return Stopping(state.orders, is_over=True), (KillOperation(),)
            if status.is_current and status.state is TaskState.CANCELLING:
                return Stopping(_with_cancel(state.orders, status)), (AskToStop(),)
            return state, ()
        case Stop():
            how = AskToStop() if given.is_asked else KillOperation()
            return Stopping(_with_order(state.orders, given)), (how,)
        case Kill() | Lose():
            return Stopping(_with_order(state.orders, given)), (KillOperation(),)
        case OperationEnded():
            return _finish(_judged(given.ended, state.orders), state.orders)
        case _:
            return state, ()


def _stopping(state: Stopping, given: Input) -> Next:
    match given:
        case Observed(status=status):
            if _is_ended(status) and not state.is_over:
                return replace(state, is_over=True), (KillOperation(),)
            return replace(state, orders=_with_cancel(state.orders, status)), ()
        case Stop():
            effects = () if given.is_asked else (KillOperation(),)
            return replace(state, orders=_with_order(state.orders, given)), effects
        case Kill() | Lose():
            return replace(state, orders=_with_order(state.orders, given)), (KillOperation(),)
        case GraceOver():
            return state, (KillOperation(),)
        case OperationEnded():
            return (Over(), ()) if state.is_over else _finish(_judged(given.ended, state.orders), state.orders)
        case _:
            return state, ()


def _finishing(state: Finishing, given: Input) -> Next:
    """Only if others end the attempt do its retries stop."""
    match given:
        case Appended() if state.position is None:
            return replace(state, position=given.position), ()
        case Unanswered() if state.position is None:
            return state, (AppendAgain(),)
        case AppendRefused() if state.position is None:
            return _substitute(f"the log refuses it: {given.reason}")
        case Observed(status=status, positions=positions):
            if state.position is None:
                return (Over(), ()) if _is_ended(status) else (state, ())
            if status.state in FINAL:
                return _ended(state, status), ()
            if not has_passed(positions, state.position):
                return state, ()
            if status.is_past:
                return Released(may_follow=True), ()
            return _substitute("the read model cannot hold it")
        case _:
            return state, ()


def _over(state: Over, given: Input) -> Next:
    match given:
        case Observed(status=status) if status.state in FINAL and not status.is_held:
            return Gone(), ()
        case Kept():
            return Released(may_follow=False), ()
        case _:
            return state, ()


def _ended(state: Finishing, status: Status) -> State:
    """The states after the task's end, in which the claim is ended."""
    if not status.is_held:
        return Gone()
    return Over() if state.may_go_on else state


def _is_ended(status: Status) -> bool:
    """Whether others have ended this attempt: with its task, or so that the task is retried."""
    return status.is_past or (status.is_current and status.state in FINAL)


def _finish(ended: Ended, orders: Orders) -> Next:
    """A task that somebody has cancelled is not retried."""
    if ended.may_repeat and orders.may_repeat and not orders.is_cancelled:
        return Finishing(is_successful=False, may_go_on=True), (AppendAttemptFailed(ended),)
    return Finishing(is_successful=ended.outcome is Outcome.SUCCESSFUL), (AppendFinished(ended),)


def _substitute(reason: str) -> Next:
    text = f"The operation ended, but its end cannot be recorded: {reason}"
    return _finish(failed(ErrorCode.RESULT_NOT_JSON, text), Orders())


def _judged(ended: Ended, orders: Orders) -> Ended:
    """What the worker did to the operation explains its end, unless it has succeeded or was cancelled as asked."""
    is_as_wanted = ended.outcome is Outcome.SUCCESSFUL or (ended.outcome is Outcome.CANCELLED and orders.is_cancelled)
    return ended if orders.verdict is None or (is_as_wanted and not orders.is_lost) else orders.verdict


def _with_cancel(orders: Orders, status: Status) -> Orders:
    if status.is_current and status.state is TaskState.CANCELLING:
        return replace(orders, is_cancelled=True)
    return orders


def _with_order(orders: Orders, order: Stop | Kill | Lose) -> Orders:
    match order:
        case Stop():
            return orders if orders.verdict is not None else replace(orders, verdict=order.verdict)
        case Kill():
            return replace(orders, verdict=order.verdict)
        case Lose():
            return replace(orders, verdict=_LOST, is_lost=True)
        case _:
            assert_never(order)
