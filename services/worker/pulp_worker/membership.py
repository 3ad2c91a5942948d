"""The worker's name, its lease, and its claims on each Postgres server that takes over."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

import psycopg
from pulp_projections.away import ANY, AWAY, keep_trying, reason_of
from pulp_runtime.startup import DependencyAway
from pulp_runtime.telemetry.catalog import HEARTBEAT_SECONDS, HEARTBEATS_FAILED, LEASES_LOST
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_worker.claims import Claims
from pulp_worker.closing import Closing
from pulp_worker.holds import Holds
from pulp_worker.lease import Lease
from pulp_worker.registration import NameHolder, NameInUse, Registration
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")


class Membership:
    """Takes the name, renews the lease, and takes the name again, with another instance id, if the lease was lost."""

    def __init__(
        self,
        settings: Settings,
        operations: Sequence[Operation],
        *,
        registration: Registration,
        lease: Lease,
        claims: Claims,
        holds: Holds,
        closing: Closing,
        meter: Meter = NO_METER,
    ) -> None:
        self.timeline = ""
        """The timeline of the server that has all of this worker's claims."""
        self._lease_s = settings.lease_s
        self._startup_timeout_s = settings.startup_timeout_s
        self._operations = operations
        self._registration = registration
        self._lease = lease
        self._claims = claims
        self._holds = holds
        self._closing = closing
        self._meter = meter
        self._has_failed_to_put_back = False

    async def take_name(self) -> None:
        """Register, and wait for a holder of the name that was killed until its lease has run out.

        Raises `NameInUse` if the holder is alive, and `DependencyAway` if the database takes no writes for the startup
        timeout.
        """
        loop = asyncio.get_running_loop()
        seen: NameHolder | None = None
        told = ""
        give_up_at_s = loop.time() + self._startup_timeout_s
        while True:
            sent_at_s = self._lease.now()
            try:
                await self._claims.listen()  # first, so that it sees what is assigned to it
                await self._register()
            except NameInUse as error:
                if seen is None:
                    _log.warning("waiting whether the holder of this name is alive: %s", error)
                if seen not in (None, error.holder) or loop.time() > give_up_at_s:
                    raise
                seen = error.holder
                await asyncio.sleep(min(seen.lease_s / 2, 1.0))
            except AWAY as error:
                reason = reason_of(error)
                if loop.time() > give_up_at_s:
                    raise DependencyAway(f"the worker cannot register in Postgres: {reason}") from error
                if reason != told:
                    _log.warning("waiting to register in Postgres: %s", reason)
                told = reason
                await asyncio.sleep(_RETRY_S)
            else:
                self._lease.renew(sent_at_s)
                return

    async def keep(self) -> None:
        """Renew the lease, three times in its length, for ever; if it runs out, stop the operations first."""
        while True:
            if self._lease.is_live:
                await asyncio.sleep(min(self._lease_s / 3, max(0.01, self._lease.left_s)))
            if not self._lease.is_live:
                await self._lose_lease()
                continue
            sent_at_s = self._lease.now()
            try:
                async with asyncio.timeout(max(0.05, self._lease.left_s)):
                    timeline = await self._registration.heartbeat()
            except (psycopg.Error, TimeoutError) as error:
                self._meter.count(HEARTBEATS_FAILED)
                _log.warning("no heartbeat: %s", reason_of(error) or "Postgres did not answer in time")
                continue
            if timeline is None:
                await self._lose_lease()
                continue
            self._lease.renew(sent_at_s)
            self._meter.observe(HEARTBEAT_SECONDS, self._lease.now() - sent_at_s)
            for attempt in self._holds.attempts:
                attempt.extend()
            if self._registration.has_holds and not self._holds.attempts:
                self._claims.look_again()
            with contextlib.suppress(psycopg.Error):  # the next heartbeat tries again
                await self._rest_or_listen()
            if timeline != self.timeline:
                await self._put_back(timeline)
            with contextlib.suppress(psycopg.Error, TimeoutError):  # the next heartbeat reports it again
                async with asyncio.timeout(max(0.05, self._lease.left_s / 4)):
                    await self._registration.settle()

    async def _rest_or_listen(self) -> None:
        """Rest or listen, as the dispatcher says. Each listener costs Postgres time at every notification in the
        database.
        """
        may_rest = self._registration.may_rest and not self._registration.has_holds and not self._holds.attempts
        if may_rest and not self._claims.is_resting:
            if await self._registration.rest():
                self._claims.rest()
        elif not may_rest and (self._claims.is_resting or not self._registration.is_listening):
            await self._claims.listen()  # first, so that it hears what is assigned to it
            await self._registration.listen()

    async def _put_back(self, timeline: str) -> None:
        """Another server has taken over, and may lack the last claims. The next heartbeat tries again.

        A resource may be reserved by claims that others had released, and will soon release again. A claim that cannot
        get it in time is lost: nothing is assigned for the length of a lease after a failover, but after that somebody
        else may get it.
        """
        _log.warning("Postgres is another server now: putting back the claims", extra={"timeline": timeline})
        instance_id = self._registration.instance_id
        try:
            async with self._closing.lock:
                held = [claim for claim in self._holds.claims if claim.instance_id == instance_id]
                found = await self._claims.put_back(instance_id, held)
        except psycopg.Error as error:
            _log.warning("claims cannot be put back yet: %s", reason_of(error))
            return
        missing = {claim.attempt_id for claim in held} - found
        if missing and not self._has_failed_to_put_back:
            self._has_failed_to_put_back = True
            return
        self.timeline, self._has_failed_to_put_back = timeline, False
        for attempt in self._holds.attempts:
            if attempt.claim.attempt_id in missing:
                attempt.lose()

    async def _lose_lease(self) -> None:
        self._meter.count(LEASES_LOST)
        attempts = self._holds.attempts
        for attempt in attempts:
            attempt.lose()
        self._registration.become_another()
        _log.warning("the lease has run out", extra={"stopped": len(attempts)})

        def warn(error: Exception, _: float) -> None:
            _log.warning("cannot register again yet: %s", reason_of(error))

        sent_at_s = await keep_trying(self._register_again, warn, on=ANY)
        self._lease.renew(sent_at_s)

    async def _register_again(self) -> float:
        """Returns when the registration was sent, by the lease's clock."""
        sent_at_s = self._lease.now()
        await self._register()
        return sent_at_s

    async def _register(self) -> None:
        if self._claims.is_resting:
            await self._claims.listen()
        self.timeline = await self._registration.register(self._operations)
        self._has_failed_to_put_back = False
