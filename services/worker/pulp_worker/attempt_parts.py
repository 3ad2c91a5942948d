"""The states, inputs and actions of an attempt."""

from collections.abc import Mapping
from typing import NamedTuple, assert_never, final

from msgspec import Struct
from pulp_events.task import Position

from pulp_worker.claims import Status
from pulp_worker.outcome import Ended


@final
class Orders(Struct, frozen=True):
    """The requests to the attempt so far, from the worker and others."""

    verdict: Ended | None = None
    """How the task ends unless its operation succeeds, or was cancelled as asked."""
    is_cancelled: bool = False
    is_lost: bool = False
    """The lease has run out: the verdict counts, whatever the operation has done."""
    may_repeat: bool = False
    """The task has retries left."""


# States.


@final
class AwaitingTurn(Struct, frozen=True):
    """The previous task of its hold has not ended."""

    may_repeat: bool = False
    """The task has retries left."""


@final
class Appending(Struct, frozen=True):
    """`started` is being appended."""

    orders: Orders = Orders()
    is_over: bool = False
    """The task has ended meanwhile."""


@final
class Confirming(Struct, frozen=True):
    """`started` is in the log. The projection shows whether it took effect once it has passed it."""

    position: Position
    orders: Orders


@final
class Running(Struct, frozen=True):
    """The operation runs, and nobody wants it to stop."""

    orders: Orders


@final
class Stopping(Struct, frozen=True):
    """The operation was asked to stop, or is killed, and has not ended yet."""

    orders: Orders
    is_over: bool = False
    """The task has ended without it."""


@final
class Finishing(Struct, frozen=True):
    """The operation no longer runs. Its last event is being appended, or is in the log; then the claim is ended."""

    is_successful: bool
    may_go_on: bool = False
    """`attempt-failed` is appended in place of `finished`: the claim is released once the projection has passed it."""
    position: Position | None = None
    """Where it is in the log."""


@final
class Over(Struct, frozen=True):
    """The task has ended without this attempt, which appends nothing more: the claim is ended."""


@final
class Released(Struct, frozen=True):
    """None of it runs, and its task has not ended: the claim is released.

    If `started` took effect after all, the released claim tells the reactor to end the task.
    """

    may_follow: bool
    """The task will never run, or waits for its next attempt, so the next one in the hold overtakes nobody."""


@final
class Gone(Struct, frozen=True):
    """Its claim is ended or released, and it is forgotten."""


State = AwaitingTurn | Appending | Confirming | Running | Stopping | Finishing | Over | Released | Gone


def lets_next_begin(state: State, *, shares: bool) -> bool:
    """Whether the next task of the hold may begin: this one's end is in the log, or in the read model.

    Tasks that share no resource may begin as soon as no process of this one runs.
    """
    match state:
        case Finishing():
            return not shares or state.position is not None
        case Released():
            return state.may_follow
        case Over() | Gone():
            return True
        case AwaitingTurn() | Appending() | Confirming() | Running() | Stopping():
            return False
        case _:
            assert_never(state)


def is_over(state: State) -> bool:
    """Whether the task is known to have ended without this attempt."""
    match state:
        case Appending() | Stopping():
            return state.is_over
        case Over() | Gone():
            return True
        case AwaitingTurn() | Confirming() | Running() | Finishing() | Released():
            return False
        case _:
            assert_never(state)


def needs_looks(state: State) -> bool:
    """Whether a move of the projection may matter to it: an event of its own took effect, or somebody cancelled it."""
    match state:
        case Finishing():
            return state.may_go_on
        case AwaitingTurn() | Appending() | Confirming() | Running() | Stopping():
            return True
        case Over() | Released() | Gone():
            return False
        case _:
            assert_never(state)


# Inputs.


@final
class Begin(Struct, frozen=True):
    """The attempt may begin."""


@final
class Withdraw(Struct, frozen=True):
    """It may no longer begin; without effect if it has begun."""


@final
class Appended(Struct, frozen=True):
    """The append succeeded."""

    position: Position


@final
class Unanswered(Struct, frozen=True):
    """It is unknown whether the append succeeded."""

    is_live: bool
    """The lease has not run out."""


@final
class AppendRefused(Struct, frozen=True):
    """The log refuses the event."""

    reason: str


class Observed(NamedTuple):
    """A look at the read model."""

    status: Status
    positions: Mapping[int, int]
    """The position of the projection at that time."""
    is_live: bool
    """The lease has not run out."""


@final
class Stop(Struct, frozen=True):
    """The operation is to stop; its task ends with the verdict unless it succeeds meanwhile."""

    verdict: Ended
    is_asked: bool
    """If true, it is asked to stop, and killed after the grace period; otherwise it is killed now."""


@final
class Kill(Struct, frozen=True):
    """The operation is to be killed; its task ends with the verdict unless it has succeeded."""

    verdict: Ended


@final
class Lose(Struct, frozen=True):
    """The lease has run out."""


@final
class GraceOver(Struct, frozen=True):
    """The operation was asked to stop a grace period ago."""


@final
class OperationEnded(Struct, frozen=True):
    """No part of the operation runs any more."""

    ended: Ended


@final
class Broke(Struct, frozen=True):
    """The worker itself failed."""


@final
class Kept(Struct, frozen=True):
    """The claim was not ended, since the task is not final in the read model."""


@final
class Closed(Struct, frozen=True):
    """The claim was ended or released."""


Input = (
    Begin
    | Withdraw
    | Appended
    | Unanswered
    | AppendRefused
    | Observed
    | Stop
    | Kill
    | Lose
    | GraceOver
    | OperationEnded
    | Broke
    | Kept
    | Closed
)


# Actions.


@final
class AppendStarted(Struct, frozen=True):
    """Append `started`."""


@final
class AppendFinished(Struct, frozen=True):
    """Append `finished`."""

    ended: Ended


@final
class AppendAttemptFailed(Struct, frozen=True):
    """Append `attempt-failed`, or `finished` if the next attempt would come too late."""

    ended: Ended


@final
class AppendAgain(Struct, frozen=True):
    """Append the last event again after a pause. It keeps its id, so a second copy has no effect."""


@final
class RunOperation(Struct, frozen=True):
    """Start the operation."""


@final
class AskToStop(Struct, frozen=True):
    """Ask the operation to stop, and signal `GraceOver` after the grace period."""


@final
class KillOperation(Struct, frozen=True):
    """Kill the operation."""


Effect = AppendStarted | AppendFinished | AppendAttemptFailed | AppendAgain | RunOperation | AskToStop | KillOperation
