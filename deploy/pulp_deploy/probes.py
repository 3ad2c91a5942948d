"""Whether the parts of a stack are at work, seen from outside."""

from typing import Final

import psycopg
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from pulp_events.kafka import client_settings

from pulp_deploy.local.kafka import SILENT

LIVE: Final = "/pulp/api/v3/livez/"


def api_answers(url: str) -> bool:
    """Whether the API says that it is alive."""
    import httpx

    try:
        return httpx.get(url + LIVE, timeout=2.0, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def group_is_stable(kafka: str, group: str, members: int) -> bool:
    """Whether so many members have joined the group and share out its partitions."""
    client = AdminClient(client_settings(kafka, logger=SILENT))
    try:
        found = client.describe_consumer_groups([group], request_timeout=2.0)[group].result(3.0)
    except (KafkaException, TimeoutError):
        return False
    return found.state == ConsumerGroupState.STABLE and len(found.members) >= members


def workers_are_up(postgres: str, count: int) -> bool:
    """Whether so many workers have a live lease."""
    query = """
        select count(*) from workers
         where stopped_at is null and heartbeat_at > now() - make_interval(secs => lease_seconds)
    """
    try:
        with psycopg.connect(postgres, autocommit=True) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return False
    return row is not None and int(row[0]) >= count
