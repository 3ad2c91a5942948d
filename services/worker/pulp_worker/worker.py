"""The worker: runs the tasks assigned to it, keeps its lease, passes on cancels, and drains when told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import psycopg
from pulp_events.clock import ServerClock
from pulp_events.errors import PulpError
from pulp_events.events import ErrorCode
from pulp_events.log import Log
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.plans import BY_KEYS
from pulp_runtime.telemetry.catalog import LEASE_LEFT, OPERATING, SLOTS
from pulp_runtime.telemetry.metric import NO_METER, Meter, Reading
from pulp_runtime.telemetry.tracing import Tracing

from pulp_worker.attempt import Attempt, Tools
from pulp_worker.blaming import LastWord, blame, give_up, no_last_word, tell_stuck
from pulp_worker.claims import Claim, Claims
from pulp_worker.closing import Closing
from pulp_worker.connection import Connection
from pulp_worker.guard import BLOCKED_S, Guard, LoopWatch
from pulp_worker.holds import Holds
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.membership import Membership
from pulp_worker.personal import opener
from pulp_worker.registration import Registration
from pulp_worker.settings import Settings
from pulp_worker.surroundings import Surroundings

_POLL_S: Final = 2.0
_SLACK_S: Final = 1.0
_STOPPED: Final = "The worker was stopped while it ran the task."
_LOOK_S: Final = 0.1
_SPACING_S: Final = 0.05
"""The time between two looks at all claims, including those that wait for nothing; it limits how late a cancel is
noticed."""
_SPACING_EACH_S: Final = 0.001
"""The same per claim, if there are few: then a look costs little."""
_log = logging.getLogger("pulp.worker")


class Worker:
    """All its tasks share one lease, one log, and two connections to Postgres: one listens and looks, one writes."""

    def __init__(
        self,
        settings: Settings,
        operations: Mapping[str, Loaded],
        *,
        log: Log,
        last_word: LastWord = no_last_word,
        pulse: Callable[[float], None] = lambda _: None,
        on_begin: Callable[[], None] = lambda: None,
        meter: Meter = NO_METER,
        tracing: Tracing | None = None,
    ) -> None:
        """`last_word` appends an event from a thread while the loop is blocked.

        `pulse` gets the end of the lease: after each renewal, and from a thread once it has run out.
        `on_begin` is called before each operation on the loop.
        """
        self._settings = settings
        self._log = log
        self._connection = Connection(
            settings.postgres, f"pulp-worker/{settings.name}", timeout_s=settings.lease_s, settings=BY_KEYS
        )
        self._registration = Registration(settings, self._connection)
        self._claims = Claims(settings, self._connection)
        self._lease = Lease(settings.lease_s, on_renewed=pulse)
        self._watch = LoopWatch(on_begin)
        tools = Tools(
            log=log,
            lease=self._lease,
            worker=settings.name,
            surroundings=Surroundings(
                storage=settings.storage.absolute(),
                lease=self._lease,
                loop_watch=self._watch,
                grace_s=settings.grace_s,
                environment=settings.environment,
                fetching=settings.fetching,
                isolation=settings.isolation,
                open_personal=opener(self._connection, settings.personal_key_file),
            ),
            grace_s=settings.grace_s,
            on_stuck=self._note_stuck,
            meter=meter,
            tracing=tracing,
        )
        self._holds = Holds(operations, tools, may_begin=self._may_begin, on_change=lambda: self._closing.wake())
        self._closing = Closing(self._claims, lambda: self._holds.attempts)
        self._draining = asyncio.Event()
        self._membership = Membership(
            settings,
            [loaded.operation for loaded in operations.values()],
            registration=self._registration,
            lease=self._lease,
            claims=self._claims,
            holds=self._holds,
            closing=self._closing,
            meter=meter,
        )
        self._last_word = last_word
        self._guard = Guard(
            self._lease,
            self._holds.is_operating,
            slack_s=_SLACK_S,
            watch=self._watch,
            pulse=pulse,
            on_overdue=self._blame,
        )
        self._has_stuck = asyncio.Event()
        self.is_replaced = False
        """Another process must take this one's place: an operation keeps running although it was stopped."""
        self.is_left_operating = False
        """An operation keeps running even after `run` has returned: the process must end, or be replaced, now."""

    @property
    def postgres_clock(self) -> ServerClock:
        """How far Postgres's clock is off, measured by heartbeats."""
        return self._registration.postgres_clock

    async def readings(self) -> list[Reading]:
        """The gauges of its slots and its lease."""
        operating = sum(attempt.is_operating for attempt in self._holds.attempts)
        return [
            Reading(SLOTS, self._settings.concurrency),
            Reading(OPERATING, operating),
            Reading(LEASE_LEFT, max(0.0, self._lease.left_s)),
        ]

    async def start(self) -> None:
        """Register; nothing is assigned to the worker before. Raises `NameInUse` if the name's holder is alive.

        It waits for a holder that was killed until that holder's lease has run out. If the database takes no writes for
        the startup timeout, it raises `DependencyAway`.
        """
        try:
            await self._membership.take_name()
        except BaseException:
            await self._close()
            raise

    async def run(self, stopping: asyncio.Event, hastening: asyncio.Event) -> None:
        """Work until `stopping` is set, then drain: running tasks get their time, then end `worker-stopped`.

        `hastening` cuts the time short. It also returns if the process must be replaced (`is_replaced`). Raises
        `PulpError` if the worker cannot go on.
        """
        self._guard.start()
        loops = (self._membership.keep(), self._follow(), self._closing.run(), self._declare_draining())
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
                await self._give_up()
            for error in broken:
                raise error if isinstance(error, PulpError) else RuntimeError("the worker broke") from error
        finally:
            await self._end([stop, replace, *background])

    async def _end(self, background: "list[asyncio.Task[Any]]") -> None:
        self.is_left_operating = self._holds.is_operating()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await self._holds.abandon()
        if not self.is_left_operating:
            self._guard.stop()
        await self._close()

    async def _close(self) -> None:
        await self._claims.close()
        await self._connection.close()

    async def _drain(self, hastening: asyncio.Event) -> None:
        self._begin_to_drain()
        _log.info("draining", extra={"running": len(self._holds.attempts)})
        await self._let_end(self._settings.drain_s, hastening)
        for attempt in self._holds.attempts:
            attempt.stop(ErrorCode.WORKER_STOPPED, _STOPPED)
        await self._let_end(self._settings.grace_s + _SLACK_S, hastening)
        await self._break_off()
        if self._holds.is_operating():
            _log.error(
                "operations do not stop: the process ends, and their resources are free when its lease is over",
                extra={"running": len(self._holds.attempts)},
            )
            return
        try:
            await self._registration.unregister()
        except psycopg.Error as error:
            _log.warning("could not unregister; the lease runs out by itself: %s", reason_of(error))

    def _begin_to_drain(self) -> None:
        """Begin nothing more, and leave nothing that has ended to the dispatcher."""
        self._draining.set()
        self._holds.withdraw()
        self._closing.is_hurried = True
        self._closing.wake()

    async def _declare_draining(self) -> None:
        """Once the worker drains, notify the dispatcher, and wait for ever."""
        await self._draining.wait()

        def warn(error: Exception, _: float) -> None:
            _log.warning("cannot tell the dispatcher yet that this worker drains: %s", reason_of(error))

        await keep_trying(self._registration.drain, warn, on=ANY)
        await asyncio.Event().wait()

    def _note_stuck(self, attempt: Attempt) -> None:
        """An operation keeps running although it was stopped: this process has lost its slot."""
        tell_stuck(attempt, running=len(self._holds.attempts))
        self._begin_to_drain()
        self._has_stuck.set()

    async def _until_replaceable(self) -> None:
        """Returns when only operations that cannot be stopped still run.

        It immediately gives up those of attempts that were ended so that their tasks are retried: otherwise the next
        attempt would cost the next worker its process.
        """
        await self._has_stuck.wait()
        while not all(attempt.is_stuck for attempt in self._holds.attempts):  # any of them may end
            await give_up([each for each in self._holds.attempts if each.is_stuck and each.is_over], self._log)
            await asyncio.sleep(_LOOK_S)

    async def _give_up(self) -> None:
        """Give up all attempts, as long as the lease lasts: after that, the tasks belong to a lost worker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lease_s):
                while not await give_up(self._holds.attempts, self._log):  # noqa: ASYNC110  # the log may come back
                    await asyncio.sleep(_LOOK_S)

    def _blame(self) -> None:
        """The lease has run out while operations run; from the guard's thread."""
        if self._watch.blocked_s >= BLOCKED_S:
            blame(self._watch, self._holds.attempts, self._last_word)

    async def _break_off(self) -> None:
        for attempt in self._holds.attempts:
            attempt.kill(ErrorCode.WORKER_STOPPED, _STOPPED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lease_s):
                await self._holds.until_empty()

    async def _let_end(self, limit_s: float, hastening: asyncio.Event) -> None:
        """Returns when no attempt is left, after the time, or when that is cut short."""
        hasten = asyncio.create_task(hastening.wait())
        ended = asyncio.create_task(self._holds.until_empty())
        await asyncio.wait([hasten, ended], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (hasten, ended):
            task.cancel()

    def _may_begin(self, claim: Claim) -> bool:
        """Whether an assigned task may begin now; not when the lease ran out since it was assigned."""
        return (
            not self._draining.is_set() and self._lease.is_live and claim.instance_id == self._registration.instance_id
        )

    async def _follow(self) -> None:
        """Look whenever there may be news: assignments, starts that took effect, tasks that others have ended."""

        async def follow() -> None:
            loop, whole_at_s, is_behind = asyncio.get_running_loop(), 0.0, False
            while True:
                # An idle worker needs no polling besides notifications: its heartbeats report what it has missed.
                spacing_s = min(_SPACING_S, _SPACING_EACH_S * len(self._holds.attempts))
                rest_s = _POLL_S if self._holds.attempts else None
                heard = await self._claims.heard(spacing_s if is_behind else rest_s)
                self._closing.positions = {**self._closing.positions, **heard.positions}
                is_due = heard.has_news or heard.is_nothing or is_behind
                is_whole = is_due and loop.time() - whole_at_s >= spacing_s
                if is_whole:
                    whole_at_s = loop.time()
                asked = self._holds.begun if is_whole else self._holds.confirmable(self._closing.positions)
                if heard.must_look or (asked and (heard.is_nothing or self._holds.needs_looks())):
                    await self._look(asked)
                is_behind = is_due and not is_whole and self._holds.needs_looks()
                self._closing.wake()

        async def warn(error: Exception, _: float) -> None:
            _log.warning("cannot see what is assigned, nor how tasks are: %s", reason_of(error))
            if self._registration.is_blind:  # since the last try, so assigned tasks should not wait for this worker
                with contextlib.suppress(psycopg.Error):
                    await self._claims.release_others(self._registration.instance_id, self._holds.claims)
            self._registration.is_blind = True

        await keep_trying(follow, warn, on=ANY)

    async def _look(self, asked: Collection[Claim]) -> None:
        instance_id = self._registration.instance_id
        look = await self._claims.look(instance_id, asked, self._holds.hold_ids)
        self._registration.is_blind = False
        self._closing.positions = look.positions
        self._holds.see(look)
        # A server that took over may bring back claims that were given up: they are released when this worker puts back
        # its own.
        if look.timeline == self._membership.timeline:
            self._holds.take(look.assigned)
