"""One attempt at one task: it carries out what its state machine asks for, and reports the results to it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

from msgspec import Raw
from pulp_events.errors import BadInput, LogError
from pulp_events.events import AttemptFailed, Data, ErrorCode, Event, Finished, Progress, Started
from pulp_events.ids import new_id
from pulp_events.log import Log
from pulp_events.task import FINAL, Position
from pulp_runtime.telemetry.metric import NO_METER, Meter
from pulp_runtime.telemetry.tracing import Tracing

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
    Broke,
    Confirming,
    Effect,
    Finishing,
    GraceOver,
    Input,
    Kill,
    KillOperation,
    Lose,
    Observed,
    OperationEnded,
    RunOperation,
    State,
    Stop,
    Unanswered,
    is_over,
)
from pulp_worker.attempt_state import step
from pulp_worker.attempt_times import RETRIED, AttemptTimes
from pulp_worker.attempt_trace import AttemptTrace
from pulp_worker.claims import Claim, Status
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, attempt_failed, failed, finished, finished_for_good
from pulp_worker.reporter import Reporter
from pulp_worker.running import Run, start
from pulp_worker.surroundings import Surroundings

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The parts that a worker's attempts share."""

    log: Log
    lease: Lease
    worker: str
    surroundings: Surroundings
    grace_s: float
    on_stuck: "Callable[[Attempt], None]"
    """Called if an operation keeps running although it was stopped."""
    meter: Meter = NO_METER
    tracing: Tracing | None = None


