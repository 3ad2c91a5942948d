"""The start of every server process: wait for Kafka and Postgres, check the topic, install the database."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, NamedTuple, TypeVar

import psycopg
from confluent_kafka.admin import AclOperation
from psycopg import AsyncConnection
from pulp_events import admin, topic_states
from pulp_events.errors import LogRefused, LogUnavailable, PulpError, TopicMismatch
from pulp_events.findings import Finding, Severity, faults
from pulp_events.kafka import Servers
from pulp_projections.away import AWAY, keep_trying, reason_of
from pulp_projections.connection import check, connect
from pulp_projections.conninfo import place_of
from pulp_projections.generations import active_generation, install

from pulp_runtime.installation import Installation
from pulp_runtime.preconditions import connections, database, pooling
from pulp_runtime.preconditions.connections import COMMAND, Needs, Room

T = TypeVar("T")
_ATTEMPT_S: Final = 3.0
_HELD: Final = 1
"""The connection for the checks; it is closed before the process opens its own."""
_log = logging.getLogger("pulp.startup")


class DependencyAway(PulpError):
    """Kafka or Postgres did not answer within the startup timeout."""


class PreconditionFailed(PulpError):
    """Kafka or Postgres cannot be used as configured. The message says what is wrong, and names the command that mends
    it."""

    def __init__(self, findings: Sequence[Finding], otherwise: str = "") -> None:
        super().__init__("; ".join(str(each) for each in findings) + (f", {otherwise}" if otherwise else ""))
        self.findings = tuple(findings)


class _NotYet(Exception):
    """The database cannot be used now; that may change by itself."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class _NotMigrated(_NotYet):
    """This role may not create the tables; their owner may be about to."""


class _NoRoom(_NotYet):
    """Too few connections are left; other processes may end."""


class Installed(NamedTuple):
    """The topic and the database with which a process starts."""

    topic_id: str
    partitions: int
    generation: int
    migrations: tuple[str, ...] = ()
    """The migrations that were applied now."""


async def prepare(
    installation: Installation, needs: Needs = COMMAND, *, rights: Collection[AclOperation] = ()
) -> Installed:
    """Wait until Kafka and Postgres answer, check topic and database, and install what the database lacks.

    `needs` are the connections to Postgres that the process will have: it logs them, and waits until the minimum is
    free. `rights` are the rights it needs on the topic of events. It writes nothing if nothing is missing, so a role
    without the right to create tables suffices.

    Raises `SettingsError` for a bad connection string or file of master keys, `DependencyAway` after the startup
    timeout, `PreconditionFailed` for a database that cannot be used or topics that lose or spoil events,
    `TopicMismatch` if the topic is not the one that the positions in Postgres belong to, `LogRefused` if Kafka refuses
    us, or does not give us one of the rights.
    """
    kafka, postgres, topics = installation.kafka, installation.postgres, installation.topics
    check(postgres)
    if installation.personal_key_file is not None:
        # Here, as it brings a cryptographic library, which no process without the setting needs to start.
        from pulp_projections.personal.master import MasterKeys

        MasterKeys(installation.personal_key_file).check()
    place, ends = place_of(postgres), time.monotonic() + installation.startup_timeout_s

    def look() -> Awaitable[admin.TopicInfo]:
        return asyncio.to_thread(_look_at_kafka, installation, rights)

    info = await _wait(f"Kafka at {kafka} with topic {topics.events}", look, ends)

    async def make_ready() -> Installed:
        async with await connect(postgres, "pulp-startup", connect_timeout_s=int(_ATTEMPT_S)) as connection:
            try:
                return await _make_ready(connection, postgres, info, needs)
            except psycopg.errors.InsufficientPrivilege as error:
                raise _NotMigrated(_lacks_rights(connection, error)) from error

    try:
        return await _wait(f"Postgres at {place}", make_ready, ends)
    except DependencyAway as error:
        if isinstance(error.__cause__, _NoRoom):
            raise DependencyAway(str(error.__cause__)) from error
        if isinstance(error.__cause__, _NotMigrated):
            raise PreconditionFailed([error.__cause__.finding]) from error
        raise


async def wait_for_kafka(kafka: Servers, timeout_s: float) -> None:
    """Wait until a broker answers, with log lines. Raises `DependencyAway` after `timeout_s`."""
    ends = time.monotonic() + timeout_s
    await _wait(f"Kafka at {kafka}", lambda: asyncio.to_thread(admin.ping, kafka, timeout_s=_ATTEMPT_S), ends)


