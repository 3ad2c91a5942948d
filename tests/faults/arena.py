"""The whole system with everything that faults need: three brokers, a proxy before each of their listeners, one before
Postgres.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import psutil
import psycopg
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo
from pulp_deploy.backend import BackendOptions
from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.stack import Stack, StackOptions

from tests.faults.database import Database
from tests.faults.proxy import Proxy

ROOT: Final = Path(__file__).resolve().parents[2]
PARTITIONS: Final = 4
BROKERS: Final = 3
PROCESSORS: Final = 2
WORKERS: Final = 3
TOPIC: Final = "pulp.tasks.events"
GROUP: Final = f"{TOPIC}.processor"
DISK_MB: Final = 2048
_LIMIT_S: Final = 90.0


class Arena:
    """Up between `async with`. Names of processes are the stack's: `kafka-1`, `processor-2`, `worker-3`, `api`."""

    def __init__(self, say: Callable[[str], None], kept: Path | None = None) -> None:
        """`kept` is a folder for all data and logs, which stays; without it they go to one that does not."""
        self._say = say
        self._is_kept = kept is not None
        self.folder = kept or Path(tempfile.mkdtemp(prefix="pulp-faults-"))
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        *ports, postgres_port, proxy_port = free_ports(4 * BROKERS + 2)
        clients, self._behind, replicas, controllers = (
            ports[at : at + BROKERS] for at in range(0, len(ports), BROKERS)
        )
        self.brokers = [Proxy(port, behind) for port, behind in zip(clients, self._behind, strict=True)]
        """Before each broker, for its clients."""
        self.inner = [(Proxy(one, 0), Proxy(two, 0)) for one, two in zip(replicas, controllers, strict=True)]
        """Before each broker, for the other brokers: of its replication and of its controller."""
        postgres = Proxy(proxy_port, postgres_port)
        self.has_small_disk = False
        self.small_disk = self.folder / "wal"
        self.stack = Stack(
            StackOptions(
                data=self.folder,
                api_port=0,
                processors=PROCESSORS,
                workers=WORKERS,
                backend=BackendOptions(
                    brokers=BROKERS, partitions=PARTITIONS, kafka_port=0, postgres_port=postgres_port
                ),
                settings={
                    "PULP_KAFKA": ",".join(f"{HOST}:{proxy.port}" for proxy in self.brokers),
                    "PULP_POSTGRES": self._conninfo(proxy_port),
                    "PULP_WORKER_MODULES": "tests.faults.operations",
                    "PYTHONPATH": str(ROOT),
                },
            ),
            say,
        )
        self.database = Database(self.stack, self.folder / "postgres", postgres_port, postgres)
        self.extra: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers = itertools.count(1)

    @property
    def kafka(self) -> str:
        """Straight to the brokers."""
        return self.stack.backend.kafka

    @property
    def auth(self) -> tuple[str, str]:
        """Of the administrator."""
        return "admin", (self.folder / "admin-password").read_text().strip()

    @property
    def storage(self) -> Path:
        """Where the operations write."""
        return self.folder / "storage"

    async def __aenter__(self) -> Self:
        try:
            await self._up()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end_all_extra()
        self.wake_all()
        await self.database.close()
        await asyncio.to_thread(self.stack.down)
        for proxy in (*self.brokers, *itertools.chain(*self.inner), self.database.proxy):
            await proxy.close()
        if self.has_small_disk:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(self.small_disk)], check=True)
        if not self._is_kept:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _up(self) -> None:
        self._say("starting three brokers, Postgres and the services")
        await self.database.proxy.start()
        starting = asyncio.create_task(asyncio.to_thread(self.stack.up))
        while not self.stack.backend.kafka:  # the ports of the brokers are known once they start
            await asyncio.sleep(0.05)
            if starting.done():
                starting.result()
        for proxy, address in zip(self.brokers, self.kafka.split(","), strict=True):
            proxy.target = int(address.rpartition(":")[2])
            await proxy.start()
        await starting
        self._say("restarting the brokers, one after the other, with a proxy before each")
        for number in range(1, BROKERS + 1):
            await self._start_inner(number)
        for number in range(1, BROKERS + 1):
            await self._advertise_proxies(number)
        await self._move_wal_to_small_disk()
        await self.until_services()

    async def _start_inner(self, number: int) -> None:
        properties = self._properties(number)
        listeners = dict(each.split("://") for each in properties["listeners"].split(","))
        for proxy, listener in zip(self.inner[number - 1], ("PLAINTEXT", "CONTROLLER"), strict=True):
            proxy.target = int(listeners[listener].rpartition(":")[2])
            await proxy.start()

    async def _advertise_proxies(self, number: int) -> None:
        """Give a broker a second listener for clients; all that others reach of it is reached through its proxies."""
        name, proxy, behind = f"kafka-{number}", self.brokers[number - 1], self._behind[number - 1]
        replicas, _ = self.inner[number - 1]
        properties = self._properties(number)
        properties["advertised.listeners"] = f"PLAINTEXT://{HOST}:{replicas.port},CLIENTS://{HOST}:{proxy.port}"
        properties["listeners"] += f",CLIENTS://{HOST}:{behind}"
        properties["listener.security.protocol.map"] += ",CLIENTS:PLAINTEXT"
        voters = [f"{voter}@{HOST}:{controller.port}" for voter, (_, controller) in enumerate(self.inner, 1)]
        properties["controller.quorum.voters"] = ",".join(voters)
        await asyncio.to_thread(self.stack.stop, name)
        text = "\n".join(f"{key}={value}" for key, value in properties.items()) + "\n"
        (self._broker_folder(number) / "server.properties").write_text(text)
        self.stack.start(name)
        proxy.target = behind
        proxy.reset()
        await self.until_brokers()

    def _broker_folder(self, number: int) -> Path:
        return self.folder / "kafka" / str(number)

    def _properties(self, number: int) -> dict[str, str]:
        lines = (self._broker_folder(number) / "server.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    async def _move_wal_to_small_disk(self) -> None:
        """A file system of its own for the log of Postgres, so that it can be full. Needs root; else that fault is not run."""
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
            return
        self.small_disk.mkdir(mode=0o711)
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0711", "tmpfs", str(self.small_disk)]
        self.has_small_disk = (await asyncio.to_thread(subprocess.run, mounting, check=False)).returncode == 0
        if self.has_small_disk:
            await self.database.stop()
            await asyncio.to_thread(self.database.move_wal, self.small_disk)
            await self.database.start()

    def _conninfo(self, port: int) -> str:
        return make_conninfo(
            host=HOST,
            port=port,
            user="pulp",
            dbname="pulp",
            connect_timeout=5,
            passfile=str(self.folder / "postgres" / "pgpass"),
        )

    # What faults do to it.

    def signal(self, name: str, signum: signal.Signals, *, children: bool = False) -> int | None:
        """Send a signal to a process, and perhaps to its children; its pid, or None if it does not run."""
        pid = self.stack.pid(name)
        if pid is not None:
            os.kill(pid, signum)
            for child in psutil.Process(pid).children(recursive=True) if children else ():
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(signum)
        return pid

    async def kill(self, name: str) -> None:
        """kill -9; it stays down until `start`."""
        await asyncio.to_thread(self.stack.kill, name)

    async def stop(self, name: str) -> None:
        """SIGTERM; returns when it has ended."""
        await asyncio.to_thread(self.stack.stop, name)

    def start(self, name: str) -> None:
        """Start it again."""
        self.stack.start(name)

    def extra_name(self, kind: str) -> str:
        """A name that no process of this run has had."""
        return f"{kind}-extra-{next(self._numbers)}"

    def start_extra(
        self, name: str, *command: str, environment: dict[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """One more process than the stack has: `pulp-tasks COMMAND`."""
        with (self.folder / "logs" / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pulp_deploy", *command],
                env={**os.environ, **self.stack.service_environment(), **(environment or {})},
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.extra[name] = process
        return process

    async def ended_extra(self, name: str, limit_s: float = 120.0) -> int:
        """Wait until it has ended; its exit code. `TimeoutExpired` after the limit."""
        code = await asyncio.to_thread(self.extra[name].wait, limit_s)
        del self.extra[name]
        return code

    async def end_extra(self, name: str) -> int:
        """SIGTERM to it; its exit code."""
        self.extra[name].terminate()
        return await self.ended_extra(name, 60)

    async def mend(self) -> None:
        """Have everything as it was, after a fault that did not end as it should."""
        self._end_all_extra()
        self.wake_all()
        for proxy in (*self.brokers, *itertools.chain(*self.inner), self.database.proxy):
            await proxy.release()
        await self.database.mend()
        for name in self.stack.names:
            if name != "postgres" and self.stack.pid(name) is None:
                self.stack.start(name)
        await self.until_brokers()
        await self.until_services()

    def _end_all_extra(self) -> None:
        for process in self.extra.values():
            process.kill()
            process.wait()
        self.extra.clear()

    def wake(self, pid: int | None) -> None:
        """SIGCONT to a process and its children."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (*process.children(recursive=True), process):
                each.send_signal(signal.SIGCONT)

    def wake_all(self) -> None:
        """SIGCONT to everything: nothing stays stopped, whatever went wrong."""
        for process in psutil.Process().children(recursive=True):
            try:
                process.send_signal(signal.SIGCONT)
            except psutil.NoSuchProcess:
                continue

    # What faults look at, and wait for.

    def pid(self, name: str) -> int:
        """Of a process of the stack that runs."""
        pid = self.stack.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        return pid

    def controller(self) -> str:
        """The broker whose controller leads, by what each of them has written down of its last election."""
        newest = max(
            (
                json.loads(path.read_text())
                for path in self.folder.glob("kafka/*/data/__cluster_metadata-0/quorum-state")
            ),
            key=lambda state: int(state["leaderEpoch"]),
        )
        return f"kafka-{newest['leaderId']}"

    async def until_members(self, *instances: str) -> None:
        """All of these are in the processors' consumer group, and nobody is joining any more."""
        client = AdminClient({"bootstrap.servers": self.kafka, "log_level": 0})

        def are_there() -> bool:
            try:
                group = client.describe_consumer_groups([GROUP], request_timeout=5)[GROUP].result()
            except KafkaException:
                return False
            members = {member.group_instance_id for member in group.members}
            return group.state == ConsumerGroupState.STABLE and members >= set(instances)

        await self._until(f"the consumer group has {', '.join(instances)}", are_there)

    async def until_worker(self, name: str) -> None:
        """A worker of this name has registered."""

        def is_there() -> bool:
            try:
                return bool(self.database.execute(f"select 1 from workers where name = '{name}'"))
            except psycopg.OperationalError:
                return False

        await self._until(f"worker {name} has registered", is_there)

    async def until_brokers(self) -> None:
        """All brokers are in the cluster, and every partition has all its replicas in sync."""
        await self._until("all replicas are in sync", lambda: _in_sync(self.kafka))

    async def until_services(self) -> None:
        """API, processors and workers are at work, those included that ended and were started again."""
        ends = time.monotonic() + _LIMIT_S
        while True:
            try:
                await asyncio.to_thread(self.stack.wait_ready, max(1.0, ends - time.monotonic()))
            except ProcessFailed:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    def end_offsets(self) -> dict[int, int]:
        """Where the log ends, by partition. Raises `KafkaException` while a partition has no leader."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "pulp-tasks-checker", "log_level": 0})
        try:
            return {
                number: consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=5.0, cached=False)[1]
                for number in range(PARTITIONS)
            }
        finally:
            consumer.close()

    def positions(self) -> dict[int, int]:
        """How far the projection is. Raises `psycopg.OperationalError` while Postgres is away."""
        with psycopg.connect(self.database.conninfo, autocommit=True, connect_timeout=5) as connection:
            return dict(connection.execute("select partition, next_offset from positions").fetchall())

    async def caught_up(self, limit_s: float) -> float:
        """Seconds until the projection has passed what is in the log now; `TimeoutError` after the limit."""
        began = time.monotonic()
        ends: dict[int, int] | None = None

        def has_passed() -> bool:
            nonlocal ends
            try:
                ends = ends or self.end_offsets()
                positions = self.positions()
            except (KafkaException, psycopg.OperationalError):
                return False
            return all(positions[number] >= end for number, end in ends.items())

        await self._until("the projection has caught up", has_passed, limit_s)
        return time.monotonic() - began

    async def _until(self, what: str, holds: Callable[[], bool], limit_s: float = _LIMIT_S) -> None:
        ends = time.monotonic() + limit_s
        while not await asyncio.to_thread(holds):
            if time.monotonic() > ends:
                raise TimeoutError(f"{what}: not within {limit_s:g} s")
            await asyncio.sleep(0.1)


def _in_sync(kafka: str) -> bool:
    client = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    try:
        found = client.list_topics(timeout=3.0)
    except KafkaException:
        return False
    partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
    return len(found.brokers) == BROKERS and all(len(each.isrs) == len(each.replicas) for each in partitions)
