"""The whole system with everything that faults need: three brokers, a proxy before each of their listeners, one before
Postgres.
"""

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
from pulp_deploy.stack import Stack, StackOptions

from tests.faults.cluster import BROKERS, PARTITIONS, Cluster, end_offsets
from tests.faults.database import Database
from tests.faults.extras import Extras
from tests.faults.proxy import Proxy
from tests.faults.waiting import LIMIT_S, until

ROOT: Final = Path(__file__).resolve().parents[2]
PROCESSORS: Final = 2
WORKERS: Final = 3
DISK_MB: Final = 2048


class Arena:
    """Up between `async with`. Names of processes are the stack's: `kafka-1`, `processor-2`, `worker-3`, `api`."""

    def __init__(self, say: Callable[[str], None], kept: Path | None = None) -> None:
        """`kept` is a folder for all data and logs, which stays; without it they go to one that does not."""
        self._say = say
        self._is_kept = kept is not None
        self.folder = kept or Path(tempfile.mkdtemp(prefix="pulp-faults-"))
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        self.cluster = Cluster(self.folder / "kafka")
        postgres_port, proxy_port = free_ports(2)
        self.has_small_disk = False
        self.small_disk = self.folder / "wal"
        self.stack = Stack(
            StackOptions(
                data=self.folder,
                api_port=0,
                processors=PROCESSORS,
                workers=WORKERS,
                backend=BackendOptions(
                    user=accounts.ROOT,  # limits of another user's processes cannot be set everywhere, though we are root
                    brokers=BROKERS,
                    partitions=PARTITIONS,
                    kafka_port=0,
                    postgres_port=postgres_port,
                    kafka_login=False,
                ),
                settings={
                    "PULP_KAFKA": self.cluster.bootstrap,
                    "PULP_POSTGRES": self._conninfo(proxy_port),
                    "PULP_WORKER_MODULES": "tests.faults.operations",
                    "PYTHONPATH": str(ROOT),
                },
            ),
            say,
        )
        self.database = Database(self.stack, self.folder / "postgres", postgres_port, Proxy(proxy_port, postgres_port))
        self.extras = Extras(self.stack, self.folder)

    @property
    def kafka(self) -> str:
        """Straight to the brokers."""
        return self.stack.backend.kafka

    @property
    def auth(self) -> tuple[str, str]:
        """Of the administrator."""
        return "admin", (self.folder / "admin-password").read_text().strip()

    @property
    def attacker(self) -> tuple[str, str]:
        """Name and password of a user who means no good."""
        return "mallory", "nine loud gulls before noon"

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
        while not self.stack.backend.kafka:  # the ports of the brokers are known once they start
            await asyncio.sleep(0.05)
            if starting.done():
                starting.result()
        await self.cluster.start_proxies(self.stack)
        await starting
        await self._add_attacker()
        self._say("restarting the brokers, one after the other, with a proxy before each")
        await self.cluster.advertise_proxies(self.stack)
        await self._move_wal_to_small_disk()
        await self.until_services()

    async def _add_attacker(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.database.conninfo, autocommit=True) as connection:
            await add_user(connection, *self.attacker, Role.SUBMITTER)

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

    async def mend(self) -> None:
        """Have everything as it was, after a fault that did not end as it should."""
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

    async def until_worker(self, name: str) -> None:
        """A worker of this name has registered."""

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
        """API, processors and workers are at work, those included that ended and were started again."""
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
                ends = ends or end_offsets(self.kafka)
                positions = self.positions()
            except (KafkaException, psycopg.OperationalError):
                return False
            return all(positions[number] >= end for number, end in ends.items())

        await until("the projection has caught up", has_passed, limit_s)
        return time.monotonic() - began
