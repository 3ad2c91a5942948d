"""What every server process does first: wait for Kafka and Postgres, check the topic, make the database ready."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import psycopg
from psycopg import AsyncConnection
from pulp_events import admin
from pulp_events.errors import LogRefused, LogUnavailable, PulpError, TopicMismatch
from pulp_events.kafka import Servers
from pulp_events.topics import Topics

from pulp_projections.connection import check, connect
from pulp_projections.conninfo import place_of
from pulp_projections.generations import install

T = TypeVar("T")
_ATTEMPT_S: Final = 3.0
_AWAY: Final = (LogUnavailable, psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""A standby that has yet to take over is read-only: as good as away, for who is to write."""
_log = logging.getLogger("pulp.startup")


class DependencyAway(PulpError):
    """Kafka or Postgres did not answer within the startup timeout."""


class Installed(NamedTuple):
    """What a process starts from."""

    topic_id: str
    partitions: int
    generation: int


async def prepare(*, kafka: Servers, postgres: str, topics: Topics, timeout_s: float) -> Installed:
    """Wait until both answer, saying what is waited for; check the topic; install what the database lacks.

    Raises `SettingsError` for a bad connection string, `DependencyAway` after `timeout_s`, `TopicMismatch` if the topic
    is not the one that the positions in Postgres belong to.
    """
    check(postgres)
    place, ends = place_of(postgres), time.monotonic() + timeout_s

    def describe() -> Awaitable[admin.TopicInfo]:
        return asyncio.to_thread(admin.describe, kafka, topics.events, timeout_s=_ATTEMPT_S)

    info = await _wait(f"Kafka at {kafka} with topic {topics.events}", describe, ends)

    async def make_ready() -> int:
        async with await connect(postgres, "pulp-startup", connect_timeout_s=int(_ATTEMPT_S)) as connection:
            generation = await install(connection, info.partitions)
            await _check_topic(connection, info)
            return generation

    generation = await _wait(f"Postgres at {place}", make_ready, ends)
    return Installed(info.topic_id, info.partitions, generation)


async def wait_for_kafka(kafka: Servers, timeout_s: float) -> None:
    """Wait until a broker answers, saying what is waited for. Raises `DependencyAway` after `timeout_s`."""
    ends = time.monotonic() + timeout_s
    await _wait(f"Kafka at {kafka}", lambda: asyncio.to_thread(admin.ping, kafka, timeout_s=_ATTEMPT_S), ends)


async def _wait(what: str, attempt: Callable[[], Awaitable[T]], ends: float) -> T:
    said = 0.0
    while True:
        try:
            return await attempt()
        except LogRefused:
            raise  # waiting does not mend it
        except _AWAY as error:
            now, reason = time.monotonic(), " ".join(str(error).split())  # libpq's has several lines
            if now >= ends:
                raise DependencyAway(f"{what} did not answer in time: {reason}") from error
            if now - said >= 5:
                said = now
                _log.warning("waiting for %s, %.0f s more: %s", what, ends - now, reason)
        await asyncio.sleep(min(0.5, max(0.0, ends - time.monotonic())))


async def _check_topic(connection: AsyncConnection, info: admin.TopicInfo) -> None:
    await connection.execute(
        "insert into event_topic (name, topic_id, partitions) values (%s, %s, %s) on conflict do nothing", [*info]
    )
    cursor = await connection.execute("select name, topic_id, partitions from event_topic")
    known = admin.TopicInfo(*(await cursor.fetchall())[0])
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
