"""A worker's heartbeats, above all when another Postgres has taken over; registration and claims are doubles."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import psycopg
import pytest
from pulp_events.topics import Topics
from pulp_worker.attempt import Attempt
from pulp_worker.claims import Claim, Claims
from pulp_worker.closing import Closing
from pulp_worker.holds import Holds
from pulp_worker.lease import Lease
from pulp_worker.membership import Membership
from pulp_worker.registration import Registration
from pulp_worker.settings import Settings

LIMIT_S = 10
INSTANCE = uuid4()


class OneAttempt:
    """Records its calls."""

    def __init__(self, instance_id: UUID) -> None:
        self.claim = Claim(uuid4(), 0, "noop", b"{}", None, 1, uuid4(), instance_id, uuid4(), 0, {"r": 1})
        self.is_lost = False

    def lose(self) -> None:
        self.is_lost = True

    def extend(self) -> None:
        """Nothing: it goes on."""


class Server:
    """A Postgres that has just taken over. Each of `answers` is what one call of `put_back` finds held, or an error."""

    timeline = "2"
    has_holds = True
    may_rest = False
    is_listening = True
    is_resting = False

    def __init__(self, *answers: Sequence[UUID] | psycopg.Error) -> None:
        self.instance_id = INSTANCE
        self.asked: list[list[UUID]] = []
        self._answers = list(answers)
        self.beats = 0
        """Heartbeats after the last answer."""

    async def heartbeat(self) -> str:
        self.beats += not self._answers
        return self.timeline

    async def settle(self) -> None:
        """Nothing: all workers declare the same."""

    async def put_back(self, instance_id: UUID, held: Sequence[Claim]) -> frozenset[UUID]:
        assert instance_id == INSTANCE
        self.asked.append([claim.attempt_id for claim in held])
        answer = self._answers.pop(0)
        if isinstance(answer, psycopg.Error):
            raise answer
        return frozenset(answer)


class HoldsOf:
    """Holds with only these attempts."""

    def __init__(self, *attempts: OneAttempt) -> None:
        self.attempts = list(attempts)

    @property
    def claims(self) -> list[Claim]:
        return [attempt.claim for attempt in self.attempts]


async def taken_over(server: Server, *attempts: OneAttempt) -> str:
    """The timeline that the worker follows, some heartbeats after the last answer."""
    return await kept(server, cast(Claims, server), HoldsOf(*attempts), lambda: server.beats)


async def kept(registration: object, claims: Claims, holds: HoldsOf, beats: Callable[[], int]) -> str:
    """The timeline that the worker follows after three heartbeats."""
    lease = Lease(60)
    lease.renew(lease.now())
    settings = Settings(
        kafka="", postgres="", topics=Topics.named("t"), storage=Path(), name="w1", lease_s=0.03, startup_timeout_s=1
    )
    membership = Membership(
        settings,
        [],
        registration=cast(Registration, registration),
        lease=lease,
        claims=claims,
        holds=cast(Holds, holds),
        closing=Closing(claims, lambda: cast(list[Attempt], [])),
    )
    membership.timeline = "1"
    keeping = asyncio.create_task(membership.keep())
    async with asyncio.timeout(LIMIT_S):
        while beats() < 3 and not keeping.done():  # noqa: ASYNC110  # it is told of nothing
            await asyncio.sleep(0.001)
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    return membership.timeline


async def test_claims_are_put_back_once() -> None:
    mine, former = OneAttempt(INSTANCE), OneAttempt(uuid4())
    server = Server([mine.claim.attempt_id])
    assert await taken_over(server, mine, former) == "2"
    assert server.asked == [[mine.claim.attempt_id]]  # not the earlier lease's attempt
    assert not mine.is_lost


async def test_a_server_that_is_away_is_asked_again() -> None:
    mine = OneAttempt(INSTANCE)
    server = Server(psycopg.OperationalError("away"), psycopg.OperationalError("away"), [mine.claim.attempt_id])
    assert await taken_over(server, mine) == "2"
    assert not mine.is_lost


@pytest.mark.parametrize("is_found", [True, False])
async def test_who_cannot_be_put_back_is_lost_at_the_second_time(is_found: bool) -> None:
    """At the first time, holds that others gave up may still be in the way."""
    one, other = OneAttempt(INSTANCE), OneAttempt(INSTANCE)
    ids = [one.claim.attempt_id, other.claim.attempt_id]
    server = Server(ids[:1], ids if is_found else ids[:1])
    assert await taken_over(server, one, other) == "2"
    assert server.asked == [ids, ids]
    assert (one.is_lost, other.is_lost) == (False, not is_found)


class Resting(Server):
    """A dispatcher that lets the worker rest; `agrees`: whether it still does when the worker is about to rest."""

    timeline = "1"
    has_holds = False
    may_rest = True

    def __init__(self, *, agrees: bool = True) -> None:
        super().__init__()
        self._agrees = agrees
        self.steps: list[str] = []

    async def rest_now(self) -> bool:
        self.steps.append("ask")
        self.is_listening = not self._agrees
        return self._agrees

    async def listen_now(self) -> None:
        self.steps.append("tell")
        self.is_listening = True


class Ears:
    """The part of a worker's claims that listens."""

    def __init__(self, server: Resting) -> None:
        self._server = server
        self.is_resting = False

    def rest(self) -> None:
        self._server.steps.append("stop")
        self.is_resting = True

    async def listen(self) -> None:
        self._server.steps.append("listen")
        self.is_resting = False

    def look_again(self) -> None:
        """Nothing: it looks."""


async def steps(server: Resting, *attempts: OneAttempt, is_resting: bool = False) -> list[str]:
    """What the worker does about listening within three heartbeats."""
    ears = Ears(server)
    ears.is_resting = is_resting
    registration = SimpleNamespace(
        instance_id=INSTANCE,
        has_holds=server.has_holds,
        may_rest=server.may_rest,
        heartbeat=server.heartbeat,
        settle=server.settle,
        rest=server.rest_now,
        listen=server.listen_now,
    )

    async def heartbeat() -> str:
        registration.is_listening = server.is_listening
        return await server.heartbeat()

    registration.heartbeat = heartbeat
    await kept(registration, cast(Claims, ears), HoldsOf(*attempts), lambda: server.beats)
    return server.steps


async def test_a_worker_that_may_rest_tells_before_it_stops_listening() -> None:
    assert await steps(Resting()) == ["ask", "stop"]


async def test_a_worker_that_is_woken_meanwhile_goes_on_listening() -> None:
    assert set(await steps(Resting(agrees=False))) == {"ask"}


async def test_a_worker_with_a_task_does_not_rest() -> None:
    assert await steps(Resting(), OneAttempt(INSTANCE)) == []


@pytest.mark.parametrize("why", ["woken", "assigned"])
async def test_a_worker_that_rests_listens_before_it_says_so(why: str) -> None:
    server = Resting()
    server.is_listening = False
    if why == "woken":
        server.may_rest = False
    else:
        server.has_holds = True
    assert await steps(server, is_resting=True) == ["listen", "tell"]


async def test_a_worker_of_which_the_database_says_that_it_does_not_listen_says_that_it_does() -> None:
    """Its last message was lost."""
    server = Resting()
    server.is_listening = server.may_rest = False
    assert await steps(server) == ["listen", "tell"]
