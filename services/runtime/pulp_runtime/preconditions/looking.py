"""Runs all checks of preconditions, for `readyz`, `status` and `pulp-tasks doctor`."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from pulp_events import admin, topic_states
from pulp_events.clock import Offset, ServerClock
from pulp_events.errors import LogRefused, LogUnavailable, SettingsError
from pulp_events.findings import Finding, Severity
from pulp_events.kafka import Kafka, Servers
from pulp_events.topics import Topics
from pulp_projections.connection import certificate_files, connect

from pulp_runtime.installation import Installation
from pulp_runtime.preconditions import (
    clocks,
    connections,
    database,
    deliveries,
    dispatch,
    expiry,
    folders,
    parked,
    pooling,
)

_LIMIT_S: Final = 5.0
_silent: Final = logging.getLogger("pulp.preconditions.kafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What to check; None for a part that this process does not use."""

    kafka: Servers | None
    postgres: str | None
    topics: Topics
    storage: Path | None = None
    certificates: tuple[Path, ...] = ()
    """Certificates that this process presents to its clients."""
    clock_bound_s: float = 2.0
    archive: str | None = None
    """The archive of the events topic, which may then have a retention limit."""
    looks_at_dispatch: bool = False
    """Whether to also look for tasks that nothing will run or that are parked, and for subscriptions that deliver
    nothing."""
    broker_clock: ServerClock = field(default_factory=ServerClock)
    """Measured by appends of events; a check writes nothing itself."""
    postgres_clock: ServerClock = field(default_factory=ServerClock)
    """Measured by statements that the process sends anyhow; `look` measures it by itself."""


def place_of(
    installation: Installation,
    *,
    broker_clock: ServerClock,
    postgres_clock: ServerClock | None = None,
    storage: Path | None = None,
    certificates: tuple[Path, ...] = (),
) -> Place:
    """What a process of an installation checks."""
    return Place(
        kafka=installation.kafka,
        postgres=installation.postgres,
        topics=installation.topics,
        archive=installation.archive,
        storage=storage,
        certificates=certificates,
        clock_bound_s=installation.clock_bound_s,
        broker_clock=broker_clock,
        postgres_clock=postgres_clock or ServerClock(),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, worst first, and the parts that could not be checked."""

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding; None without findings."""
        return self.findings[0].severity if self.findings else None

    @property
    def endangers_data(self) -> bool:
        """Whether it is dangerous to continue. A part that is merely down endangers nothing."""
        return any(each.severity is Severity.FAULT and each.check not in AWAY for each in self.findings)


AWAY = frozenset({"kafka-away", "kafka-refused", "postgres-away", "kafka-unset", "postgres-unset"})


async def look(place: Place) -> Report:
    """Run every possible check concurrently. Takes a few seconds at most, and does not block the event loop."""
    return _joined(await asyncio.gather(_kafka(place), _postgres(place), _storage(place), _certificates(place)))


async def look_here(place: Place) -> Report:
    """Check only what this process alone can see, without asking a server: its storage, its certificates, and the
    clocks.

    For kinds of processes that run in large numbers; the others check the brokers, the topics and the database.
    """
    seen = clocks.judge(place.broker_clock.take(), place.postgres_clock.take(), place.clock_bound_s)
    return _joined([Report(tuple(seen)), *await asyncio.gather(_storage(place), _certificates(place))])


def _joined(parts: Sequence[Report]) -> Report:
    found = [each for part in parts for each in part.findings]
    order = list(Severity)
    found.sort(key=lambda each: order.index(each.severity))
    return Report(tuple(found), tuple(each for part in parts for each in part.unchecked))


async def _kafka(place: Place) -> Report:
    if not place.kafka:
        return Report(
            (_unset("kafka-unset", "Kafka", "PULP_KAFKA"),), ("brokers and topics", "the clock of the brokers")
        )
    servers = place.kafka
    try:
        found, newest_s = await asyncio.to_thread(_look_at_kafka, servers, place.topics, place.archive)
    except (LogUnavailable, LogRefused, SettingsError) as error:
        check = "kafka-away" if isinstance(error, LogUnavailable) else "kafka-refused"
        mend = "start it, or correct PULP_KAFKA" if check == "kafka-away" else "correct PULP_KAFKA_… and the ACLs"
        away = _away(check, "Kafka", error, "nothing can be submitted, and no task goes on", mend)
        return Report((away,), ("brokers and topics", "the clock of the brokers"))
    offset = place.broker_clock.take() or _ahead(newest_s)
    return Report((*found, *clocks.judge(offset, None, place.clock_bound_s)))


def _look_at_kafka(servers: Servers, topics: Topics, archive: str | None) -> tuple[list[Finding], float | None]:
    # The client's own log lines, one every few milliseconds while no broker answers, are replaced by one finding.
    connection = admin.connect(servers, logger=_silent)
    found = topic_states.findings(connection, topics, is_archived=archive is not None, timeout_s=_LIMIT_S)
    return found, topic_states.newest_time_s(connection, topics.events, timeout_s=_LIMIT_S)


def _ahead(newest_s: float | None) -> Offset | None:
    """The offset by the newest record's time: a time in the future shows a clock ahead, one in the past nothing."""
    now_s = time.time()
    return Offset(newest_s - now_s, newest_s - now_s) if newest_s is not None and newest_s > now_s else None


async def _postgres(place: Place) -> Report:
    if not place.postgres:
        return Report((_unset("postgres-unset", "Postgres", "PULP_POSTGRES"),), ("the database", "its clock"))
    try:
        async with asyncio.timeout(_LIMIT_S + 1):
            async with await connect(place.postgres, "pulp-preconditions") as connection:
                facts = await database.look(connection)
                unrun = []
                if place.looks_at_dispatch and not facts.pending:
                    looks = (dispatch.look, deliveries.look, parked.look)
                    unrun = [finding for each in looks for finding in await each(connection)]
                pooler = await pooling.look(connection, place.postgres)
    except (psycopg.Error, TimeoutError, SettingsError) as error:
        reason = "no answer within 6 s" if isinstance(error, TimeoutError) else error
        mend = connections.advice(str(error)) or "start it, or correct PULP_POSTGRES and its password"
        away = _away("postgres-away", "Postgres", reason, "nothing is projected, and nothing can be read", mend)
        return Report((away,), ("the database", "its clock"))
    offset = Offset.measured(facts.asked_s, facts.clock_s, facts.answered_s)
    return Report((*database.judge(facts), *unrun, *pooler, *clocks.judge(None, offset, place.clock_bound_s)))


async def _storage(place: Place) -> Report:
    if place.storage is None:
        return Report()
    return Report(tuple(await asyncio.to_thread(folders.look, place.storage)))


async def _certificates(place: Place) -> Report:
    """Checks the certificates of this process and of its connections."""
    files = list(place.certificates)
    if isinstance(place.kafka, Kafka):
        tls = place.kafka.security.tls
        files += [each for each in (tls.ca, tls.certificate) if each is not None] if tls is not None else []
    with contextlib.suppress(SettingsError):  # reported where the connection is made
        files += certificate_files(place.postgres) if place.postgres else []
    return Report(tuple(await asyncio.to_thread(expiry.look, files)) if files else ())


def _away(check: str, subject: str, reason: object, endangers: str, mend: str) -> Finding:
    return Finding(check, subject, Severity.FAULT, " ".join(str(reason).split()), endangers, mend)


def _unset(check: str, subject: str, key: str) -> Finding:
    mend = f"set {key}; for a local stack: pulp-tasks up"
    return Finding(check, subject, Severity.FAULT, f"{key} is not set", "there is nothing to work with", mend)
