"""Three brokers, with a proxy before each of their listeners: clients, replicas and controllers each come their own way."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.stack import Stack

from tests.faults.proxy import Proxy
from tests.faults.waiting import until

BROKERS: Final = 3
PARTITIONS: Final = 4
TOPIC: Final = "pulp.tasks.events"
GROUP: Final = f"{TOPIC}.processor"
_COORDINATOR_S: Final = 10.0


class Cluster:
    """The brokers of a stack, by number from 1. `clients` and `inner` are their proxies, in the same order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(4 * BROKERS)
        clients, self._behind, replicas, controllers = (
            ports[at : at + BROKERS] for at in range(0, len(ports), BROKERS)
        )
        self.clients = [Proxy(port, 0) for port in clients]
        self.inner = [(Proxy(one, 0), Proxy(two, 0)) for one, two in zip(replicas, controllers, strict=True)]
        """For the other brokers: before its replication, and before its controller."""

    @property
    def bootstrap(self) -> str:
        """The way of the services."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.clients)

    @property
    def proxies(self) -> Iterator[Proxy]:
        """All of them."""
        return itertools.chain(self.clients, *self.inner)

    async def start_proxies(self, stack: Stack) -> None:
        """Let the stack's services through to the only listener that its brokers have at first."""
        for proxy, address in zip(self.clients, stack.backend.kafka.split(","), strict=True):
            proxy.target = int(address.rpartition(":")[2])
            await proxy.start()

    async def advertise_proxies(self, stack: Stack) -> None:
        """Restart the brokers one after the other: from then on all that others reach of them is reached by a proxy."""
        for number in range(1, BROKERS + 1):
            listeners = dict(each.split("://") for each in self._properties(number)["listeners"].split(","))
            for proxy, listener in zip(self.inner[number - 1], ("PLAINTEXT", "CONTROLLER"), strict=True):
                proxy.target = int(listeners[listener].rpartition(":")[2])
                await proxy.start()
        for number in range(1, BROKERS + 1):
            await self._advertise(stack, number)

    async def _advertise(self, stack: Stack, number: int) -> None:
        name, proxy, behind = f"kafka-{number}", self.clients[number - 1], self._behind[number - 1]
        replicas, _ = self.inner[number - 1]
        properties = self._properties(number)
        properties["advertised.listeners"] = f"PLAINTEXT://{HOST}:{replicas.port},CLIENTS://{HOST}:{proxy.port}"
        properties["listeners"] += f",CLIENTS://{HOST}:{behind}"
        properties["listener.security.protocol.map"] += ",CLIENTS:PLAINTEXT"
        voters = [f"{voter}@{HOST}:{controller.port}" for voter, (_, controller) in enumerate(self.inner, 1)]
        properties["controller.quorum.voters"] = ",".join(voters)
        await asyncio.to_thread(stack.stop, name)
        text = "\n".join(f"{key}={value}" for key, value in properties.items()) + "\n"
        (self._home(number) / "server.properties").write_text(text)
        stack.start(name)
        proxy.target = behind
        proxy.reset()
        await self.until_in_sync(stack.backend.kafka)

    def _home(self, number: int) -> Path:
        return self._folder / str(number)

    def _properties(self, number: int) -> dict[str, str]:
        lines = (self._home(number) / "server.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    def controller(self) -> str:
        """The name of the broker whose controller leads, by what each has written down of its last election."""
        newest = max(
            (json.loads(path.read_text()) for path in self._folder.glob("*/data/__cluster_metadata-0/quorum-state")),
            key=lambda state: int(state["leaderEpoch"]),
        )
        return f"kafka-{newest['leaderId']}"

    async def until_in_sync(self, kafka: str) -> None:
        """All brokers are in the cluster, and every partition has all its replicas in sync."""
        await until("all replicas are in sync", lambda: _is_in_sync(kafka))


async def until_members(kafka: str, *instances: str) -> None:
    """All of these are in the processors' consumer group, and nobody is joining any more."""
    failed_s = 0.0

    def are_there() -> bool:
        nonlocal failed_s
        try:
            group = _group_clients(kafka)[-1].describe_consumer_groups([GROUP], request_timeout=5)[GROUP].result()
        except KafkaException:
            # A client goes on asking the coordinator that it has found, also when another broker has become it.
            if time.monotonic() - failed_s > _COORDINATOR_S:
                failed_s = time.monotonic()
                _group_clients(kafka).append(_new_admin(kafka))
            return False
        members = {member.group_instance_id for member in group.members}
        return group.state == ConsumerGroupState.STABLE and members >= set(instances)

    await until(f"the consumer group has {', '.join(instances)}", are_there)


def end_offsets(kafka: str) -> dict[int, int]:
    """Where the log ends, by partition. Raises `KafkaException` while a partition has no leader."""
    consumer = _consumer(kafka)
    return {
        number: consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=5.0, cached=False)[1]
        for number in range(PARTITIONS)
    }


# Clients for the whole run: one that is closed while a broker is away can take its process with it.
_CLIENT: Final[dict[str, str | int]] = {"log_level": 0, "reconnect.backoff.max.ms": 500}


def _new_admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, **_CLIENT})


_admin = cache(_new_admin)


@cache
def _group_clients(kafka: str) -> list[AdminClient]:
    return [_new_admin(kafka)]


@cache
def _consumer(kafka: str) -> Consumer:
    return Consumer({"bootstrap.servers": kafka, "group.id": "pulp-tasks-checker", **_CLIENT})


def _is_in_sync(kafka: str) -> bool:
    try:
        found = _admin(kafka).list_topics(timeout=3.0)
    except KafkaException:
        return False
    partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
    return len(found.brokers) == BROKERS and all(len(each.isrs) == len(each.replicas) for each in partitions)
