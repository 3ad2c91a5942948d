"""A default that several programs know is the same in all of them."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pulp_admin.settings import DEFAULT_URL
from pulp_api.settings import Settings as ApiSettings
from pulp_deploy import defaults as local
from pulp_deploy.main import pulp_tasks
from pulp_events.defaults import API_PORT, WORKER_LEASE_S
from pulp_worker.settings import Settings as WorkerSettings

ROOT = Path(__file__).parents[2]
ENV = {"PULP_KAFKA": "a:1", "PULP_POSTGRES": "host=a", "PULP_STORAGE": "/s"}


def test_the_api_listens_where_the_client_asks() -> None:
    assert ApiSettings.read(ENV).port == API_PORT
    assert f"http://127.0.0.1:{API_PORT}" == DEFAULT_URL


def test_a_worker_keeps_the_lease_by_which_it_is_judged() -> None:
    assert WorkerSettings.read(ENV).lease_s == WORKER_LEASE_S


@pytest.mark.parametrize("path", ["deploy/compose.yaml", "deploy/Dockerfile", "deploy/kubernetes/api.yaml"])
def test_containers_have_the_same_port(path: str) -> None:
    ports = re.findall(r"(?:127\.0\.0\.1:|EXPOSE |[pP]ort: )(\d{5})", (ROOT / path).read_text())
    assert ports
    assert set(ports) == {str(API_PORT)}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("up", f"({API_PORT}; 0: any free one)"),
        ("up", f"({local.KAFKA_PORT}; 0: any free ones)"),
        ("up", f"({local.POSTGRES_PORT}; 0: any free one)"),
        ("api", f"(PULP_API_PORT, {API_PORT})"),
    ],
)
def test_help_names_them(command: str, words: str) -> None:
    shown = CliRunner().invoke(pulp_tasks, [command, "--help"]).output
    assert words in " ".join(shown.split())


def test_no_server_file_but_the_settings_repeats_the_port() -> None:
    folders = ("events", "projections", "services", "deploy", "operations")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {path.name for path in paths if str(API_PORT) in path.read_text()}
    assert found <= {"defaults.py", "settings.py"}
