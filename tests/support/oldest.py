"""The oldest supported Apache Kafka and PostgreSQL: `--backend oldest`.

Both come from jars, as the Kafka of the local stack does. PostgreSQL's jar holds no Java: it is an archive of its programs.
"""

import io
import platform
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from pulp_deploy.files import write_private
from pulp_deploy.local.accounts import Account, give, server_account
from pulp_deploy.local.kafka import Kafka, Node
from pulp_deploy.local.ports import HOST, free_ports
from pulp_deploy.local.postgres import SETTINGS, STOP_SIGNAL
from pulp_deploy.local.processes import Command, spawn, stop, tail

KAFKA: Final = "3.9.1"
POSTGRES: Final = "15.15.0"
_KAFKA_JARS: Final = f"org.apache.kafka:kafka_2.13:{KAFKA}"
_POSTGRES_JAR: Final = "io.zonky.test.postgres:embedded-postgres-binaries"
_PLATFORMS: Final = {
    ("linux", "x86_64"): "linux-amd64",
    ("linux", "aarch64"): "linux-arm64v8",
    ("darwin", "x86_64"): "darwin-amd64",
    ("darwin", "arm64"): "darwin-arm64v8",
}
_USER: Final = "pulp"
_READY_S: Final = 60.0
_STOP_S: Final = 30.0


class NotAvailable(Exception):
    """A server is not available on this machine; the message says why."""


def check_available() -> None:
    """Download the jars if needed. Raises `NotAvailable`."""
    with _folder() as folder:
        _jars(_KAFKA_JARS, folder)
        _jars(_postgres_jar(), folder)


@contextmanager
def oldest_kafka() -> Iterator[str]:
    """A broker on a folder of its own; the bootstrap servers. Raises `NotAvailable`."""
    with _folder() as folder:
        port, controller_port = free_ports(2)
        node = Node(number=1, port=port, controller_port=controller_port, folder=folder / "kafka")
        jars = ":".join(map(str, _jars(_KAFKA_JARS, folder / "jars")))
        kafka = Kafka(cluster_id="oldest-kafka-of-tests0", nodes=(node,), class_path=jars)
        kafka.prepare(node)
        with _running(kafka.command(node, folder), kafka.is_ready):
            yield kafka.bootstrap


@contextmanager
def oldest_postgres() -> Iterator[str]:
    """A server on a folder of its own; the conninfo of its superuser. Raises `NotAvailable`."""
    with _folder() as folder:
        account = server_account()
        programs = _unpack(folder)
        data = folder / "data"
        password = secrets.token_urlsafe(24)
        _make_cluster(programs, data, password, account)
        [port] = free_ports(1)
        conninfo = make_conninfo(host=HOST, port=port, user=_USER, password=password, dbname="postgres")
        settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
        command = Command(
            name="postgres",
            arguments=[str(programs / "postgres"), "-D", str(data), "-p", str(port), *settings],
            log=folder / "postgres.log",
            folder=Path("/"),
            account=account,
            stop_signal=STOP_SIGNAL,
            death_signal=STOP_SIGNAL,
        )
        with _running(command, lambda: _answers(conninfo)):
            yield conninfo


def _jars(coordinates: str, folder: Path) -> list[Path]:
    import jgo

    try:
        return list(jgo.build(coordinates, cache_dir=folder).all_jars)
    except Exception as error:
        raise NotAvailable(f"{coordinates} could not be downloaded: {error}") from error


def _postgres_jar() -> str:
    machine = _PLATFORMS.get((sys.platform, platform.machine()))
    if machine is None:
        raise NotAvailable(f"there is no PostgreSQL {POSTGRES} for {sys.platform} on {platform.machine()}")
    return f"{_POSTGRES_JAR}-{machine}:{POSTGRES}"


def _unpack(folder: Path) -> Path:
    """The folder of PostgreSQL's programs."""
    [jar] = _jars(_postgres_jar(), folder / "jars")
    with zipfile.ZipFile(jar) as archive:
        [packed] = (each for each in archive.namelist() if each.endswith(".txz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(packed)), mode="r:xz") as programs:
            # Python before 3.11.4 has no filters, and no argument for them.
            programs.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            programs.extractall(folder / "postgres")
    return folder / "postgres" / "bin"


def _make_cluster(programs: Path, data: Path, password: str, account: Account | None) -> None:
    password_file = data.with_name("password")
    write_private(password_file, f"{password}\n", None if account is None else account.ids)
    data.mkdir(mode=0o700)
    give(data, account)
    arguments = ("-U", _USER, "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync")
    subprocess.run(
        [programs / "initdb", "-D", data, *arguments, f"--pwfile={password_file}"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=None if account is None else account.user,
        group=None if account is None else account.group,
        extra_groups=None if account is None else [],
    )


def _answers(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _running(command: Command, is_ready: Callable[[], bool]) -> Iterator[None]:
    with command.log.open("wb") as log:
        process = spawn(command, log.fileno())
    try:
        ends = time.monotonic() + _READY_S
        while not is_ready():
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{command.name} did not start:\n{tail(command.log)}")
            time.sleep(0.1)
        yield
    finally:
        stop(process, command.stop_signal, _STOP_S)


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that the server's account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pulp-oldest-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