class Attempt:
    """Runs an assigned task when its turn comes. `on_change` is called after each change of its state."""

    def __init__(
        self,
        claim: Claim,
        loaded: Loaded,
        tools: Tools,
        *,
        spawn: Callable[[Coroutine[None, None, None]], object],
        on_change: "Callable[[Attempt], None]",
    ) -> None:
        """`spawn` runs a coroutine concurrently with the caller."""
        self.claim = claim
        self.state: State = AwaitingTurn(may_repeat=claim.attempts.may_repeat)
        self.is_stuck = False
        """Its operation was stopped, but keeps running."""
        self.is_given_up = False
        """Its last event is in the log."""
        self.ended_at_s = 0.0
        """When its end reached the log, by the loop's clock."""
        self._loaded = loaded
        self._tools = tools
        self._spawn = spawn
        self._on_change = on_change
        self._seen: tuple[Status, Mapping[int, int]] | None = None
        self._event: Event | None = None
        self._run: Run | None = None
        self._reporter: Reporter | None = None
        self._killer: asyncio.TimerHandle | None = None
        self._times = AttemptTimes(tools.meter, claim.operation)
        self._trace = AttemptTrace(tools.tracing, claim)

    @property
    def is_over(self) -> bool:
        """Whether it was ended by others."""
        return is_over(self.state)

    @property
    def is_operating(self) -> bool:
        """Whether the operation runs."""
        return self._run is not None

    def within(self) -> AbstractContextManager[None]:
        """Lines logged in the block belong to its trace, if it has one. From any thread."""
        return self._trace.within()

    def feed(self, given: Input) -> None:
        """Pass an input to the state machine."""
        before = self.state
        self.state, effects = step(before, given)
        for effect in effects:
            self._perform(effect)
        if self.state != before:
            self._trace.follow(self.state)
            self._on_change(self)

    def see(self, status: Status, positions: Mapping[int, int]) -> None:
        """Pass the result of a look to the state machine."""
        self._seen = status, positions
        self.feed(Observed(status, positions, self._tools.lease.is_live))

    def stop(self, code: ErrorCode, description: str) -> None:
        """Ask the operation to stop, if it can; unless it succeeds meanwhile, the task fails."""
        self.feed(Stop(failed(code, description), is_asked=self._loaded.operation.cancellable))

    def kill(self, code: ErrorCode, description: str) -> None:
        """Kill the operation; the task ends failed, unless it has succeeded."""
        self.feed(Kill(failed(code, description)))

    def lose(self) -> None:
        """The lease has run out: kill the operation; whatever it has done, the task ends failed."""
        self.feed(Lose())

    def extend(self) -> None:
        """The lease was renewed."""
        if self._run is not None:
            self._run.extend()

    def last_words(self, code: ErrorCode, description: str, trace: str | None = None) -> tuple[Event, ...]:
        """The events that end its task for good, for another part to append. From any thread."""
        if self._seen is not None and self._seen[0].state in FINAL:
            return ()
        ended = failed(code, description, trace)
        data = finished_for_good(self.claim.attempt_id, ended, self.claim.attempts, is_over=self.is_over)
        return tuple(self._make(one) for one in data)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AppendStarted():
                self._times.turn_came()
                self._trace.begin()
                started = Started(
                    attempt=self.claim.attempt,
                    attempt_id=self.claim.attempt_id,
                    worker=self._tools.worker,
                    cancellable=self._loaded.operation.cancellable,
                )
                self._spawn(self._append(self._make(started)))
            case AppendFinished():
                self._times.ended(effect.ended.outcome)
                self._trace.ended(effect.ended)
                self._spawn(self._append(self._make(finished(self.claim.attempt_id, effect.ended))))
            case AppendAttemptFailed():
                data = self._failed(effect.ended)
                self._trace.ended(effect.ended)
                self._times.ended(data.outcome if isinstance(data, Finished) else RETRIED)
                self._spawn(self._append(self._make(data)))
            case AppendAgain():
                assert self._event is not None
                self._spawn(self._append(self._event, after_s=_RETRY_S))
            case RunOperation():
                self._start()
            case AskToStop():
                self._times.asked_to_stop()
                if self._run is not None:  # it may have failed to start
                    self._run.cancel()
                    self._killer = asyncio.get_running_loop().call_later(self._tools.grace_s, self.feed, GraceOver())
            case KillOperation():
                if self._run is not None:
                    self._run.kill()
            case _:
                assert_never(effect)

    def _failed(self, ended: Ended) -> AttemptFailed | Finished:
        return attempt_failed(self.claim.attempt_id, ended, self.claim.attempts, datetime.now(UTC))

    async def _append(self, event: Event, *, after_s: float = 0) -> None:
        self._event = event
        if after_s:
            await asyncio.sleep(after_s)
        if self._reporter is not None:
            await self._reporter.finish()
        if not isinstance(self.state, Appending | Finishing):
            return  # the task has ended meanwhile
        try:
            position = await self._tools.log.append(event, self.claim.partition)
        except BadInput as error:
            self.feed(AppendRefused(str(error)))
        except LogError as error:
            self._warn("the log is away", error)
            self.feed(Unanswered(self._tools.lease.is_live))
        except Exception:
            self._break()
        else:
            self._appended(position)

    def _appended(self, position: Position) -> None:
        self.ended_at_s = asyncio.get_running_loop().time()
        self.feed(Appended(position))
        if isinstance(self.state, Confirming) and self._seen is not None:  # the projection may already have passed it
            self.see(*self._seen)

    def _start(self) -> None:
        self._times.began()
        try:
            reporter = self._reporter = Reporter(self._report)
            with self._trace.within():
                run = start(
                    self._loaded,
                    self.claim,
                    reporter,
                    self._tools.surroundings,
                    self._get_stuck,
                    traceparent=self._trace.traceparent,
                )
        except Exception as error:
            with self.within():
                _log.exception("an attempt broke", extra={"task_id": self.claim.task_id, "error": error})
            asyncio.get_running_loop().call_soon(self.feed, Broke())
            return
        self._run = run
        self._spawn(self._wait(run))

    async def _wait(self, run: Run) -> None:
        try:
            with self.within():
                ended = await run.wait()
        except Exception:
            self._stopped()
            self._break()
        else:
            self._stopped()
            self.feed(OperationEnded(ended))

    def _stopped(self) -> None:
        self._run = None
        self._times.stopped()
        if self._killer is not None:
            self._killer.cancel()

    def _break(self) -> None:
        """The edge of an attempt, for unexpected errors: once its claim is released, the reactor ends the task."""
        with self.within():
            _log.exception("an attempt broke", extra={"task_id": self.claim.task_id})
        self.feed(Broke())

    def _get_stuck(self) -> None:
        self.is_stuck = True
        self._tools.on_stuck(self)

    async def _report(self, sequence: int, progress: bytes) -> bool:
        if self.is_over:
            return True
        data = Progress(attempt_id=self.claim.attempt_id, sequence=sequence, progress=Raw(progress))
        try:
            await self._tools.log.append(self._make(data), self.claim.partition)
        except BadInput as error:
            self._warn("progress is refused", error)
        except LogError as error:
            self._warn("the log is away", error)
            await asyncio.sleep(_RETRY_S)
            return False
        return True

    def _make(self, data: Data) -> Event:
        return Event(
            id=new_id(),
            task_id=self.claim.task_id,
            time=datetime.now(UTC),
            actor=f"worker:{self._tools.worker}",
            data=data,
            correlation_id=self.claim.correlation_id,
            traceparent=self._trace.traceparent,
        )

    def _warn(self, text: str, error: Exception) -> None:
        with self.within():
            _log.warning(text, extra={"task_id": self.claim.task_id, "error": error})
