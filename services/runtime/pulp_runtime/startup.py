"""What every server process does first: wait for Kafka and Postgres, check the topic, make the database ready."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import psycopg
from psycopg import AsyncConnection
from pulp_events import admin, topic_states
from pulp_events.errors import LogRefused, LogUnavailable, PulpError, TopicMismatch
from pulp_events.findings import Finding, Severity, faults
from pulp_events.kafka import Servers
from pulp_events.settings import Installation
from pulp_events.topics import Topics
from pulp_projections.away import AWAY, keep_trying, reason_of
from pulp_projections.connection import check, connect
from pulp_projections.conninfo import place_of
from pulp_projections.generations import active_generation, install

from pulp_runtime.preconditions import database

T = TypeVar("T")
_ATTEMPT_S: Final = 3.0
_log = logging.getLogger("pulp.startup")


class DependencyAway(PulpError):
    """Kafka or Postgres did not answer within the startup timeout."""


class PreconditionFailed(PulpError):
    """What the installation stands on cannot be used as it is; says what is wrong, and the command that mends it."""

    def __init__(self, findings: Sequence[Finding], otherwise: str = "") -> None:
        super().__init__("; ".join(str(each) for each in findings) + (f", {otherwise}" if otherwise else ""))
        self.findings = tuple(findings)


class _NotMigrated(Exception):
    """This role may not make the tables; whoever may can be about to."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class Installed(NamedTuple):
    """What a process starts from."""

    topic_id: str
    partitions: int
    generation: int
    migrations: tuple[str, ...] = ()
    """Those that were applied now."""


async def prepare(installation: Installation) -> Installed:
    """Wait until both answer, saying what is waited for; check topic and database; install what the database lacks.

    Nothing is written where nothing is missing, so a role without the right to make tables suffices then. Raises
    `SettingsError` for a bad connection string, `DependencyAway` after the startup timeout, `PreconditionFailed` for a
    database that cannot be used or topics that lose or spoil events, `TopicMismatch` if the topic is not the one that
    the positions in Postgres belong to.
    """
    kafka, postgres, topics = installation.kafka, installation.postgres, installation.topics
    check(postgres)
    place, ends = place_of(postgres), time.monotonic() + installation.startup_timeout_s

    def describe() -> Awaitable[admin.TopicInfo]:
        return asyncio.to_thread(admin.describe, kafka, topics.events, timeout_s=_ATTEMPT_S)

    info = await _wait(f"Kafka at {kafka} with topic {topics.events}", describe, ends)
    if installation.refuses_bad_topics:
        await _wait(f"Kafka at {kafka}", lambda: asyncio.to_thread(_check_topics, kafka, topics), ends)

    async def make_ready() -> Installed:
        async with await connect(postgres, "pulp-startup", connect_timeout_s=int(_ATTEMPT_S)) as connection:
            try:
                return await _make_ready(connection, info)
            except psycopg.errors.InsufficientPrivilege as error:
                raise _NotMigrated(_lacks_rights(connection, error)) from error

    try:
        return await _wait(f"Postgres at {place}", make_ready, ends)
    except DependencyAway as error:
        if isinstance(error.__cause__, _NotMigrated):
            raise PreconditionFailed([error.__cause__.finding]) from error
        raise


async def wait_for_kafka(kafka: Servers, timeout_s: float) -> None:
    """Wait until a broker answers, saying what is waited for. Raises `DependencyAway` after `timeout_s`."""
    ends = time.monotonic() + timeout_s
    await _wait(f"Kafka at {kafka}", lambda: asyncio.to_thread(admin.ping, kafka, timeout_s=_ATTEMPT_S), ends)


async def wait_for_postgres(conninfo: str, timeout_s: float) -> None:
    """Wait until the server lets us in, saying what is waited for. Raises `DependencyAway` after `timeout_s`."""

    async def log_in() -> None:
        async with await connect(conninfo, "pulp-startup", connect_timeout_s=int(_ATTEMPT_S)):
            pass

    await _wait(f"Postgres at {place_of(conninfo)}", log_in, time.monotonic() + timeout_s)


async def _wait(what: str, attempt: Callable[[], Awaitable[T]], ends: float) -> T:
    said = 0.0

    def failed(error: Exception, _: float) -> None:
        nonlocal said
        if isinstance(error, LogRefused):
            raise error  # waiting does not mend it
        now = time.monotonic()
        if now >= ends:
            raise DependencyAway(f"{what} did not answer in time: {reason_of(error)}") from error
        if now - said >= 5:
            said = now
            _log.warning("waiting for %s, %.0f s more: %s", what, ends - now, reason_of(error))

    return await keep_trying(attempt, failed, on=(*AWAY, LogUnavailable, _NotMigrated))


def _check_topics(kafka: Servers, topics: Topics) -> None:
    found = faults(topic_states.findings(admin.connect(kafka), topics, timeout_s=_ATTEMPT_S))
    # A topic that is missing loses nothing: whoever writes to it waits for it.
    if spoiling := [each for each in found if each.check != "topic-missing"]:
        raise PreconditionFailed(spoiling, "or let it pass with PULP_TOPIC_CHECK=warn")


async def _make_ready(connection: AsyncConnection, info: admin.TopicInfo) -> Installed:
    facts = await database.look(connection)
    wrong = {each.check: each for each in faults(database.judge(facts))}
    if waiting := wrong.pop("migrations-pending", None):
        raise _NotMigrated(waiting)
    if wrong:
        raise PreconditionFailed(list(wrong.values()))
    generation = None if facts.pending else await active_generation(connection)
    if generation is None:
        generation = await install(connection, info.partitions)
    await _check_topic(connection, info)
    return Installed(info.topic_id, info.partitions, generation, facts.pending)


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
            f" ({known.name}, id {known.topic_id}): its offsets mean something else. Was it made anew? Use a fresh"
            " database for a fresh topic"
        )
