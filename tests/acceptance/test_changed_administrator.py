"""Changes of the administrator survive every stop and start of a stack."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from tests.support.command import environment, pulp_tasks

ANY_PORTS = ("--api-port", "0", "--kafka-port", "0", "--postgres-port", "0")
OURS, OTHERS = "some words in a row", "another row of words"


class Operator:
    """Somebody with their own stack."""

    def __init__(self, home: Path) -> None:
        self.data = home / "data"
        self.client_file = self.data / "admin.toml"
        self.env = environment(home)
        self._password = home / "password"

    def up(self) -> str:
        """Start the stack in the background; return its output."""
        done = pulp_tasks("up", "--data", str(self.data), "--detach", "--workers", "0", *ANY_PORTS, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr + (self.data / "logs" / "supervisor.log").read_text()

    def down(self) -> None:
        pulp_tasks("down", "--data", str(self.data), env=self.env)

    def users(self, *arguments: str, password: str = "") -> "CompletedProcess[str]":
        more = []
        if password:
            self._password.write_text(password)
            more = ["--password-file", str(self._password)]
        done = pulp_tasks("users", *arguments, *more, "--data", str(self.data), env=self.env)
        assert done.returncode == 0, done.stderr
        return done

    def roles(self) -> dict[str, str]:
        return {line.split()[0]: line.split()[1] for line in self.users("list").stdout.splitlines()[1:]}

    def is_let_in(self, name: str, password: str) -> bool:
        url = (self.data / "owner.json").read_text().split('"url": "')[1].split('"')[0]
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.get(f"{url}/pulp/api/v3/tasks/", auth=(name, password)).status_code == 200


@pytest.fixture
def operator() -> Iterator[Operator]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        Path(name).chmod(0o755)  # the account that PostgreSQL runs as must pass
        made = Operator(Path(name))
        try:
            yield made
        finally:
            made.down()


def test_a_start_resets_nothing_that_somebody_has_changed(operator: Operator) -> None:
    operator.up()
    first = (operator.data / "admin-password").read_text().strip()
    assert operator.is_let_in("admin", first)
    said = operator.users("password", "admin", password=OURS).stderr
    assert str(operator.client_file) in said
    assert "does not fit any more" in said

    operator.down()
    said = operator.up()
    assert "user admin was changed or removed since the first start" in said
    assert "pulp-tasks users reset-admin" in said
    assert not operator.is_let_in("admin", first)
    assert operator.is_let_in("admin", OURS)

    operator.users("add", "jo", "--role", "admin", password=OTHERS)
    operator.users("role", "admin", "viewer")
    operator.down()
    operator.up()
    assert operator.roles() == {"admin": "viewer", "jo": "admin"}

    operator.users("remove", "admin", "--yes")
    operator.down()
    operator.up()
    assert operator.roles() == {"jo": "admin"}
    assert operator.is_let_in("jo", OTHERS)

    operator.users("reset-admin", "--yes")
    again = (operator.data / "admin-password").read_text().strip()
    assert again not in (first, OURS)
    assert operator.roles() == {"admin": "admin", "jo": "admin"}
    assert operator.is_let_in("admin", again)
    assert again in operator.client_file.read_text()
    listed = pulp_tasks("audit", "list", "--data", str(operator.data), "--output", "json", env=operator.env).stdout
    for what in ("admin-created", "password-changed", "role-changed", "user-added", "user-removed", "login-succeeded"):
        assert f'"what": "{what}"' in listed
    assert not [secret for secret in (first, again, OURS, OTHERS) if secret in listed]