async def wait_for_postgres(conninfo: str, timeout_s: float) -> None:
    """Wait until Postgres accepts our login, with log lines. Raises `DependencyAway` after `timeout_s`."""

    async def log_in() -> None:
        async with await connect(conninfo, "pulp-startup", connect_timeout_s=int(_ATTEMPT_S)):
            pass

    await _wait(f"Postgres at {place_of(conninfo)}", log_in, time.monotonic() + timeout_s)


async def _wait(what: str, attempt: Callable[[], Awaitable[T]], ends: float) -> T:
    said = 0.0

    def failed(error: Exception, _: float) -> None:
        nonlocal said
        if isinstance(error, LogRefused):
            raise error  # waiting does not help
        now = time.monotonic()
        if now >= ends:
            raise DependencyAway(f"{what} did not answer in time: {reason_of(error)}") from error
        if now - said >= 5:
            said = now
            _log.warning("waiting for %s, %.0f s more: %s", what, ends - now, reason_of(error))

    return await keep_trying(attempt, failed, on=(*AWAY, LogUnavailable, _NotYet))


def _look_at_kafka(installation: Installation, rights: Collection[AclOperation]) -> admin.TopicInfo:
    topics = installation.topics
    brokers = admin.connect(installation.kafka)  # one for all questions: a client costs threads and connections
    info = admin.describe(brokers, topics.events, rights=rights, timeout_s=_ATTEMPT_S)
    if installation.refuses_bad_topics:
        is_archived = installation.archive is not None
        found = faults(topic_states.findings(brokers, topics, is_archived=is_archived, timeout_s=_ATTEMPT_S))
        # A missing topic loses nothing: its writers wait for it.
        if spoiling := [each for each in found if each.check != "topic-missing"]:
            raise PreconditionFailed(spoiling, "or let it pass with PULP_TOPIC_CHECK=warn")
    return info


async def _make_ready(connection: AsyncConnection, conninfo: str, info: admin.TopicInfo, needs: Needs) -> Installed:
    facts = await database.look(connection)
    wrong = {each.check: each for each in faults([*database.judge(facts), *await pooling.look(connection, conninfo)])}
    if waiting := wrong.pop("migrations-pending", None):
        raise _NotMigrated(waiting)
    if wrong:
        raise PreconditionFailed(list(wrong.values()))
    generation = None if facts.pending else await active_generation(connection)
    if generation is None:
        generation = await install(connection, info.partitions)
    await _check_topic(connection, info)
    if needs is not COMMAND:
        _check_room(facts.room, needs.for_partitions(info.partitions))
    return Installed(info.topic_id, info.partitions, generation, facts.pending)


def _check_room(room: Room, needs: Needs) -> None:
    """Log how many connections the process needs and Postgres allows. Raises `_NoRoom` if the free ones do not
    suffice."""
    if (refused := connections.refusal(room, needs, held=_HELD)) is not None:
        raise _NoRoom(refused)
    if (limit := room.tightest) is None:
        return
    free = limit.free + _HELD
    told = {"opens": needs.most, "free": free, "allowed": limit.most, "by": limit.name}
    if free < needs.most:
        _log.warning("Postgres may run out of connections: %s", connections.mend(limit), extra=told)
    else:
        _log.info("connections to Postgres", extra=told)


def _lacks_rights(connection: AsyncConnection, error: psycopg.Error) -> Finding:
    return Finding(
        "database-rights",
        "Postgres",
        Severity.FAULT,
        f"{connection.info.user}: {reason_of(error)}",
        "the process cannot do its work",
        "as the owner of the tables: pulp-tasks database migrate, then pulp-tasks database roles",
    )


async def _check_topic(connection: AsyncConnection, info: admin.TopicInfo) -> None:
    query = "select name, topic_id, partitions from event_topic"
    if not (rows := await (await connection.execute(query)).fetchall()):
        await connection.execute(
            "insert into event_topic (name, topic_id, partitions) values (%s, %s, %s) on conflict do nothing", [*info]
        )
        rows = await (await connection.execute(query)).fetchall()
    known = admin.TopicInfo(*rows[0])
    if known.partitions != info.partitions:
        raise TopicMismatch(
            f"topic {info.name} has {info.partitions} partitions, the read model was made for {known.partitions}:"
            " the count may never change, since it decides where a task's history is"
        )
    if known != info:
        raise TopicMismatch(
            f"topic {info.name} (id {info.topic_id}) is not the topic that the read model was made from"
            f" ({known.name}, id {known.topic_id}): its offsets mean something else. Was it created again? Use a"
            " fresh database for a fresh topic"
        )
