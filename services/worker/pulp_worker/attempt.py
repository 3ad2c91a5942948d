"""One attempt at one task: started, run, finished."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw
from pulp_events.errors import BadInput, LogError
from pulp_events.events import Data, ErrorCode, Event, Outcome, Progress, Started
from pulp_events.ids import new_id
from pulp_events.log import Log
from pulp_events.task import FINAL, Position, State

from pulp_worker.claims import Claim
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, failed, finished
from pulp_worker.releases import Releases
from pulp_worker.reporter import Reporter
from pulp_worker.running import Run, start
from pulp_worker.standings import Standings
from pulp_worker.surroundings import Surroundings

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the attempts of a worker share."""

    log: Log
    standings: Standings
    releases: Releases
    lease: Lease
    worker: str
    surroundings: Surroundings
    grace_s: float
    on_stuck: "Callable[[Attempt], None]"
    """Told when an operation goes on although it was stopped."""


class Attempt:
    """Runs a claimed task to its end. `run` returns when the claim has been let go of.

    One that follows another takes over what that one has reserved; it begins when that one has `left`.
    """

    def __init__(
        self,
        claim: Claim,
        loaded: Loaded,
        tools: Tools,
        *,
        predecessor: "Attempt | None" = None,
        on_left: Callable[[], None],
    ) -> None:
        """`on_left` is called when it has left."""
        self.claim = claim
        self._on_left = on_left
        self.left = asyncio.Event()
        """It occupies no slot any more: its end is in the log, or it will not begin."""
        self.hands_on = False
        """Whether the next task may follow: this one's end is in the log, or its start has no effect."""
        self._predecessor = predecessor
        loop = asyncio.get_running_loop()
        self._successor: asyncio.Future[Claim | None] = loop.create_future()
        self.inheritance: asyncio.Future[Mapping[str, int]] = loop.create_future()
        """The tokens with which its successor has taken over."""
        self._loaded = loaded
        self._tools = tools
        self._run: Run | None = None
        self._verdict: Ended | None = None
        self.is_stuck = False
        """Its operation was stopped, and goes on."""
        self._is_over = False
        self._is_lost = False
        self._is_cancelled = False
        self._killer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether its task has ended without it."""
        return self._is_over

    @property
    def is_operating(self) -> bool:
        """Whether the operation runs."""
        return self._run is not None

    async def run(self) -> None:
        """Append `started`; run the operation only if that is effective; append `finished`; let go."""
        try:
            if await self._begin():
                await self._finish(await self._operate())
        except Exception:  # the edge of an attempt: once its claim is released the reactor ends the task
            _log.exception("an attempt broke", extra={"task_id": self.claim.task_id})
        self._leave()
        if not self.inheritance.done():
            self.inheritance.set_result(await self._let_go())

    def succeed(self, successor: "Attempt | None") -> None:
        """Who takes over what this task has reserved, if anybody. Call it once; `run` does not return before."""
        self._successor.set_result(None if successor is None else successor.claim)

    def cancel(self) -> None:
        """Somebody asked the task to stop: ask the operation, and kill it after the grace period."""
        self._is_cancelled = True
        self._ask()

    def stop(self, code: ErrorCode, description: str) -> None:
        """Ask the operation to stop, as `cancel` does; unless it succeeds meanwhile the task ends failed."""
        if self._verdict is None:
            self._verdict = failed(code, description)
        if self._loaded.operation.cancellable:
            self._ask()
        else:
            self._kill()

    def kill(self, code: ErrorCode, description: str) -> None:
        """Kill the operation; the task ends failed, unless it has succeeded."""
        self._verdict = failed(code, description)
        self._kill()

    def lose(self) -> None:
        """The lease has run out: kill the operation; whatever it has done, the task ends failed."""
        self._is_lost = True
        self.kill(ErrorCode.LEASE_LOST, "The worker could not renew its lease, and stopped the operation.")

    def abandon(self) -> None:
        """The task has ended without this attempt: kill the operation, append nothing."""
        self._is_over = True
        self._kill()

    def last_word(self, code: ErrorCode, description: str, trace: str | None = None) -> Event:
        """The event that ends its task, for whoever has to append it in its place. From any thread."""
        return self._event(finished(self.claim.attempt_id, failed(code, description, trace)))

    def extend(self) -> None:
        """The lease was renewed."""
        if self._run is not None:
            self._run.extend()

    def _get_stuck(self) -> None:
        self.is_stuck = True
        self._tools.on_stuck(self)

    def _leave(self) -> None:
        if not self.left.is_set():
            self.left.set()
            self._on_left()

    def _ask(self) -> None:
        if self._run is not None and self._killer is None:
            self._run.cancel()
            self._killer = asyncio.get_running_loop().call_later(self._tools.grace_s, self._kill)

    def _kill(self) -> None:
        if self._run is not None:
            self._run.kill()

    async def _begin(self) -> bool:
        """Append `started`; whether the projection then shows this attempt as the one that may run."""
        tools = self._tools
        data = Started(
            attempt=self.claim.attempt,
            attempt_id=self.claim.attempt_id,
            worker=tools.worker,
            cancellable=self._loaded.operation.cancellable,
        )
        event = self._event(data)
        position = None
        while position is None and self._may_begin:
            # Repeated with the same id where the outcome is unknown: the second copy has no effect.
            position = await self._try_append(event)
        while position is not None and self._may_begin:
            standing = await tools.standings.after(self.claim, position)
            if standing is None:  # not known after a while: the lease may have run out, or the task have ended
                continue
            self._is_over = standing.state in FINAL
            self._is_cancelled = self._is_cancelled or standing.state is State.CANCELLING
            self.hands_on = not standing.is_current
            return standing.is_current and standing.is_held and not self._is_over and await self._inherit()
        # Nothing ran. If `started` has an effect all the same, the released claim tells the reactor to end the task.
        return False

    async def _inherit(self) -> bool:
        """Whether what the predecessor had reserved is this claim's now, if there is one."""
        if self._predecessor is None:
            return True
        tokens = await asyncio.shield(self._predecessor.inheritance)
        self.claim = self.claim._replace(tokens=tokens)
        return bool(tokens)

    @property
    def _may_begin(self) -> bool:
        return self._tools.lease.is_live and not self._is_lost and not self._is_over

    async def _operate(self) -> Ended:
        if self._is_lost or not self._tools.lease.is_live:
            return failed(ErrorCode.LEASE_LOST, "The worker's lease had run out before the operation began.")
        if self._verdict is not None:
            return self._verdict
        if self._is_over or self._is_cancelled:
            return Ended(Outcome.CANCELLED)
        reporter = Reporter(self._report)
        self._run = run = start(self._loaded, self.claim, reporter, self._tools.surroundings, self._get_stuck)
        try:
            ended = await run.wait()
        finally:
            self._run = None
            if self._killer is not None:
                self._killer.cancel()
        ended = self._judged(ended)
        await reporter.finish()
        return ended

    def _judged(self, ended: Ended) -> Ended:
        """What the worker did to the operation explains its end, unless it has succeeded or was cancelled as asked."""
        is_as_wanted = ended.outcome is Outcome.SUCCESSFUL or (
            ended.outcome is Outcome.CANCELLED and self._is_cancelled
        )
        return ended if self._verdict is None or (is_as_wanted and not self._is_lost) else self._verdict

    async def _finish(self, ended: Ended) -> None:
        """Append `finished` until the task is final; only its end by others stops the trying."""
        event = self._event(finished(self.claim.attempt_id, ended))
        while not self._is_over:
            try:
                position = await self._try_append(event)
            except BadInput as error:
                event = self._substitute(f"the log refuses it: {error}")
                continue
            if position is None:
                continue
            self.hands_on = True
            self._leave()
            tokens = await self._end(position)
            if tokens is not None:
                self.inheritance.set_result(tokens)
                return
            event = self._substitute("the read model cannot hold it")

    async def _end(self, after: Position | None) -> Mapping[str, int] | None:
        """Once the projection has passed the position: let go, and leave nothing behind. None if it is not over."""
        return await self._tools.releases.end(self.claim, after, heir=await self._heir())

    async def _let_go(self) -> Mapping[str, int]:
        """Let go, and leave the attempt's number behind unless the task is over."""
        tokens = await self._end(None) if self._is_over else None
        if tokens is None:
            tokens = await self._tools.releases.let_go(self.claim, heir=await self._heir())
        return tokens

    async def _heir(self) -> Claim | None:
        if self._predecessor is not None:
            await self._predecessor.inheritance  # what it has to hand on
        return await self._successor

    async def _try_append(self, event: Event) -> Position | None:
        """The event's position, or None if it is not known to be in the log (after a while)."""
        try:
            return await self._tools.log.append(event, self.claim.partition)
        except LogError as error:
            _log.warning("the log is away", extra={"task_id": self.claim.task_id, "error": error})
            await asyncio.sleep(_RETRY_S)
            return None

    async def _report(self, sequence: int, progress: bytes) -> bool:
        if self._is_over:
            return True
        data = Progress(attempt_id=self.claim.attempt_id, sequence=sequence, progress=Raw(progress))
        try:
            return await self._try_append(self._event(data)) is not None
        except BadInput as error:
            _log.warning("progress is refused", extra={"task_id": self.claim.task_id, "error": error})
            return True

    def _substitute(self, reason: str) -> Event:
        error = failed(ErrorCode.RESULT_NOT_JSON, f"The operation ended, but its end cannot be recorded: {reason}")
        return self._event(finished(self.claim.attempt_id, error))

    def _event(self, data: Data) -> Event:
        return Event(
            id=new_id(),
            task_id=self.claim.task_id,
            time=datetime.now(UTC),
            actor=f"worker:{self._tools.worker}",
            data=data,
            correlation_id=self.claim.correlation_id,
        )
