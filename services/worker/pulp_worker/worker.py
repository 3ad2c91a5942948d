"""The worker: claims tasks while it has room, runs them, keeps its lease, heeds cancels, drains when told to stop."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection
from pulp_events.events import ErrorCode
from pulp_events.log import Log
from pulp_events.task import FINAL, State
from pulp_projections.positions import Positions

from pulp_worker.attempt import Attempt
from pulp_worker.claims import Claims
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.settings import Settings

_POLL_S: Final = 2.0
_log = logging.getLogger("pulp.worker")


class Worker:
    """Runs until `stop`. All its tasks share one lease, one log and one connection for claims."""

    def __init__(self, settings: Settings, operations: Mapping[str, Loaded], *, log: Log, positions: Positions) -> None:
        self._settings = settings
        self._operations = operations
        self._log = log
        self._positions = positions
        self._claims = Claims(settings)
        self._watching = Claims(settings)  # a connection of its own: a cancel never waits behind a claim
        self._lease = Lease(settings.lease_s)
        self._attempts: dict[UUID, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._is_draining = False

    async def start(self) -> None:
        """Register; the worker claims nothing before. Raises `NameInUse`."""
        sent_at = self._lease.now()
        await self._claims.register([loaded.operation for loaded in self._operations.values()])
        self._lease.renew(sent_at)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then drain: running tasks get their time, then end `worker-stopped`."""
        background = [
            asyncio.create_task(loop(), name=loop.__name__)
            for loop in (self._beat, self._claim_forever, self._watch, self._listen, self._note_positions)
        ]
        stop = asyncio.create_task(stopping.wait())
        try:
            done, _ = await asyncio.wait([stop, *background], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                task.result()  # none of them ends but by an error
            await self._drain()
        finally:
            for task in (stop, *background):
                task.cancel()
            await asyncio.wait([stop, *background])
            await self._claims.close()
            await self._watching.close()

    async def _drain(self) -> None:
        self._is_draining = True
        _log.info("draining", extra={"running": len(self._attempts)})
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.drain_s)
        for attempt in self._attempts.values():
            attempt.fail(ErrorCode.WORKER_STOPPED, "The worker was stopped while it ran the task.")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.lease_s)
        try:
            await self._claims.unregister()
        except psycopg.Error as error:
            _log.warning("could not unregister; the lease runs out by itself: %s", error)

    async def _claim_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            room = self._settings.concurrency - len(self._attempts)
            if room <= 0 or self._is_draining or not self._lease.is_live:
                continue
            try:
                claims = await self._claims.claim(list(self._operations), room)
            except psycopg.Error as error:
                _log.warning("cannot claim now: %s", str(error).strip())
                await asyncio.sleep(0.5)
                self._wake.set()
                continue
            for claim in claims:
                attempt = Attempt(
                    claim,
                    self._operations[claim.operation],
                    claims=self._claims,
                    log=self._log,
                    positions=self._positions,
                    lease=self._lease,
                    worker=self._settings.name,
                    storage=self._settings.storage,
                    grace_s=self._settings.grace_s,
                )
                self._attempts[claim.task_id] = attempt
                self._spawn(attempt)

    def _spawn(self, attempt: Attempt) -> None:
        task = asyncio.create_task(attempt.run(), name=f"attempt-{attempt.claim.task_id}")
        self._tasks.add(task)

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            self._attempts.pop(attempt.claim.task_id, None)
            if not task.cancelled() and task.exception() is not None:
                _log.error("an attempt broke", extra={"task_id": attempt.claim.task_id}, exc_info=task.exception())
            self._wake.set()

        task.add_done_callback(ended)

    async def _watch(self) -> None:
        """Look at the own tasks whenever the projection has moved: cancels, and ends that others decided."""
        seen = 0
        while True:
            seen = await self._positions.changed(seen, _POLL_S)
            if not self._attempts:
                continue
            try:
                tasks = await self._watching.own_tasks(list(self._attempts))
            except psycopg.Error:
                await asyncio.sleep(0.5)
                continue
            for task_id, (state, attempt_id) in tasks.items():
                self._heed(task_id, state, attempt_id)

    def _heed(self, task_id: UUID, state: State, attempt_id: UUID | None) -> None:
        attempt = self._attempts.get(task_id)
        if attempt is None or attempt_id != attempt.claim.attempt_id:
            return
        if state is State.CANCELLING:
            attempt.cancel()
        elif state in FINAL:
            attempt.abandon()

    async def _beat(self) -> None:
        """Renew the lease three times a lease; when it ran out, stop the operations before anything else."""
        while True:
            await asyncio.sleep(min(self._settings.lease_s / 3, max(0.01, self._lease.left_s)))
            if not self._lease.is_live:
                await self._lose_lease()
                continue
            sent_at = self._lease.now()
            try:
                async with asyncio.timeout(max(0.05, self._lease.left_s)):
                    is_registered = await self._claims.heartbeat()
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("no heartbeat: %s", str(error).strip())
                continue
            if is_registered:
                self._lease.renew(sent_at)
            else:
                await self._lose_lease()

    async def _lose_lease(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.fail(ErrorCode.LEASE_LOST, "The worker could not renew its lease and stopped the operation.")
        previous, self._claims.instance_id = self._claims.instance_id, uuid4()
        _log.warning("the lease has run out", extra={"stopped": len(self._attempts)})
        while True:
            sent_at = self._lease.now()
            try:
                await self._claims.register(
                    [loaded.operation for loaded in self._operations.values()], previous=previous
                )
            except psycopg.Error as error:
                _log.warning("cannot register again yet: %s", str(error).strip())
                await asyncio.sleep(0.5)
            else:
                self._lease.renew(sent_at)
                return

    async def _listen(self) -> None:
        """Woken by other workers that let go of a resource."""
        while True:
            try:
                async with await AsyncConnection.connect(self._settings.postgres, autocommit=True) as connection:
                    await connection.execute("listen pulp_claims")
                    async for _ in connection.notifies():
                        self._wake.set()
            except psycopg.Error:
                await asyncio.sleep(1.0)

    async def _note_positions(self) -> None:
        seen = 0
        while True:
            seen = await self._positions.changed(seen, _POLL_S)
            self._wake.set()
