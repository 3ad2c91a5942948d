"""The released Schemathesis against a whole stack: all its checks, with and without credentials, stateful.

It reads the document that the server serves, and judges each answer by it. `hooks.py` tells it which objects exist, and
which of its findings are not faults. Without options it makes a few requests of each kind, from a seed that the run
prints first; more: `./dev test tests/clients/schemathesis --schemathesis-examples 200`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.clients.pulp3.conftest import Server, running_server
from tests.support.client_environment import python_with

pytestmark = pytest.mark.timeout(3600)
RELEASE = "4.32.5"
HOOKS = Path(__file__).with_name("hooks.py")
API = "/pulp/api/v3"
SERVED = f"{API}/docs/api.json?pk_path=1&served=1"
"""All that is served, with ids in its paths."""
WHOLE = f"{API}/docs/api.json?pk_path=1"
"""What pulp-cli reads: also the calls of Pulp that are not served here."""
ENDLESS = "events_stream"
"""The one call whose answer does not end. `tests/integration/test_api_stream.py` has its answers and its refusals."""


@dataclass(frozen=True, slots=True)
class Schemathesis:
    """The command, its target, and its number of requests."""

    program: Path
    server: Server
    known: dict[str, list[str]]
    folder: Path
    seed: int
    examples: int

    def run(self, document: str, *options: str, auth: str | None) -> str:
        """Its output. Fails the test with that output if it has found something."""
        config = self.folder / "schemathesis.toml"
        config.write_text(f"hooks = {json.dumps(str(HOOKS))}\n")
        login = [] if auth is None else ["--auth", auth]
        command = [
            *(str(self.program), "--config-file", str(config), "run", f"{self.server.url}{document}", *login, *options),
            *("--checks", "all", "--continue-on-failure", "--no-color", "--request-timeout", "20"),
            *("--exclude-operation-id", ENDLESS, "--generation-database", "none"),
            *("--seed", str(self.seed), "--max-examples", str(self.examples)),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "KNOWN_IDS": json.dumps(self.known), "NO_PROXY": "*"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def admin(self) -> str:
        """The login of the administrator."""
        return f"{self.server.name}:{self.server.password}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A stack of its own, since much is created and removed here; it believes the address that the client states."""
    with running_server({"PULP_API_TRUSTED_PROXIES": "127.0.0.1"}) as found:
        yield found


@pytest.fixture(scope="module")
def schemathesis(
    server: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Schemathesis:
    python = python_with("schemathesis", f"schemathesis=={RELEASE}")
    seed = int(request.config.getoption("--schemathesis-seed"))
    examples = int(request.config.getoption("--schemathesis-examples"))
    folder = tmp_path_factory.mktemp("schemathesis")
    return Schemathesis(python.with_name("st"), server, things(server), folder, seed, examples)


def things(server: Server) -> dict[str, list[str]]:
    """Something in every folder of the API, and tasks in every state; the folder → the names in its URLs."""

    def post(path: str, **body: Any) -> str:
        answer = server.http.post(f"{API}/{path}/", json=body)
        assert answer.status_code == 201, answer.text
        return name_of(answer.json()["pulp_href"])

    group = str(uuid4())
    failed = server.submit("misbehave", arguments={"how": "raise"}, group_id=group)
    ended = [*(server.submit("echo", group_id=group) for _ in range(3)), failed]
    skipped = server.submit("echo", depends_on=[failed])
    tasks = [*ended, skipped, server.submit("patient"), server.submit("echo", queue="nobody")]
    for href in (*ended, skipped):
        server.until(href, "completed", "failed")
    schedule = {"task_name": "echo", "interval_seconds": 86_400}
    workers = server.read(f"{API}/workers/")["results"]
    return {
        "tasks": [name_of(href) for href in tasks],
        "task-groups": [group],
        "repositories/rpm/rpm": [post("repositories/rpm/rpm", name=f"zoo-{number}") for number in range(3)],
        "task-schedules": [post("task-schedules", name=f"daily-{number}", **schedule) for number in range(3)],
        "tokens": [post("tokens", name=f"token-{number}", role="viewer") for number in range(3)],
        "workers": [name_of(worker["pulp_href"]) for worker in workers],
        "operations": ["echo", "sized", "sync"],
        "users": [server.name],
        "groups": ["admin", "viewer"],
    }


def name_of(href: str) -> str:
    """The last part of an href."""
    return href.rstrip("/").rsplit("/", 1)[-1]


def test_what_is_served_with_credentials(schemathesis: Schemathesis) -> None:
    shown = schemathesis.run(SERVED, "--phases", "examples,coverage,fuzzing", auth=schemathesis.admin)
    assert "API Operations" in shown


def test_what_is_served_without_credentials(schemathesis: Schemathesis) -> None:
    schemathesis.run(SERVED, "--phases", "fuzzing", auth=None)


def test_calls_that_follow_each_other(schemathesis: Schemathesis) -> None:
    schemathesis.run(SERVED, "--phases", "stateful", auth=schemathesis.admin)


def test_the_document_that_clients_of_pulp_read(schemathesis: Schemathesis) -> None:
    schemathesis.run(WHOLE, "--phases", "fuzzing", auth=schemathesis.admin)


def test_nothing_that_was_sent_has_broken_the_server(schemathesis: Schemathesis, server: Server) -> None:
    assert server.until(server.submit("echo"), "completed")["result"]
    assert httpx.get(f"{server.url}{API}/status/", trust_env=False).status_code == 200
