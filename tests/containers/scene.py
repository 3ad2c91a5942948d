"""An installation in containers: the services of deploy/compose.yaml, each on this machine's network."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from pulp_deploy.local.kafka import Node
from pulp_deploy.local.ports import free_ports

from tests.support.backends import Backend
from tests.support.compose_kafka import ComposeAccess
from tests.support.engine import Engine, flags
from tests.support.manifests import COMPOSE, DEPLOY
from tests.support.secured_kafka import running_broker

LIMIT_S: Final = 90.0
PASSWORD: Final = "correct horse battery"
_V3: Final = "/pulp/api/v3"
_OPERATIONS: Final = Path(__file__).with_name("operations")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; fails after `LIMIT_S`."""
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, f"never came: {what}"
        time.sleep(0.1)


@dataclass
class Scene:
    """The containers of one installation, by the names of their services."""

    engine: Engine
    image: str
    secrets: Path
    settings: dict[str, str]
    """Replaces variables of the compose file; an empty text unsets one."""
    port: int
    superuser: str
    token: str = field(default_factory=lambda: uuid4().hex[:8])
    started: list[str] = field(default_factory=list)

    def name(self, service: str) -> str:
        """The container's name."""
        return f"pulp-tasks-test-{self.token}-{service}"

    def options(self, service: str) -> list[str]:
        """Podman's arguments for the service."""
        found: dict[str, Any] = COMPOSE["services"][service]
        environment = {**found["environment"], **self.settings}
        if environment.get("PGUSER") == "postgres":
            environment["PGUSER"] = self.superuser
        environment = {key: value for key, value in environment.items() if value}
        operations = f"--volume={_OPERATIONS}:/operations:ro"
        volumes = [f"--volume=pulp-tasks-test-{self.token}-{each}" for each in found.get("volumes", [])]
        return ["--network=host", operations, *volumes, *flags({**found, "environment": environment}, self.secrets)]

    def run(self, service: str, *command: str, more: tuple[str, ...] = (), limit_s: float = LIMIT_S) -> str:
        """Run a service of the compose file to its end, with its own command or another one."""
        arguments = command or COMPOSE["services"][service]["command"]
        return self.engine.container("--rm", *self.options(service), *more, self.image, *arguments, limit_s=limit_s)

    def start(self, service: str, *more: str) -> None:
        """Start a service; `more` are options of podman."""
        command = COMPOSE["services"][service]["command"]
        self.engine.container(
            "--detach", "--name", self.name(service), *self.options(service), *more, self.image, *command
        )
        self.started.append(service)

    def exec(self, service: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a service's container."""
        return self.engine.run("exec", self.name(service), *command)

    def is_healthy(self, service: str) -> None:
        """Wait until the service's own health check succeeds."""
        command = COMPOSE["services"][service]["healthcheck"]["test"][1:]
        command = [word.replace("24817", str(self.port)) for word in command]

        def says_yes() -> bool:
            assert self.state(service)["Running"], self.log(service)
            return self.exec(service, *command).returncode == 0

        until(says_yes, f"health of {service}: {self.log(service)}")

    def state(self, service: str) -> dict[str, Any]:
        """The container's state, from podman."""
        return dict(self.engine.inspect(self.name(service))["State"])

    def log(self, service: str) -> str:
        """The service's log."""
        result = self.engine.run("logs", self.name(service))
        return result.stdout + result.stderr

    def client(self) -> httpx.Client:
        """A client of the admin."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}{_V3}", auth=("admin", PASSWORD), timeout=30, trust_env=False
        )

    def task(self, operation: str) -> dict[str, Any]:
        """Submit a task, and wait for its end."""
        with self.client() as client:
            answer = client.post("/tasks/", json={"operation": operation, "arguments": {}})
            assert answer.status_code == 202, answer.text
            href = answer.json()["task"]
            found: dict[str, Any] = {}

            def has_ended() -> bool:
                found.update(client.get(href.removeprefix(_V3)).json())
                return found["state"] in ("completed", "failed", "canceled", "skipped")

            until(has_ended, f"the end of {operation}")
        return found

    def stop(self, service: str) -> tuple[int, float]:
        """Stop a service as the engine does: SIGTERM, then wait. Returns the exit code and the seconds that it took."""
        began_s = time.monotonic()
        self.engine("stop", "--time", "60", self.name(service))
        return int(self.state(service)["ExitCode"]), time.monotonic() - began_s

    def remove(self) -> None:
        for service in self.started:
            self.engine.run("rm", "--force", "--time", "0", self.name(service))
        for volume in COMPOSE["volumes"]:
            self.engine.run("volume", "rm", "--force", f"pulp-tasks-test-{self.token}-{volume}")


@contextmanager
def prepared(engine: Engine, image: str, backend: Backend, folder: Path) -> Iterator[Scene]:
    """An installation whose jobs have run, and with an admin; its containers are removed at the end."""
    shutil.copy(DEPLOY / "make-secrets", folder)
    subprocess.run([folder / "make-secrets"], check=True, capture_output=True)
    server = conninfo_to_dict(backend.postgres)
    if "passfile" not in server:
        pytest.skip("NOT TESTED: the image: it takes the superuser of a Postgres of the tests' own (--backend local)")
    database, (port, kafka_port, controller_port) = f"test_{uuid4().hex[:12]}", free_ports(3)
    node = Node(number=1, port=kafka_port, controller_port=controller_port, folder=folder / "kafka")
    _take_password(Path(str(server["passfile"])), folder / "secrets" / "postgres-superuser")
    (folder / "admins-password").write_text(PASSWORD)
    settings = {
        "PULP_KAFKA": f"127.0.0.1:{kafka_port}",
        "PULP_TOPIC_PREFIX": f"test-{uuid4().hex[:12]}",
        "PULP_POSTGRES": f"host={server['host']} port={server['port']} dbname={database} sslmode=disable",
        "PULP_API_HOST": "127.0.0.1",
        "PULP_API_PORT": str(port),
        "PULP_WORKER_MODULES": "seen_within",
        "PYTHONPATH": "/operations",
    }
    with (
        running_broker(node, ComposeAccess(folder / "secrets")),
        psycopg.connect(backend.postgres, autocommit=True) as connection,
    ):
        connection.execute(SQL("create database {}").format(Identifier(database)))
        scene = Scene(engine, image, folder / "secrets", settings, port, str(server["user"]))
        try:
            for job in ("topics", "acls", "roles", "migrate"):
                scene.run(job)
            password = f"--volume={folder / 'admins-password'}:/password:ro"
            add = ("users", "add", "admin", "--role", "admin", "--password-file", "/password")
            scene.run("admin", *add, more=(password,))
            yield scene
        finally:
            scene.remove()
            connection.execute(SQL("drop database {} with (force)").format(Identifier(database)))
            for role in ("api", "processor", "worker", "reader", "owner"):  # they belong to the server
                connection.execute(SQL("drop role if exists {}").format(Identifier(f"pulp_{role}")))


def _take_password(passfile: Path, secret: Path) -> None:
    """The superuser's password of the test server, in place of compose's."""
    secret.chmod(0o644)
    secret.write_text(passfile.read_text().strip().rpartition(":")[2] + "\n")
