"""The whole system on this machine: Kafka, Postgres, the API, processors and workers, as children of this process."""

import asyncio
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pulp_console.exits import IN_USE
from pulp_events import settings
from pulp_events.admin import create_topics, describe
from pulp_events.audit import What
from pulp_events.declared_settings import read_field
from pulp_events.defaults import API_PORT, STARTUP_TIMEOUT_S, WORKER_CONCURRENCY
from pulp_events.errors import LogUnavailable
from pulp_events.kafka import Kafka
from pulp_events.topics import Topics
from pulp_runtime.installation import Installation
from pulp_runtime.startup import prepare, wait_for_kafka
from pulp_transparency.key_files import is_cut, make_key
from pulp_transparency.settings import ring_beside
from pulp_worker.fetching.settings import LOCAL_ALLOW

from pulp_deploy.audit_trail import audit_change
from pulp_deploy.backend import Backend, BackendOptions
from pulp_deploy.chosen_ports import Ports, WantedPorts, check, choose
from pulp_deploy.credentials import ADMIN, ensure_admin, write_client_file
from pulp_deploy.errors import DeployError, NotOurs, ProcessFailed
from pulp_deploy.files import make_folder
from pulp_deploy.folder import DataFolder
from pulp_deploy.local.accounts import ROOT
from pulp_deploy.local.ports import HOST
from pulp_deploy.local.processes import Command
from pulp_deploy.local.surroundings import for_services
from pulp_deploy.log_files import SUPERVISOR_LOG, bound_own
from pulp_deploy.log_pipes import LogPipes
from pulp_deploy.probes import api_answers, stable_members, workers_are_up
from pulp_deploy.service_commands import Services
from pulp_deploy.supervision import Supervised
from pulp_deploy.temporary import make_temporary
from pulp_deploy.unprivileged import LOG, LOG_KEY, Unprivileged

READY_TIMEOUT_S: Final = 60.0
SERVICE_STOP_S: Final = 40.0
"""Longer than a worker's drain."""
HOUSEKEEPING_S: Final = 1.0

