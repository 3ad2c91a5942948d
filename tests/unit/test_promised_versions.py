"""The oldest supported versions are the same in the packages, the start-up checks, the documents and the tests."""

import re
import tomllib
from pathlib import Path

import pytest
from pulp_runtime.preconditions.database import OLDEST_VERSION

from tests.matrix.__main__ import TESTS, oldest_python
from tests.support import oldest

ROOT = Path(__file__).parents[2]
PYTHON = f"3.{oldest_python()[1]}"
KAFKA = ".".join(oldest.KAFKA.split(".")[:2])


def test_all_tests_of_the_matrix_exist() -> None:
    assert [path for path in TESTS if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("folder", [".", "cli", "examples/operations"])
def test_every_package_takes_the_same_pythons(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={PYTHON}"


def test_the_types_and_the_linter_know_the_oldest_python() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["python_version"] == PYTHON
    assert tools["ruff"]["target-version"] == f"py{PYTHON.replace('.', '')}"


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("README.md", r"python3 ≥ (\S+)"),
        ("dev", r"Python (3\.\d+) or later"),
        ("CONTRIBUTING.md", r"Python (\S+) or later"),
        ("docs/tutorial.md", r"Python (\S+) or later"),
        ("docs/operate/containers.md", r"Python (\S+) or later"),
        ("deploy/Dockerfile", r"Python (\S+) or later"),
    ],
)
def test_documents_name_the_oldest_python(path: str, pattern: str) -> None:
    assert set(re.findall(pattern, (ROOT / path).read_text())) == {PYTHON}


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("README.md", r"PostgreSQL (\d+) or later"),
        ("docs/operate/database.md", r"PostgreSQL (\d+) or later"),
        ("docs/operate/preconditions.md", r"Postgres is older than (\d+)"),
        ("deploy/kubernetes/configuration.yaml", r"Postgres \((\d+) or later\)"),
    ],
)
def test_documents_name_the_oldest_postgres(path: str, pattern: str) -> None:
    assert re.findall(pattern, (ROOT / path).read_text()) == [str(OLDEST_VERSION)]


def test_the_oldest_postgres_is_tested() -> None:
    assert oldest.POSTGRES.split(".")[0] == str(OLDEST_VERSION)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("README.md", r"Kafka (\S+) or later"),
        ("docs/operate/kafka.md", r"Kafka (\S+) or later"),
        ("deploy/kubernetes/configuration.yaml", r"KRaft, (\S+) or later"),
    ],
)
def test_documents_name_the_oldest_kafka(path: str, pattern: str) -> None:
    assert re.findall(pattern, (ROOT / path).read_text()) == [KAFKA]
