"""Claims: the tasks that are assigned to this worker."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from msgspec.json import Decoder
from pulp_events.events import Retry
from pulp_events.retries import Attempts
from pulp_events.task import State
from pulp_projections.channels import KNOWN, worker_channel
from pulp_projections.notices import Notices
from pulp_projections.plans import BY_KEYS
from pulp_projections.sql import load, uuid_array

from pulp_worker.connection import Connection
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "claims.sql")
_MOST_AT_ONCE: Final = 200
"""The most claims in a statement whose notification names their holds: a notification has at most 8,000 bytes."""


class Claim(NamedTuple):
    """A task assigned to this worker; nobody else may run it, or a task that conflicts with it."""

    task_id: UUID
    partition: int
    operation: str
    arguments: bytes
    correlation_id: str | None
    attempt: int
    attempt_id: UUID
    instance_id: UUID
    hold_id: UUID
    """The slot that it runs in. The tasks of one hold run one after another, and share its reservations."""
    place: int
    """In the hold, from 0 on."""
    tokens: Mapping[str, int]
    """Resource → fencing token."""
    exclusive: frozenset[str] = frozenset()
    """Its resources that nobody else may use."""
    attempts: Attempts = Attempts()
    traceparent: str | None = None
    """The context of the span that assigned it, if it is traced."""


class Status(NamedTuple):
    """The status of a claimed task, from the projection and the claims."""

    state: State
    is_current: bool
    """This attempt is the task's effective one."""
    is_held: bool
    """Its claim is neither ended nor released."""
    is_past: bool = False
    """It was the effective attempt, or lost to another one: the task goes on without it, or has ended."""


class Look(NamedTuple):
    """The result of a look, from one snapshot."""

    timeline: str
    """The server's timeline: if it differs from that of the last heartbeat, another server has taken over."""
    positions: Mapping[int, int]
    """Partition → next offset of the projection."""
    statuses: Mapping[UUID, Status]
    """By attempt id, of the claims that were asked for and whose tasks the read model has."""
    assigned: Sequence[Claim]
    """In the order of holds and places."""


class Heard(NamedTuple):
    """The notifications for this worker."""

    must_look: bool
    """Something was assigned to it, or may have been: it has only just begun to listen."""
    positions: Mapping[int, int]
    """Partition → next offset, of the moves of the projection that concern this worker."""
    has_news: bool = True
    """One of them shows more than what this worker itself has done."""

    @property
    def is_nothing(self) -> bool:
        """The timeout passed."""
        return not self.must_look and not self.positions