_log = logging.getLogger("pulp.stack")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What to run, and where. Ports as in `WantedPorts`."""

    data: Path
    temporary: bool = False
    """The data folder is removed when the stack is down."""
    api_port: int | None = None
    processors: int = 1
    workers: int = 1
    concurrency: int = WORKER_CONCURRENCY
    """Tasks that each worker runs at once."""
    transparency: bool = False
    """Whether the log is kept that shows whether an event was altered."""
    prefix: str = settings.TOPIC_PREFIX.default
    backend: BackendOptions = field(default_factory=BackendOptions)
    startup_timeout_s: float = STARTUP_TIMEOUT_S
    """How long a given Kafka or Postgres may be unreachable."""
    settings: Mapping[str, str] | None = None
    """More environment for the services."""

    @classmethod
    def throwaway(cls, **others: object) -> Self:
        """For tests, on a fresh temporary folder and free ports: all as one user, and Kafka asks for no login."""
        data = make_temporary()
        backend = BackendOptions(kafka_port=0, postgres_port=0, kafka_login=False, user=ROOT)
        return cls(**{"data": data, "temporary": True, "api_port": 0, "backend": backend, **others})  # type: ignore[arg-type]  # fields by name


class Stack:
    """A running stack. `up` returns when all of it is ready; `down` leaves no process behind.

    Processes have names: `kafka-1`…, `postgres`, `api`, `processor`, `worker` (with more than one of a kind:
    `worker-1`, `worker-2`, …). One that ends by itself is started again; one that `kill` or `stop` ended stays
    down until `start`.
    """

    def __init__(self, options: StackOptions, say: Callable[[str], None] = lambda line: None) -> None:
        self.options = options
        self.folder = DataFolder(options.data)
        self.backend = Backend(options.backend, self.folder, self._supervise, say)
        self._say = say
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._logs = LogPipes()
        self._processes: dict[str, Supervised] = {}
        self._held = False
        self._recording = threading.Lock()
        self._is_recorded = True
        self._is_down = threading.Event()
        self.api_port = options.api_port or API_PORT
        self.admin_password: str | None = None
        """The password of the user `admin`, once `up` has returned; None if the data folder does not have it."""

    @property
    def url(self) -> str:
        """The URL of the API; final once `up` has returned."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def client_file(self) -> Path:
        """A configuration for `pulp-admin`, as the administrator."""
        return self.folder.path / "admin.toml"

    @property
    def names(self) -> list[str]:
        """The names of all processes, in the order of their start."""
        return list(self._processes)

    def client_environment(self) -> dict[str, str]:
        """The environment with which `pulp-admin` uses this stack."""
        return {"PULP_ADMIN_CONFIG": str(self.client_file)}

    def service_environment(self) -> dict[str, str]:
        """The environment with which any of our processes joins this stack."""
        return {
            "PULP_KAFKA": self.backend.kafka,
            **self.backend.kafka_security,
            "PULP_POSTGRES": self.backend.postgres,
            "PULP_TOPIC_PREFIX": self.options.prefix,
            "PULP_STORAGE": str(self.folder.path / "storage"),
            # A feed may be on this machine, like that of the demonstration.
            "PULP_FETCH_ALLOW": os.environ.get("PULP_FETCH_ALLOW", ",".join(LOCAL_ALLOW)),
            "PULP_WEBHOOK_ALLOW": os.environ.get("PULP_WEBHOOK_ALLOW", ",".join(LOCAL_ALLOW)),
            **(self._log_settings() if self.options.transparency else {}),
            **(self.options.settings or {}),
        }

    def _log_settings(self) -> dict[str, str]:
        return {
            "PULP_TRANSPARENCY_FOLDER": str(self.folder.path / LOG),
            "PULP_TRANSPARENCY_KEY": str(self.folder.path / LOG_KEY / "signing-key"),
        }

    def up(self) -> None:
        """Start everything and wait until it is ready. If that fails, nothing is left running.

        Raises `DataFolderInUse`, `PortInUse`, `DataFolderCorrupt`, `JarMismatch`, `ProcessFailed`.
        """
        self._hold(self._up)

    def up_backend(self) -> None:
        """Start Kafka and Postgres alone; the same errors as `up`."""
        self._hold(lambda: self.backend.start(self._choose_ports(api=False), self.wait))

    def down(self) -> None:
        """Stop everything: the services first, so that they can sign off; then Kafka and Postgres."""
        self._is_down.set()
        services = [each for each in self._processes.values() if each.name not in self.backend.names]
        _all(services, lambda each: each.stop(SERVICE_STOP_S))
        _all([each for each in self._processes.values() if each not in services], lambda each: each.stop(20.0))
        self._spawner.shutdown()
        self._logs.close()
        with self._recording:
            if self._held:
                self.folder.release()
                self._held = False
        if self.options.temporary:
            shutil.rmtree(self.folder.path, ignore_errors=True)

    def pid(self, name: str) -> int | None:
        """The pid of a process, if it runs."""
        identity = self._named(name).identity
        return None if identity is None else identity.pid

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL; it stays down until `start`."""
        self._named(name).kill()

    def stop(self, name: str) -> None:
        """Stop a process gracefully; it stays down until `start`."""
        self._named(name).stop(SERVICE_STOP_S)

    def start(self, name: str) -> None:
        """Start a process that was stopped or killed. Returns before it is ready."""
        self._named(name).start()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until API, processors and workers are at work.

        Kafka counts a killed processor as a member for some seconds more: after `kill` this may be true too early.
        """
        environment = self.service_environment()
        kafka, postgres = settings.kafka(environment), environment["PULP_POSTGRES"]
        group = f"{Topics.named(self.options.prefix).events}.processor"
        self.wait("the API", lambda: api_answers(self.url), timeout_s)
        self.wait("the processor", lambda: len(stable_members(kafka, group)) >= self.options.processors, timeout_s)
        self.wait("the workers", lambda: workers_are_up(postgres, self.options.workers), timeout_s)

    def wait(self, what: str, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a condition while every process lives."""
        ends = time.monotonic() + timeout_s
        while not ready():
            for each in self._processes.values():
                each.check()
            if time.monotonic() >= ends:
                raise ProcessFailed(f"{what} was not ready within {timeout_s:g} s: see the logs in {self.folder.logs}")
            time.sleep(0.1)

    def _hold(self, start: Callable[[], object]) -> None:
        self.folder.hold()
        self._held = True
        if self.options.temporary:
            self.folder.mark_temporary()
        threading.Thread(target=self._keep_house, name="housekeeping", daemon=True).start()
        try:
            start()
        except BaseException:
            self.down()
            raise

    def _choose_ports(self, *, api: bool) -> Ports:
        """Choose the ports. Call it before anything slow, so that a port in use is reported at once."""
        wanted = self.options.backend
        made = self.folder.made_before()
        ports = choose(
            WantedPorts(api=self.options.api_port, kafka=wanted.kafka_port, postgres=wanted.postgres_port),
            self.folder.ports(),
            brokers=made.brokers if made is not None else wanted.brokers or 1,
        )
        check(ports, api=api, postgres=self.backend.owns_postgres, kafka=self.backend.owns_kafka)
        self.folder.write_ports(ports)
        self.api_port = ports.api
        return ports

    def _keep_house(self) -> None:
        """Do periodic work, which retries what failed, as on a full disk."""
        while not self._is_down.wait(HOUSEKEEPING_S):
            self._logs.look_after()
            with suppress(OSError, NotOurs):
                bound_own(self.folder.logs / SUPERVISOR_LOG)
            if not self._is_recorded:
                with suppress(Exception):  # the first failure was logged
                    self._record()

    def _up(self) -> None:
        made = self.backend.start(self._choose_ports(api=True), self.wait)
        topics = Topics.named(self.options.prefix)
        environment = self.service_environment()
        kafka, postgres = settings.kafka(environment), environment["PULP_POSTGRES"]
        self.folder.write_services(environment)
        asyncio.run(wait_for_kafka(kafka, self.options.startup_timeout_s))
        _ensure_topics(kafka, topics, partitions=made.partitions, replication=min(3, made.brokers))
        if self.options.transparency:
            self._make_log_key(
                Path(environment["PULP_TRANSPARENCY_KEY"]), Path(environment["PULP_TRANSPARENCY_FOLDER"]), topics
            )
        for command in self._services(environment):
            service = self._supervise(command)
            service.start()
            if command.name.startswith("worker"):
                # After a SIGKILL of everything, a worker's name stays in use until its last lease has expired.
                service.keep_running(tolerated=IN_USE)
        asyncio.run(
            prepare(
                Installation(
                    kafka=kafka,
                    postgres=postgres,
                    topics=topics,
                    startup_timeout_s=self.options.startup_timeout_s,
                    refuses_bad_topics=read_field(Installation, "refuses_bad_topics", os.environ),
                )
            )
        )
        self._make_admin(kafka, postgres, topics)
        self.wait_ready()
        for each in self._processes.values():
            each.keep_running()
        self.backend.complete(made)
        self.folder.write_owner(self.url)

    def _make_log_key(self, key: Path, folder: Path, topics: Topics) -> None:
        if not key.exists() or is_cut(key, ring_beside(key), folder):
            make_folder(key.parent)
            make_key(key, ring_beside(key), f"{socket.gethostname()}/{topics.events}", folder)

    def _make_admin(self, kafka: Kafka, postgres: str, topics: Topics) -> None:
        found = asyncio.run(ensure_admin(postgres, self.folder.path, self.client_file))
        self.admin_password = found.password
        if found.password is not None:
            write_client_file(self.client_file, self.url, found.password)
        if found.is_new:
            fault = audit_change(kafka, topics, What.ADMIN_CREATED, target=ADMIN, detail="by the first start")
            if fault is not None:
                self._say(f"the first administrator is not in the audit: {fault}")
        elif found.password is None and self.backend.owns_postgres:
            self._say(
                f"user {ADMIN} was changed or removed since the first start, and stays as it is: {self.client_file}"
                f" does not fit any more (for a new one: pulp-tasks users reset-admin --data {self.folder.path})"
            )
        elif found.password is None:
            self._say(
                "the database has an administrator already, made elsewhere: the client configuration was not written;"
                " give pulp-admin the name and password of one of its users"
            )

    def _services(self, environment: Mapping[str, str]) -> Iterable[Command]:
        usual = for_services(os.environ) if self.backend.owns_postgres else for_services(os.environ, libpq=True)
        whole = {**usual, **environment}
        unprivileged = Unprivileged.of(self.backend.account, self.folder.path, whole, self.backend.refuse_root)
        unprivileged.prepare(environment)
        services = Services(folder=self.folder, unprivileged=unprivileged, environment=whole)
        yield services.api(HOST, self.api_port)
        yield from services.processors(self.options.processors)
        yield from services.workers(self.options.workers, concurrency=self.options.concurrency)
        if self.options.transparency:
            yield services.transparency()

    def _supervise(self, command: Command) -> Supervised:
        supervised = Supervised(command, self._spawner, self._logs, self._record)
        self._processes[command.name] = supervised
        return supervised

    def _record(self) -> None:
        with self._recording:
            if self._held:
                self._is_recorded = False
                self.folder.write_processes({name: each.identity for name, each in list(self._processes.items())})
                self._is_recorded = True

    def _named(self, name: str) -> Supervised:
        if name not in self._processes:
            raise DeployError(f"there is no process {name}: the names are {', '.join(self.names)}")
        return self._processes[name]

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


def _ensure_topics(kafka: Kafka, topics: Topics, *, partitions: int, replication: int) -> None:
    """Create the missing topics; existing ones stay unchanged."""
    with suppress(LogUnavailable):
        partitions = describe(kafka, topics.events).partitions
    try:
        for topic in topics:
            describe(kafka, topic)
    except LogUnavailable:
        create_topics(kafka, topics, partitions=partitions, replication=replication)


def _all(processes: list[Supervised], action: Callable[[Supervised], None]) -> None:
    if not processes:
        return
    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(action, processes))
