"""Kafka and Postgres of a stack: started here, or those that PULP_KAFKA and PULP_POSTGRES name."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from pulp_events.security import KEYS

from pulp_deploy.chosen_ports import Ports
from pulp_deploy.defaults import PARTITIONS
from pulp_deploy.errors import DataFolderCorrupt, DeployError
from pulp_deploy.files import make_folder
from pulp_deploy.folder import DataFolder, Made
from pulp_deploy.local.accounts import ROOT, server_account
from pulp_deploy.local.jars import class_path
from pulp_deploy.local.kafka import Kafka, Node
from pulp_deploy.local.kafka_access import Access, Anybody, Login
from pulp_deploy.local.postgres import CONNECTIONS, Postgres
from pulp_deploy.local.processes import Command
from pulp_deploy.local.warm_start import warm
from pulp_deploy.supervision import Supervised

READY_S: Final = 60.0

Supervise = Callable[[Command], Supervised]


class Wait(Protocol):
    """Wait until a condition holds; raises if a process ends before or the time is up."""

    def __call__(self, what: str, ready: Callable[[], bool], timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """Which Kafka and Postgres to use. Ports as in `WantedPorts`."""

    brokers: int | None = None
    """1 or 3; None: as many as the data folder was created with, else 1."""
    partitions: int = PARTITIONS
    """The number of partitions of a new events topic."""
    kafka_port: int | None = None
    postgres_port: int | None = None
    postgres_connections: int = CONNECTIONS
    """How many our own Postgres takes at most."""
    kafka_login: bool = True
    """Whether our own Kafka asks for a login. Tests and benchmarks do without."""
    user: str | None = None
    """The account for processes that root starts; None: the first usual account that can run them, else root."""
    given_kafka: str | None = None
    """Brokers; how to connect to them is in the environment (`pulp_events.security`)."""
    given_postgres: str | None = None


class Backend:
    """The broker and the database under a stack."""

    def __init__(
        self, options: BackendOptions, folder: DataFolder, supervise: Supervise, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._folder = folder
        self._supervise = supervise
        self._say = say
        self.kafka = options.given_kafka or ""
        theirs = {key: os.environ[key] for key in KEYS if key in os.environ}
        self.kafka_security = dict.fromkeys(theirs, "") if self.owns_kafka else theirs
        """How the processes of the stack connect to it: settings by their names."""
        self.kafka_client_file: Path | None = None
        """The client configuration for the tools of our own Kafka."""
        self.postgres = options.given_postgres or ""
        self._server_account = server_account(None if options.user == ROOT else options.user)
        self.account = None if options.user == ROOT else self._server_account
        """The account for processes that root starts, if it can run them; None: our own. PostgreSQL never runs as
        root."""
        self.names: set[str] = set()

    @property
    def owns_postgres(self) -> bool:
        """Whether the database is the stack's own."""
        return self._options.given_postgres is None

    @property
    def owns_kafka(self) -> bool:
        """Whether the broker is the stack's own."""
        return self._options.given_kafka is None

    def start(self, ports: Ports, wait: Wait) -> Made:
        """Start Kafka and Postgres in parallel, unless given, and wait until they are ready. The caller holds the
        folder.

        Raises `DataFolderCorrupt`, `DataFolderUnusable`, `JarMismatch`, `ProcessFailed`.
        """
        made = self._folder.made(brokers=self._options.brokers, partitions=self._options.partitions)
        postgres = self._own_postgres(made, ports.postgres) if self.owns_postgres else None
        if self.owns_kafka:
            make_folder(self._folder.path / "kafka", 0o700 if self.account is None else 0o711)
        login = self._own_login() if self.owns_kafka and self._options.kafka_login else None
        kafka = self._own_kafka(made, ports.kafka, login or Anybody()) if self.owns_kafka else None
        commands: list[Command] = []
        with ThreadPoolExecutor(2) as pool:
            preparing = []
            if postgres is not None:
                preparing.append(pool.submit(postgres.prepare))
            if kafka is not None:
                preparing.extend(pool.submit(kafka.prepare, node) for node in kafka.nodes)
            for each in preparing:
                each.result()
        if postgres is not None:
            self.postgres = postgres.conninfo()
            commands.append(postgres.command(self._folder.logs))
        if kafka is not None:
            self.kafka = kafka.bootstrap
            commands.extend(kafka.command(node, self._folder.logs) for node in kafka.nodes)
        for command in commands:
            self.names.add(command.name)
            self._supervise(command).start()
        if postgres is not None:
            wait("PostgreSQL", postgres.is_ready, READY_S)
        if kafka is not None:
            wait("Kafka", kafka.is_ready, READY_S)
            if login is not None:
                kafka.give_login(login)
                wait("Kafka's login", partial(kafka.takes_login, login), READY_S)
        return made

    def complete(self, made: Made) -> None:
        """Record that the stack has been up once."""
        if not made.complete:
            self._folder.write_made(replace(made, complete=True))

    def _own_login(self) -> Login:
        login = Login.of(self._folder.path / "kafka" / "login")
        self.kafka_security |= login.environment
        self.kafka_client_file = login.client_file
        return login

    def _own_kafka(self, made: Made, ports: tuple[int, ...], access: Access) -> Kafka:
        nodes = tuple(
            Node(
                number=number,
                port=ports[2 * number - 2],
                controller_port=ports[2 * number - 1],
                folder=self._folder.path / "kafka" / str(number),
            )
            for number in range(1, made.brokers + 1)
        )
        for node in nodes:
            self._expect(made, node.data)
        kafka = Kafka(cluster_id=made.cluster_id, nodes=nodes, class_path=class_path(self._say), access=access)
        if self.account is not None:
            kafka = kafka.unprivileged(self.account, self._folder.path / "kafka", self.refuse_root)
        return warm(kafka, self._say)

    def refuse_root(self, reason: str) -> None:
        """Report why something runs as root after all. Raises `DeployError` if an account was asked for."""
        if self._options.user is not None:
            raise DeployError(f"{reason}; leave --user out to run it as root all the same")
        self._say(reason)

    def _own_postgres(self, made: Made, port: int) -> Postgres:
        postgres = Postgres(
            folder=self._folder.path / "postgres",
            port=port,
            connections=self._options.postgres_connections,
            account=self._server_account,
        )
        self._expect(made, postgres.data)
        postgres.check_folder()
        return postgres

    def _expect(self, made: Made, data: "os.PathLike[str]") -> None:
        if made.complete and not os.path.exists(data):
            raise DataFolderCorrupt(
                f"{data} is missing, though this stack has run before: restore it from a backup, or start on another"
                " data folder"
            )
