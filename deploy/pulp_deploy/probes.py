"""Whether the parts of a stack are at work, seen from outside."""

import asyncio
import logging
from typing import Any, Final

import psycopg
from pulp_events.kafka import Servers
from pulp_projections.connection import connect_blocking

LIVE: Final = "/pulp/api/v3/livez/"
READY: Final = "/pulp/api/v3/readyz/"
_REQUEST_TIMEOUT_MS: Final = 2_000
_ASKING_S: Final = 3.0
# Silences aiokafka about an unreachable broker: the caller reports it.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def api_answers(url: str) -> bool:
    """Whether the API says that it is alive."""
    import httpx

    try:
        return httpx.get(url + LIVE, timeout=2.0, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def health(url: str) -> dict[str, Any]:
    """The API's `readyz` report (`workers`, `findings` …); {} if it does not answer with one."""
    import httpx

    try:
        found = httpx.get(url + READY, timeout=_ASKING_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def stable_members(kafka: Servers, group: str) -> list[str]:
    """The ids of the group's members; none during a rebalance, or if no broker answers.

    A static member's id is its `group.instance.id`, a dash and a UUID.
    """
    return asyncio.run(_stable_members(kafka, group))


async def _stable_members(kafka: Servers, group: str) -> list[str]:
    # Not confluent-kafka's: librdkafka aborts its process (an assertion in the coordinator request) where a
    # description has timed out and the coordinator answers afterwards.
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError
    from pulp_processor.consuming.aiokafka_settings import aiokafka_settings

    client = AIOKafkaAdminClient(**aiokafka_settings(kafka), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(_ASKING_S):
            await client.start()
            (answer,) = await client.describe_consumer_groups([group])
    except (KafkaError, TimeoutError):
        return []
    finally:
        await client.close()
    (found,) = answer.to_object()["groups"]
    return [member["member_id"] for member in found["members"]] if found["state"] == "Stable" else []


def workers_are_up(postgres: str, count: int) -> bool:
    """Whether at least this many workers have a live lease."""
    query = """
        select count(*) from workers
         where stopped_at is null and heartbeat_at > now() - make_interval(secs => lease_seconds)
    """
    try:
        with connect_blocking(postgres, "pulp-tasks") as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return False
    return row is not None and int(row[0]) >= count


def worker_is_up(postgres: str, name: str, pid: int) -> bool:
    """Whether this process has registered as the worker of that name."""
    query = "select 1 from workers where name = %s and pid = %s and stopped_at is null"
    try:
        with connect_blocking(postgres, "pulp-tasks") as connection:
            return connection.execute(query, [name, pid]).fetchone() is not None
    except psycopg.Error:
        return False
