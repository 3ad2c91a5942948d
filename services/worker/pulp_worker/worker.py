"""The worker: claims tasks while it has room, runs them, keeps its lease, heeds cancels, drains when told to stop."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from pulp_events.errors import LogError, PulpError
from pulp_events.events import ErrorCode
from pulp_events.log import Log
from pulp_projections.away import ANY, AWAY, keep_trying, reason_of
from pulp_projections.reading.positions import Positions
from pulp_runtime.startup import DependencyAway

from pulp_worker.attempt import Attempt, Tools
from pulp_worker.blaming import LastWord, blame, give_up, no_last_word, tell_stuck
from pulp_worker.claiming import Claiming
from pulp_worker.claims import Claim, Claims
from pulp_worker.guard import BLOCKED_S, Guard, LoopWatch
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.registration import Holder, NameInUse, Registration
from pulp_worker.releases import Releases
from pulp_worker.settings import Settings
from pulp_worker.slots import Slots
from pulp_worker.standings import Standings
from pulp_worker.surroundings import Surroundings

_POLL_S: Final = 2.0
_RETRY_S: Final = 0.5
_SLACK_S: Final = 1.0
_STOPPED: Final = "The worker was stopped while it ran the task."
_LOOK_S: Final = 0.1
_log = logging.getLogger("pulp.worker")


class Worker:
    """All its tasks share one lease, one log, and the connections to Postgres."""

    def __init__(
        self,
        settings: Settings,
        operations: Mapping[str, Loaded],
        *,
        log: Log,
        positions: Positions,
        last_word: LastWord = no_last_word,
        pulse: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`last_word` appends an event from a thread while the loop is blocked.

        `pulse` is told four times a second when the lease ends, from a thread.
        """
        self._settings = settings
        self._operations = operations
        self._registration = Registration(settings)
        self._claims = Claims(settings)
        self._watching = Claims(settings, "watch")  # connections of their own: a cancel never waits behind a claim
        self._parting = Claims(settings, "let-go")
        self._lease = Lease(settings.lease_s)
        self._standings = Standings(self._watching, positions)
        self._positions = positions
        self._releases = Releases(self._parting, positions)
        tools = Tools(
            log=log,
            standings=self._standings,
            releases=self._releases,
            lease=self._lease,
            worker=settings.name,
            surroundings=Surroundings(
                storage=settings.storage.absolute(),
                lease=self._lease,
                grace_s=settings.grace_s,
                environment=settings.environment,
                fetching=settings.fetching,
                isolation=settings.isolation,
            ),
            grace_s=settings.grace_s,
            on_stuck=self._note_stuck,
        )
        self._slots = Slots(operations, tools, may_begin=self._may_begin, freed=lambda: self._claiming.on_freed())
        self._claiming = Claiming(
            settings,
            list(operations),
            self._claims,
            self._slots,
            may_claim=self._may_claim,
            on_doubt=self._doubt,
            instance_id=lambda: self._registration.instance_id,
        )
        self._is_draining = False
        self._log = log
        self._timeline = ""
        self._is_settled = True
        """If not, it may hold claims of which it does not know, and claims nothing: another server has taken over from
        Postgres's primary, or a claim was not answered."""
        self._ends: Mapping[int, int] | None = None
        """Where the log ended after another server had taken over."""
        self._last_word = last_word
        self._watch = LoopWatch(lambda: pulse(self._lease.ends_at_s))
        self._guard = Guard(
            self._lease, self._slots.is_operating, slack_s=_SLACK_S, watch=self._watch, on_overdue=self._blame
        )
        self._has_stuck = asyncio.Event()
        self.is_replaced = False
        """Another process has to take this one's place: an operation goes on that was stopped."""
        self.is_left_operating = False
        """An operation goes on, also after `run` has returned: the process has to be ended, or replaced, at once."""

    async def start(self) -> None:
        """Register; the worker claims nothing before. Raises `NameInUse` if the name's holder is alive.

        A holder that was killed is waited for until its lease has run out. While the database takes no writes it waits
        for the startup timeout, and raises `DependencyAway` then.
        """
        try:
            await self._take_name()
        except BaseException:
            await self._close()
            raise

    async def _take_name(self) -> None:
        seen: Holder | None = None
        told = ""
        give_up_at_s = time.monotonic() + self._settings.startup_timeout_s
        while True:
            sent_at_s = self._lease.now()
            try:
                await self._register()
            except NameInUse as error:
                if seen is None:
                    _log.warning("waiting whether the holder of this name is alive: %s", error)
                if seen not in (None, error.holder) or time.monotonic() > give_up_at_s:
                    raise
                seen = error.holder
                await asyncio.sleep(min(seen.lease_s / 2, 1.0))
            except AWAY as error:
                reason = reason_of(error)
                if time.monotonic() > give_up_at_s:
                    raise DependencyAway(f"the worker cannot register in Postgres: {reason}") from error
                if reason != told:
                    _log.warning("waiting to register in Postgres: %s", reason)
                told = reason
                await asyncio.sleep(_RETRY_S)
            else:
                self._lease.renew(sent_at_s)
                return

    async def run(self, stopping: asyncio.Event, hastening: asyncio.Event) -> None:
        """Work until `stopping` is set, then drain: running tasks get their time, then end `worker-stopped`.

        `hastening` cuts the time short. Returns as well when the process has to be replaced (`is_replaced`). Raises
        `PulpError` where the worker cannot go on.
        """
        self._guard.start()
        loops = (
            self._beat(),
            self._claiming.run(),
            self._claiming.listen(),
            self._follow(),
            self._standings.run(self._slots),
            self._releases.run(),
        )
        background = [asyncio.create_task(loop) for loop in loops]
        stop = asyncio.create_task(stopping.wait())
        replace = asyncio.create_task(self._until_replaceable())
        try:
            done, _ = await asyncio.wait([stop, replace, *background], return_when=asyncio.FIRST_COMPLETED)
            broken = [task.exception() for task in done - {stop, replace}]
            if broken:
                await self._break_off()
            elif stop in done:
                await self._drain(hastening)
            else:
                self.is_replaced = True
                await give_up(self._slots.attempts, self._log)
            for error in broken:
                raise error if isinstance(error, PulpError) else RuntimeError("the worker broke") from error
        finally:
            await self._end([stop, replace, *background])

    async def _end(self, background: "list[asyncio.Task[Any]]") -> None:
        self.is_left_operating = self._slots.is_operating()
        for task in (*background, *self._slots.tasks):
            task.cancel()
        await asyncio.wait([*background, *self._slots.tasks])
        if not self.is_left_operating:
            self._guard.stop()
        await self._close()

    async def _close(self) -> None:
        for closing in (self._claims, self._watching, self._parting, self._registration):
            await closing.close()

    async def _drain(self, hastening: asyncio.Event) -> None:
        self._is_draining = True
        _log.info("draining", extra={"running": len(self._slots.attempts)})
        await self._let_end(self._settings.drain_s, hastening)
        for attempt in self._slots.attempts:
            attempt.stop(ErrorCode.WORKER_STOPPED, _STOPPED)
        await self._let_end(self._settings.grace_s + _SLACK_S, hastening)
        await self._break_off()
        if self._slots.is_operating():
            _log.error(
                "operations do not stop: the process ends, and their resources are free when its lease is over",
                extra={"running": len(self._slots.attempts)},
            )
            return
        try:
            await self._registration.unregister()
        except psycopg.Error as error:
            _log.warning("could not unregister; the lease runs out by itself: %s", reason_of(error))

    def _note_stuck(self, attempt: Attempt) -> None:
        """An operation goes on although it was stopped: its slot is lost to this process."""
        tell_stuck(attempt, running=len(self._slots.attempts))
        self._is_draining = True
        self._has_stuck.set()

    async def _until_replaceable(self) -> None:
        """Returns when operations run that cannot be stopped, and no others."""
        await self._has_stuck.wait()
        while not all(attempt.is_stuck for attempt in self._slots.attempts):  # noqa: ASYNC110  # any of them may end
            await asyncio.sleep(_LOOK_S)

    def _blame(self) -> None:
        """The lease has run out while operations run; from the guard's thread."""
        if self._watch.blocked_s >= BLOCKED_S:
            blame(self._watch, self._slots.attempts, self._last_word)

    async def _break_off(self) -> None:
        for attempt in self._slots.attempts:
            attempt.kill(ErrorCode.WORKER_STOPPED, _STOPPED)
        if self._slots.tasks:
            await asyncio.wait(self._slots.tasks, timeout=self._settings.lease_s)

    async def _let_end(self, limit_s: float, hastening: asyncio.Event) -> None:
        """Returns when no attempt is left, after the time, or when it was cut short."""
        if not self._slots.tasks:
            return
        hasten = asyncio.create_task(hastening.wait())
        ended = asyncio.create_task(asyncio.wait(self._slots.tasks))
        await asyncio.wait([hasten, ended], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (hasten, ended):
            task.cancel()

    async def _may_claim(self) -> bool:
        return not self._is_draining and self._lease.is_live and (self._is_settled or await self._settles())

    def _doubt(self) -> None:
        """A claim was not answered, and may have been made: what came of it is let go of before the next one."""
        if self._is_settled:
            self._is_settled, self._ends = False, {}

    def _may_begin(self, claim: Claim) -> bool:
        """Whether a claimed task may begin now; not when the lease ran out while it was claimed."""
        return not self._is_draining and self._lease.is_live and claim.instance_id == self._registration.instance_id

    async def _beat(self) -> None:
        """Renew the lease three times a lease; when it ran out, stop the operations before anything else."""
        while True:
            if self._lease.is_live:
                await asyncio.sleep(min(self._settings.lease_s / 3, max(0.01, self._lease.left_s)))
            if not self._lease.is_live:
                await self._lose_lease()
                continue
            sent_at_s = self._lease.now()
            try:
                async with asyncio.timeout(max(0.05, self._lease.left_s)):
                    timeline = await self._registration.heartbeat()
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("no heartbeat: %s", reason_of(error) or "Postgres did not answer in time")
                continue
            if timeline is None:
                await self._lose_lease()
                continue
            self._lease.renew(sent_at_s)
            for attempt in self._slots.attempts:
                attempt.extend()
            if timeline != self._timeline:
                await self._put_back(timeline)
            with contextlib.suppress(psycopg.Error, TimeoutError):  # the next heartbeat tells of it again
                async with asyncio.timeout(max(0.05, self._lease.left_s / 4)):
                    await self._registration.settle()

    async def _put_back(self, timeline: str) -> None:
        """Another server has taken over, and may lack the last claims. Tried again with the next heartbeat."""
        _log.warning("Postgres is another server now: putting back the claims", extra={"timeline": timeline})
        self._is_settled, self._ends = False, None
        try:
            held = await self._claims.put_back(self._slots.claimed(), self._registration.instance_id)
        except psycopg.Error as error:
            _log.warning("claims cannot be put back yet: %s", reason_of(error))
            return
        self._timeline = timeline
        for attempt in self._slots.attempts:
            if attempt.claim.attempt_id not in held:
                attempt.lose()

    async def _settles(self) -> bool:
        """Whether the projection has reached what was in the log after another server took over."""
        try:
            if self._ends is None:
                self._ends = await self._log.end_offsets()
            instance_id = self._registration.instance_id
            self._is_settled = await self._claims.settle(self._slots.claimed(), instance_id, self._ends)
        except (LogError, psycopg.Error) as error:
            _log.warning("cannot tell yet whether the read model is complete again: %s", reason_of(error))
        return self._is_settled

    async def _lose_lease(self) -> None:
        for attempt in self._slots.attempts:
            attempt.lose()
        self._registration.become_another()
        _log.warning("the lease has run out", extra={"stopped": len(self._slots.attempts)})

        def warn(error: Exception, _: float) -> None:
            _log.warning("cannot register again yet: %s", reason_of(error))

        sent_at_s = await keep_trying(self._register_again, warn, on=ANY)
        self._lease.renew(sent_at_s)
        self._claiming.wake()

    async def _register_again(self) -> float:
        """When the registration was sent, by the lease's clock."""
        sent_at_s = self._lease.now()
        await self._register()
        return sent_at_s

    async def _register(self) -> None:
        self._timeline = await self._registration.register([loaded.operation for loaded in self._operations.values()])

    async def _follow(self) -> None:
        """Tell of every move of the projection."""
        seen = 0
        while True:
            seen = await self._positions.changed(seen, _POLL_S)
            self._standings.notice()
            self._releases.notice()
