"""Three brokers, with a proxy in front of each listener: one for clients, one for replication, one for controllers."""

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.probes import stable_members
from pulp_deploy.stack import Stack

from tests.faults.proxy import Proxy
from tests.faults.waiting import until

C = TypeVar("C")
T = TypeVar("T")
BROKERS: Final = 3
BROKER_NAMES: Final = tuple(f"kafka-{number}" for number in range(1, BROKERS + 1))
PARTITIONS: Final = 4
TOPIC: Final = "pulp.tasks.events"
GROUP: Final = f"{TOPIC}.processor"
_RENEW_S: Final = 3.0


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
        """The proxies for the other brokers: in front of its replication, and of its controller."""

    @property
    def bootstrap(self) -> str:
        """The address for the services, through the proxy."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.clients)

    @property
    def proxies(self) -> Iterator[Proxy]:
        """All of them."""
        return itertools.chain(self.clients, *self.inner)

    async def start_proxies(self, stack: Stack) -> None:
        """Forward the stack's services to the only listener that its brokers have at first."""
        for proxy, address in zip(self.clients, stack.backend.kafka.split(","), strict=True):
            proxy.target = int(address.rpartition(":")[2])
            await proxy.start()

    async def advertise_proxies(self, stack: Stack) -> None:
        """Restart the brokers one after the other, so that afterwards every connection to them uses a proxy."""
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
        """The name of the broker whose controller leads, by each one's record of the last election."""
        newest = max(
            (json.loads(path.read_text()) for path in self._folder.glob("*/data/__cluster_metadata-0/quorum-state")),
            key=lambda state: int(state["leaderEpoch"]),
        )
        return f"kafka-{newest['leaderId']}"

    async def until_in_sync(self, kafka: str) -> None:
        """All brokers are in the cluster, and every partition has all its replicas in sync."""
        await until("all replicas are in sync", lambda: _are_answering(kafka) and _is_in_sync(kafka))


async def until_members(kafka: str, *instances: str) -> None:
    """Whether all of these are in the processors' consumer group, without a rebalance."""

    def are_there() -> bool:
        members = stable_members(kafka, GROUP)
        return all(any(member.startswith(f"{instance}-") for member in members) for instance in instances)

    await until(f"the consumer group has {', '.join(instances)}", are_there)


def end_offsets(kafka: str) -> dict[int, int]:
    """Where the log ends, by partition. Raises `KafkaException` while a partition has no leader."""
    return _asking(_consumers(kafka), _watermarks)


def _watermarks(client: Consumer) -> dict[int, int]:
    return {
        number: client.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=5.0, cached=False)[1]
        for number in range(PARTITIONS)
    }


@dataclass
class _Clients(Generic[C]):
    """Clients of one kind; only the last is used. A failed one may keep asking a former leader or coordinator. It stays
    open, since closing it while a broker is unreachable can abort the process.
    """

    make: Callable[[], C]
    made: list[C] = field(default_factory=list)
    renewed_s: float = 0.0


def _asking(clients: _Clients[C], question: Callable[[C], T]) -> T:
    if not clients.made:
        clients.made.append(clients.make())
    try:
        return question(clients.made[-1])
    except KafkaException:
        if time.monotonic() - clients.renewed_s > _RENEW_S:
            clients.renewed_s = time.monotonic()
            clients.made.append(clients.make())
        raise


@cache
def _admins(kafka: str) -> _Clients[AdminClient]:
    return _Clients(lambda: AdminClient({"bootstrap.servers": kafka, "log_level": 0}))


@cache
def _consumers(kafka: str) -> _Clients[Consumer]:
    settings: dict[str, str | int] = {"bootstrap.servers": kafka, "group.id": "pulp-tasks-checker", "log_level": 0}
    return _Clients(lambda: Consumer(settings))


def _are_answering(kafka: str) -> bool:
    """Whether each broker takes connections: one that has lost all others still tells that they are in sync."""
    try:
        for address in kafka.split(","):
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _is_in_sync(kafka: str) -> bool:
    try:
        found = _asking(_admins(kafka), lambda client: client.list_topics(timeout=3.0))
    except KafkaException:
        return False
    partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
    return len(found.brokers) == BROKERS and all(len(each.isrs) == len(each.replicas) for each in partitions)
