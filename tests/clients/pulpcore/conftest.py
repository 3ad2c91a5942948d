"""A real pulpcore, in two releases, each with its own database on the tests' Postgres."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from tests.support.backends import Backend
from tests.support.client_environment import python_with
from tests.support.command import environment

SERVED = Path(__file__).with_name("served.py")


@dataclass(frozen=True, slots=True)
class Pulpcore:
    """The process that answers as pulpcore does."""

    release: str
    process: "subprocess.Popen[str]"
    said: Path
    """What it writes to standard error."""

    def order(self, **order: Any) -> Any:
        """Its answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """The next line that it writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"pulpcore {self.release} has ended: {self.said.read_text()[-2000:]}"
        return json.loads(line)

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the body."""
        answer = self.order(get=path)
        return answer["status"], answer["body"]


@contextmanager
def started(release: str, backend: Backend, folder: Path) -> Iterator[Pulpcore]:
    """The release, with its tables; skips the test where it cannot be installed."""
    python = python_with(f"pulpcore-{release}", f"pulpcore=={release}")
    name = f"pulpcore_{uuid4().hex[:12]}"
    with psycopg.connect(backend.postgres, autocommit=True) as server:
        server.execute(SQL("create database {}").format(Identifier(name)))
    try:
        env = environment(folder, **_settings(backend, name, folder))
        said = folder / "said"
        with (
            said.open("w") as errors,
            subprocess.Popen(
                [python, SERVED],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
            ) as process,
        ):
            pulpcore = Pulpcore(release, process, said)
            assert pulpcore.answer() == {"ready": True}
            yield pulpcore
            assert process.stdin is not None
            process.stdin.close()  # it ends at the end of its input
            process.wait(60)
    finally:
        with psycopg.connect(backend.postgres, autocommit=True) as server:
            server.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def _settings(backend: Backend, name: str, folder: Path) -> dict[str, str]:
    """Pulpcore's settings; none comes from a file, and nothing leaves the machine."""
    server = conninfo_to_dict(backend.postgres)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": str(server.get("user", "")),
        "PASSWORD": str(server.get("password", "")),
        "HOST": str(server.get("host", "")),
        "PORT": str(server.get("port", "")),
    }
    key = folder / "key"
    key.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
    (folder / "tmp").mkdir()
    return {
        "PGPASSFILE": str(server.get("passfile", "")),
        "DJANGO_SETTINGS_MODULE": "pulpcore.app.settings",
        **{f"PULP_DATABASES__default__{field}": _text(value) for field, value in database.items()},
        "PULP_SECRET_KEY": _text(uuid4().hex),
        "PULP_DB_ENCRYPTION_KEY": str(key),
        "PULP_CONTENT_ORIGIN": "http://pulp",
        "PULP_CACHE_ENABLED": "false",
        "PULP_ANALYTICS": "false",
        "PULP_DEPLOY_ROOT": str(folder),
        "PULP_MEDIA_ROOT": str(folder / "media"),
        "PULP_STATIC_ROOT": str(folder / "assets"),
        "PULP_WORKING_DIRECTORY": str(folder / "tmp"),
        "PULP_FILE_UPLOAD_TEMP_DIR": str(folder / "tmp"),
    }


def _text(value: str) -> str:
    """The value for dynaconf, which would read digits as a number."""
    return f"@str {value}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a pulpcore keeps its files."""
    return tmp_path