class Claims:
    """This worker's claims in Postgres. Every call raises `psycopg.OperationalError` while Postgres is away.

    It listens and looks on a connection of its own, and ends and releases claims on the given one.
    """

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._notices: Notices | None = None
        self._must_look = self._has_news = False
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._positions: dict[int, int] = {}
        self._limit_s = settings.lease_s / 3  # a heartbeat may wait behind it

    async def close(self) -> None:
        """Stop listening."""
        notices, self._notices = self._notices, None
        if notices is not None:
            await notices.close()

    async def listen(self) -> None:
        """Connect, and receive notifications from now on, also after `rest`."""
        async with self._watching():
            pass
        self._is_awake.set()  # not before: `heard` would connect as well

    @property
    def is_resting(self) -> bool:
        """Whether it is disconnected until `listen`."""
        return not self._is_awake.is_set()

    def rest(self) -> None:
        """Disconnect, and receive nothing until `listen`."""
        self._is_awake.clear()
        if self._notices is not None:
            self._notices.wake()

    def look_again(self) -> None:
        """Something may have been assigned to this worker without a notification that it received."""
        self._must_look = True
        if self._notices is not None:
            self._notices.wake()

    async def heard(self, timeout_s: float | None) -> Heard:
        """The notifications since the last call; without any, it waits for one, at most this long."""
        if self.is_resting:
            await self.close()
            await self._is_awake.wait()
        async with self._watching() as notices:
            if not self._must_look and not self._positions:
                await notices.hear(timeout_s)
        heard = Heard(self._must_look, self._positions, self._has_news)
        self._must_look, self._positions, self._has_news = False, {}, False
        return heard

    async def look(self, instance_id: UUID, asked: Collection[Claim], holds: Iterable[UUID] | None = None) -> Look:
        """The status of the given claims, and what is assigned to this process besides the given holds.

        `holds` are by default those of the claims.
        """
        values = {
            "worker": self._settings.name,
            "instance_id": instance_id,
            "hold_ids": uuid_array({claim.hold_id for claim in asked} if holds is None else holds),
            **_ids(asked),
            "attempts": [claim.attempt for claim in asked],
        }
        async with self._watching() as notices:
            try:
                async with asyncio.timeout(self._settings.lease_s):
                    cursor = await notices.connection.execute(_SQL["look"], values, prepare=True)
                    [(text,)] = await cursor.fetchall()
            except TimeoutError as error:
                raise psycopg.OperationalError("Postgres did not answer in time") from error
        timeline, positions, statuses, assigned = _DECODER.decode(text)
        return Look(
            timeline,
            positions,
            dict(statuses),
            sorted([_claim(instance_id, *row) for row in assigned], key=lambda claim: (claim.hold_id, claim.place)),
        )

    async def end(self, claims: Iterable[Claim]) -> frozenset[UUID]:
        """End the claims of tasks that are final in the read model; returns the attempts of the others. Idempotent."""
        kept: set[UUID] = set()
        async with self._connection.use(self._limit_s) as connection:
            for some in _batches(claims):
                cursor = await connection.execute(_SQL["end"], _ids(some), prepare=True)
                [(others, _)] = await cursor.fetchall()
                kept.update(others)
        return frozenset(kept)

    async def release(self, claims: Iterable[Claim]) -> None:
        """Release claims of tasks that have not ended: their numbers stay taken, other attempts may come.

        It may be repeated.
        """
        async with self._connection.use(self._limit_s) as connection:
            for some in _batches(claims):
                await connection.execute(_SQL["release"], _ids(some), prepare=True)

    async def release_others(self, instance_id: UUID, known: Collection[Claim]) -> None:
        """Release anything that is assigned to this process without its knowledge, so that others may run it."""
        values = {"worker": self._settings.name, "instance_id": instance_id, **_ids(known)}
        async with self._connection.use(self._limit_s) as connection:
            await connection.execute(_SQL["release_others"], values)

    async def put_back(self, instance_id: UUID, held: Sequence[Claim]) -> frozenset[UUID]:
        """Claim again what is held, as it was, on a server that may have lost it; returns the attempts that are held
        now.

        An attempt is also missing while another hold, which came back with that server, reserves one of its resources:
        then repeat the call. Anything else that this process has there is released.
        """
        values = {"worker": self._settings.name, "instance_id": instance_id, **_ids(held), **_held(held)}
        async with self._connection.use() as connection, connection.transaction():
            await connection.execute(_SQL["see_timeline"])
            await connection.execute(_SQL["release_others"], values)
            await connection.execute(_SQL["delete_other_holds"], values)
            await connection.execute(_SQL["put_back"], values)
            cursor = await connection.execute(_SQL["held"], values)
            return frozenset([attempt_id for (attempt_id,) in await cursor.fetchall()])

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[Notices]:
        """The connection that listens; a new one after an error, when notifications may have been missed."""
        try:
            if self._notices is None:
                name = f"pulp-worker/{self._settings.name}/watch"
                channels = (worker_channel(self._settings.name),)
                self._notices = await Notices.open(self._settings.postgres, name, channels, self._hear, BY_KEYS)
                self._must_look = True
            yield self._notices
        except BaseException:
            await self.close()
            raise

    def _hear(self, _channel: str, payload: str) -> None:
        words = payload.split()
        try:
            _, partition, offset = map(int, words[:3])
        except ValueError:  # `ASSIGNED`, or any text: every role that may connect can notify
            self._must_look = True
            return
        self._positions[partition] = offset
        self._has_news |= words[3:] != [KNOWN]


_AssignedRow = tuple[
    UUID,
    int,
    str,
    str,
    str | None,
    int,
    UUID,
    UUID,
    int,
    tuple[str, ...],
    tuple[int, ...],
    frozenset[str],
    Retry | None,
    int,
    datetime | None,
    str | None,
]
_DECODER: Final = Decoder(tuple[str, dict[int, int], list[tuple[UUID, Status]], list[_AssignedRow]])


def _claim(instance_id: UUID, *row: *_AssignedRow) -> Claim:
    task_id, partition, operation, arguments, correlation_id, attempt, attempt_id, hold_id, place = row[:9]
    resources, tokens, exclusive, retry, failed, deadline, traceparent = row[9:]
    return Claim(
        task_id,
        partition,
        operation,
        arguments.encode(),
        correlation_id,
        attempt,
        attempt_id,
        instance_id,
        hold_id,
        place,
        dict(zip(resources, tokens, strict=True)),
        exclusive,
        Attempts(retry, failed, deadline),
        traceparent,
    )


def _ids(claims: Collection[Claim]) -> dict[str, str]:
    return {
        "task_ids": uuid_array([claim.task_id for claim in claims]),
        "attempt_ids": uuid_array([claim.attempt_id for claim in claims]),
    }


def _batches(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    left = list(claims)
    while left:
        yield left[:_MOST_AT_ONCE]
        del left[:_MOST_AT_ONCE]


def _held(held: Sequence[Claim]) -> dict[str, object]:
    """Each hold's reservations are those of its first remaining task."""
    first = {claim.hold_id: claim for claim in sorted(held, key=lambda claim: -claim.place)}
    reserved = [(claim, *use) for claim in first.values() for use in claim.tokens.items()]
    return {
        "attempts": [claim.attempt for claim in held],
        "partitions": [claim.partition for claim in held],
        "hold_ids": uuid_array([claim.hold_id for claim in held]),
        "places": [claim.place for claim in held],
        "tokens": [f"{{{','.join(map(str, claim.tokens.values()))}}}" for claim in held],
        "reserving": uuid_array([claim.hold_id for claim, _, _ in reserved]),
        "resources": [resource for _, resource, _ in reserved],
        "exclusives": [resource in claim.exclusive for claim, resource, _ in reserved],
        "reserved": [token for _, _, token in reserved],
    }
