"""The whole system with what faults need: three brokers, a proxy in front of each of their listeners and of Postgres."""

import asyncio
import contextlib
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
from confluent_kafka import KafkaException
from psycopg.conninfo import make_conninfo
from pulp_accounts.users import Role, add_user
from pulp_deploy.backend import BackendOptions
from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local import accounts
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.local.postgres import Postgres, connections_for
from pulp_deploy.stack import Stack, StackOptions

from tests.faults.assigning import RECORD
from tests.faults.cluster import BROKER_NAMES, BROKERS, PARTITIONS, Cluster, end_offsets
from tests.faults.database import Database
from tests.faults.extras import Extras
from tests.faults.proxy import Proxy
from tests.faults.size import MOST_EXTRA_PROCESSORS, MOST_EXTRA_WORKERS, PROCESSORS, Size
from tests.faults.waiting import LIMIT_S, until

ROOT: Final = Path(__file__).resolve().parents[2]
DISK_MB: Final = 2048


class Arena:
    """Runs inside `async with`. Processes have the stack's names: `kafka-1`, `processor-2`, `worker-3`, `api`."""

    def __init__(self, say: Callable[[str], None], size: Size, kept: Path | None = None) -> None:
        """`kept` is a folder in which data and logs are kept; by default they go to a temporary one."""
        self.size = size
        self._say = say
        self._is_kept = kept is not None
        self.folder = kept or Path(tempfile.mkdtemp(prefix="pulp-faults-"))
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        self.cluster = Cluster(self.folder / "kafka")
        postgres_port, proxy_port = free_ports(2)
        connections = connections_for(
            processors=PROCESSORS + MOST_EXTRA_PROCESSORS, workers=size.workers + MOST_EXTRA_WORKERS
        )
        self.has_small_disk = False
        self.small_disk = self.folder / "wal"
        self.stack = Stack(
            StackOptions(
                data=self.folder,
                api_port=0,
                processors=PROCESSORS,
                workers=size.workers,
                concurrency=size.slots,
                backend=BackendOptions(
                    user=accounts.ROOT,  # not every system lets root set the limits of another user's processes
                    brokers=BROKERS,
                    partitions=PARTITIONS,
                    kafka_port=0,
                    postgres_port=postgres_port,
                    postgres_connections=connections,
                    kafka_login=False,
                ),
                settings={
                    "PULP_KAFKA": self.cluster.bootstrap,
                    "PULP_POSTGRES": self._conninfo(proxy_port),
                    "PULP_WORKER_MODULES": "tests.faults.operations",
                    "PULP_MOST_PARKED_TASKS": "100000",
                    "PYTHONPATH": str(ROOT),
                },
            ),
            say,
        )
        server = Postgres(folder=self.folder / "postgres", port=postgres_port, connections=connections)
        self.database = Database(self.stack, server, Proxy(proxy_port, postgres_port))
        self.extras = Extras(self.stack, self.folder)

    @property
    def kafka(self) -> str:
        """The brokers' own addresses, past the proxies."""
        return self.stack.backend.kafka

    @property
    def auth(self) -> tuple[str, str]:
        """The credentials of the administrator."""
        return "admin", (self.folder / "admin-password").read_text().strip()

    @property
    def attacker(self) -> tuple[str, str]:
        """Name and password of the attacking user."""
        return "mallory", "nine loud gulls before noon"

    @property
    def storage(self) -> Path:
        """The folder that the operations write to."""
        return self.folder / "storage"

    async def __aenter__(self) -> Self:
        try:
            await self._up()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.extras.kill_all()
        self.wake_all()
        await self.database.close()
        await asyncio.to_thread(self.stack.down)
        for proxy in (*self.cluster.proxies, self.database.proxy):
            await proxy.close()
        if self.has_small_disk:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(self.small_disk)], check=True)
        if not self._is_kept:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _up(self) -> None:
        self._say("starting three brokers, Postgres and the services")
        await self.database.proxy.start()
        starting = asyncio.create_task(asyncio.to_thread(self.stack.up))
        while not self.stack.backend.kafka:  # the brokers' ports are known once they start
            await asyncio.sleep(0.05)
            if starting.done():
                starting.result()
        await self.cluster.start_proxies(self.stack)
        await starting
        await self._add_attacker()
        await asyncio.to_thread(self.database.execute, RECORD)
        self._say("restarting the brokers, one after the other, with a proxy before each")
        await self.cluster.advertise_proxies(self.stack)
        await self._move_wal_to_small_disk()
        await self.until_services()

    async def _add_attacker(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.database.conninfo, autocommit=True) as connection:
            await add_user(connection, *self.attacker, Role.SUBMITTER)

    async def _move_wal_to_small_disk(self) -> None:
        """Give Postgres's WAL a file system that can fill up. Needs root; without it that fault is left out."""
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

    # Actions of faults.

    def signal(self, name: str, signum: signal.Signals, *, children: bool = False) -> int | None:
        """Send a signal to a process, and optionally to its children; return its pid, or None if it does not run."""
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

    async def mend(self) -> None:
        """Restore everything after a fault that did not end properly."""
        self.extras.kill_all()
        self.wake_all()
        for proxy in (*self.cluster.proxies, self.database.proxy):
            await proxy.release()
        await self.database.mend()
        for name in self.stack.names:
            if name != "postgres" and self.stack.pid(name) is None:
                self.stack.start(name)
        await self.until_brokers()
        await self.until_services()

    def wake(self, pid: int | None) -> None:
        """SIGCONT to a process and its children."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (*process.children(recursive=True), process):
                each.send_signal(signal.SIGCONT)

    def wake_all(self) -> None:
        """SIGCONT to everything, so that nothing stays stopped after an error."""
        for process in psutil.Process().children(recursive=True):
            try:
                process.send_signal(signal.SIGCONT)
            except psutil.NoSuchProcess:
                continue

    # What faults read and wait for.

    def names_of(self, kind: str) -> tuple[str, ...]:
        """The names of the stack's processes of a kind: `api`, `processor`, `worker` or `broker`."""
        if kind == "broker":
            return BROKER_NAMES
        return tuple(name for name in self.stack.names if name.partition("-")[0] == kind)

    def pid(self, name: str) -> int:
        """The pid of a running process of the stack."""
        pid = self.stack.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        return pid

    async def until_worker(self, name: str) -> None:
        """Wait until a worker of this name has registered."""

        def is_there() -> bool:
            try:
                return bool(self.database.execute(f"select 1 from workers where name = '{name}'"))
            except psycopg.OperationalError:
                return False

        await until(f"worker {name} has registered", is_there)

    async def until_brokers(self) -> None:
        """All brokers are in the cluster, and every partition has all its replicas in sync."""
        await self.cluster.until_in_sync(self.kafka)

    async def until_services(self) -> None:
        """Wait until API, processors and workers are at work, including restarted ones."""
        ends = time.monotonic() + LIMIT_S
        while True:
            try:
                await asyncio.to_thread(self.stack.wait_ready, max(1.0, ends - time.monotonic()))
            except ProcessFailed:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    def positions(self) -> dict[int, int]:
        """The positions of the projection. Raises `psycopg.OperationalError` while Postgres is unreachable."""
        with psycopg.connect(self.database.conninfo, autocommit=True, connect_timeout=5) as connection:
            return dict(connection.execute("select partition, next_offset from positions").fetchall())

    async def caught_up(self, limit_s: float) -> float:
        """Seconds until the projection reaches the log's current end; `TimeoutError` after the limit."""
        began = time.monotonic()
        ends: dict[int, int] | None = None

        def has_passed() -> bool:
            nonlocal ends
            try:
                ends = ends or end_offsets(self.kafka)
                positions = self.positions()
            except (KafkaException, psycopg.OperationalError):
                return False
            return all(positions[number] >= end for number, end in ends.items())

        await until("the projection has caught up", has_passed, limit_s)
        return time.monotonic() - began
