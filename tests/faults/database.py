"""The Postgres under faults: the stack's own server, or the promoted standby after a failover."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import make_conninfo
from pulp_deploy.local.accounts import server_account
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.local.postgres import Postgres
from pulp_deploy.local.processes import Command, open_log, spawn
from pulp_deploy.stack import Stack

from tests.faults.proxy import Proxy
from tests.faults.waiting import until


class Database:
    """The current primary. The services reach it through `proxy`."""

    def __init__(self, stack: Stack, server: Postgres, proxy: Proxy) -> None:
        """`server` is the stack's own; the services use the `proxy` in front of it."""
        self.proxy = proxy
        self.failovers = 0
        self._stack = stack
        self._home = server.folder
        self._server = server
        self._wal: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        """The process of a server that the suite started; None if the stack runs it."""
        self._standby: Standby | None = None

    @property
    def conninfo(self) -> str:
        """The server's own address, past the proxy, without the timeouts that faults set."""
        return make_conninfo(self._conninfo, options="-c statement_timeout=0")

    def through_proxy(self) -> str:
        """The address for the services, through the proxy."""
        return make_conninfo(self._conninfo, port=self.proxy.port)

    @property
    def _conninfo(self) -> str:
        return make_conninfo(self._server.conninfo(), passfile=str(self._home / "pgpass"))

    @property
    def processes(self) -> list[psutil.Process]:
        """The server's process and its children."""
        pid = self._stack.pid("postgres") if self._process is None else self._process.pid
        if pid is None:
            return []
        try:
            main = psutil.Process(pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signum)

    async def kill(self) -> None:
        """Kill all of its processes, as a power cut does; they stay down until `start`."""
        children = self.processes[1:]
        if self._process is None:
            await asyncio.to_thread(self._stack.kill, "postgres")
        else:
            self._process.kill()
            self._process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    async def stop(self) -> None:
        """Shut it down as an operator does; it stays down until `start`."""
        if self._process is None:
            await asyncio.to_thread(self._stack.stop, "postgres")
        else:
            self._process.send_signal(signal.SIGINT)
            await asyncio.to_thread(self._process.wait)

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        if self._process is None:
            self._stack.start("postgres")
        await self.until_ready()

    async def mend(self) -> None:
        """Restore it after a fault: running, awake, with its settings."""
        if self._standby is not None:
            await self._standby.discard()
            self._standby = None
        if self._process is None and self._stack.pid("postgres") is None:
            self._stack.start("postgres")
        await self.until_ready()
        await asyncio.to_thread(self.execute, "alter system reset all")
        await asyncio.to_thread(self.execute, "select pg_reload_conf()")

    async def until_ready(self) -> None:
        """Wait until it answers; restart a server of the suite that has ended."""
        await until("Postgres answers", self._is_ready)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Execute a statement as the owner, past the proxy."""
        with psycopg.connect(self.conninfo, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def move_wal(self, disk: Path) -> None:
        """Move its WAL to another file system, and that of later standbys. The server must be down."""
        self._wal = disk
        place, moved = self._server.data / "pg_wal", disk / "primary"
        shutil.copytree(place, moved)
        shutil.rmtree(place)
        place.symlink_to(moved)
        for path in (moved, *moved.rglob("*")):
            _give_to_server(path)

    async def make_standby(self) -> "Standby":
        """Start an asynchronous standby of the primary, connected by a proxy of its own."""
        [port, way] = free_ports(2)
        link = Proxy(way, self._server.port)
        await link.start()
        folder = self._home / f"standby-{self.failovers + 1}"
        folder.mkdir(mode=0o711)
        if (self._home / "server").exists():
            (folder / "server").symlink_to(self._home / "server")
        server = Postgres(folder=folder, port=port, connections=self._server.connections)
        standby = Standby(server, link, self._home / "pgpass")
        self._standby = standby
        await asyncio.to_thread(standby.copy, None if self._wal is None else self._wal / folder.name)
        standby.start()
        follows = "select 1 from pg_stat_replication where application_name = 'walreceiver' and state = 'streaming'"
        await until("the standby follows", lambda: bool(self.execute(follows)))
        return standby

    async def take(self, standby: "Standby") -> None:
        """Promote the standby, and direct the services' proxy to it."""
        self._server, self._process, self._standby = standby.server, standby.process, None
        await asyncio.to_thread(self.execute, "select pg_promote()")
        self.failovers += 1
        self.proxy.target = standby.server.port
        self.proxy.reset()
        await standby.link.close()

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            self._process = _spawn(self._server.command(self._server.folder))
        try:
            return bool(self.execute("select 1"))
        except psycopg.OperationalError:
            return False

    async def close(self) -> None:
        """End the servers that the suite started."""
        if self._standby is not None:
            await self._standby.discard()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            await asyncio.to_thread(self._process.wait, 20)


class Standby:
    """A server that follows the primary over `link`."""

    def __init__(self, server: Postgres, link: Proxy, password_file: Path) -> None:
        self.server = server
        self.link = link
        self.process: subprocess.Popen[bytes] | None = None
        self._password_file = password_file

    def copy(self, wal: Path | None) -> None:
        """Take a base backup; `wal` is where its WAL goes, if not with the rest."""
        account = server_account()
        program = Path(self.server.command(self.server.folder).arguments[0]).with_name("pg_basebackup")
        for path in filter(None, (self.server.data, wal)):
            path.mkdir(mode=0o700)
            _give_to_server(path)
        password = self._password_file.read_text().strip().rpartition(":")[2]
        subprocess.run(
            [
                *(str(program), "-D", str(self.server.data), "-h", HOST, "-p", str(self.link.port), "-U", "pulp"),
                *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
                *([] if wal is None else ["--waldir", str(wal)]),
            ],
            check=True,
            capture_output=True,
            cwd="/",
            env={**os.environ, "PGPASSWORD": password},
            user=None if account is None else account.user,
            group=None if account is None else account.group,
            extra_groups=None if account is None else [],
        )

    def start(self) -> None:
        """Follow the primary. Call it from a thread that lives as long as the run: the server dies with it."""
        self.process = _spawn(self.server.command(self.server.folder))

    async def discard(self) -> None:
        """Remove the standby."""
        if self.process is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        await self.link.close()
        await asyncio.to_thread(shutil.rmtree, self.server.data, ignore_errors=True)


def _spawn(command: Command) -> "subprocess.Popen[bytes]":
    with open_log(command.log) as output:
        return spawn(command, output)


def _give_to_server(path: Path) -> None:
    account = server_account()
    if account is not None:
        os.chown(path, account.user, account.group)
