"""One attempt at one task: started, run, finished."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
from msgspec import Raw
from pulp_events.errors import BadInput, LogError, ReadError
from pulp_events.events import Data, ErrorCode, Event, Outcome, Progress, Started
from pulp_events.ids import new_id
from pulp_events.log import Log
from pulp_events.task import FINAL, Position, State
from pulp_projections.positions import Positions

from pulp_worker.claims import Claim, Claims
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, failed, finished
from pulp_worker.reporter import Reporter
from pulp_worker.running import Run, start

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")


class Attempt:
    """Runs a claimed task to its end. `run` returns when the claim has been let go of."""

    def __init__(
        self,
        claim: Claim,
        loaded: Loaded,
        *,
        claims: Claims,
        log: Log,
        positions: Positions,
        lease: Lease,
        worker: str,
        storage: Path,
        grace_s: float,
    ) -> None:
        self.claim = claim
        self._loaded = loaded
        self._claims = claims
        self._log = log
        self._positions = positions
        self._lease = lease
        self._worker = worker
        self._storage = storage
        self._grace_s = grace_s
        self._run: Run | None = None
        self._verdict: Ended | None = None
        self._is_over = False
        self._is_cancelled = False
        self._killer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Append `started`; run the operation only if that is effective; append `finished`; let go."""
        try:
            await self._run_to_end()
        except Exception:  # the edge of an attempt: without its claim the reactor ends the task
            _log.exception("an attempt broke", extra={"task_id": self.claim.task_id})
            self._kill()
            await self._let_go(ended=False)

    async def _run_to_end(self) -> None:
        position = await self._append_surely(
            Started(
                attempt=self.claim.attempt,
                attempt_id=self.claim.attempt_id,
                worker=self._worker,
                cancellable=self._loaded.operation.cancellable,
            )
        )
        state = None if position is None else await self._effective_state(position)
        if state is None:
            await self._let_go(ended=False)
            return
        ended = Ended(Outcome.CANCELLED) if state is State.CANCELLING else await self._operate()
        if not self._is_over:
            position = await self._append_surely(finished(self.claim, self._verdict or ended))
            if position is not None:
                await self._wait_projected(position)
        await self._let_go(ended=True)

    def cancel(self) -> None:
        """Somebody asked the task to stop: ask the operation, and kill it after the grace period."""
        self._is_cancelled = True
        if self._run is not None and self._killer is None:
            self._run.cancel()
            self._killer = asyncio.get_running_loop().call_later(self._grace_s, self._run.kill)

    def abandon(self) -> None:
        """The task has ended without this attempt: kill the operation, append nothing."""
        self._is_over = True
        self._kill()

    def fail(self, code: ErrorCode, description: str) -> None:
        """Kill the operation; the task ends failed for this reason."""
        self._verdict = failed(code, description)
        self._kill()

    def _kill(self) -> None:
        if self._run is not None:
            self._run.kill()

    async def _operate(self) -> Ended:
        if not self._lease.is_live:
            return failed(ErrorCode.LEASE_LOST, "The worker's lease had run out before the operation began.")
        if self._verdict is not None or self._is_over or self._is_cancelled:
            return Ended(Outcome.CANCELLED)
        reporter = Reporter(self._report)
        self._run = start(self._loaded, self.claim, reporter, self._storage)
        try:
            return await self._run.wait()
        finally:
            if self._killer is not None:
                self._killer.cancel()
            await reporter.finish()

    async def _effective_state(self, position: Position) -> State | None:
        """The task's state once the projection has passed the own `started`, or None if it is not ours to run."""
        if not await self._wait_projected(position):
            return None
        while self._lease.is_live:
            try:
                return await self._claims.is_current(self.claim)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(_RETRY_S)
        return None

    async def _wait_projected(self, position: Position) -> bool:
        while self._lease.is_live:
            try:
                await self._positions.reach({position.partition: position.offset + 1}, max(0.1, self._lease.left_s))
            except ReadError:
                continue
            return True
        return False

    async def _append_surely(self, data: Data) -> Position | None:
        """Append until it is known to be in the log; None when the lease ran out first.

        The event keeps its id, and its second copy has no effect, so an unknown outcome is simply repeated.
        """
        event = self._event(data)
        while True:
            try:
                return await self._log.append(event, self.claim.partition)
            except LogError as error:
                _log.warning("the log is away", extra={"task_id": self.claim.task_id, "error": str(error)})
                if not self._lease.is_live and not isinstance(data, Started):
                    return None
                await asyncio.sleep(_RETRY_S)
            if not self._lease.is_live:
                return None

    async def _report(self, sequence: int, progress: bytes) -> bool:
        data = Progress(attempt_id=self.claim.attempt_id, sequence=sequence, progress=Raw(progress))
        try:
            await self._log.append(self._event(data), self.claim.partition)
        except BadInput as error:
            _log.warning("progress is refused", extra={"task_id": self.claim.task_id, "error": str(error)})
        except LogError as error:
            _log.warning("progress is late", extra={"task_id": self.claim.task_id, "error": str(error)})
            return False
        return True

    async def _let_go(self, *, ended: bool) -> None:
        while True:
            try:
                await self._settle(ended=ended)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _settle(self, *, ended: bool) -> None:
        if ended:
            state, _ = (await self._claims.own_tasks([self.claim.task_id]))[self.claim.task_id]
            if state in FINAL:
                await self._claims.forget(self.claim)
                return
        await self._claims.release(self.claim)

    def _event(self, data: Data) -> Event:
        return Event(
            id=new_id(),
            task_id=self.claim.task_id,
            time=datetime.now(UTC),
            actor=f"worker:{self._worker}"[:255],
            data=data,
            correlation_id=self.claim.correlation_id,
        )
