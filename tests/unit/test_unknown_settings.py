"""A process reports names in its environment that look like settings but are not."""

import subprocess
import sys
from pathlib import Path

import pytest
from pulp_deploy.unknown_settings import unknown

from tests.support.command import environment


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PULP_KAFKAA", "PULP_KAFKA"),
        ("PULP_API_PROT", "PULP_API_PORT"),
        ("PULP_FETCH_READ", "PULP_FETCH_READ_S"),
        ("PULP_SECRET_KEY", None),
    ],
)
def test_a_name_that_is_no_setting_is_found_with_the_one_that_was_meant(name: str, meant: str | None) -> None:
    assert list(unknown({name: "x", "PATH": "/bin"})) == [(name, meant)]


def test_settings_of_all_processes_and_of_the_client_are_known() -> None:
    assert (
        list(unknown({"PULP_API_PORT": "1", "PULP_STALL_S": "1", "PULP_YUM_GENERATIONS": "1", "PULP_URL": "x"})) == []
    )


def test_what_operations_get_is_not_our_business() -> None:
    assert list(unknown({"PULP_WORKER_ENVIRONMENT": "PULP_MINE, OTHER", "PULP_MINE": "x"})) == []


def test_what_kubernetes_sets_for_services_is_no_mistake() -> None:
    links = ("PULP_API_SERVICE_HOST", "PULP_API_SERVICE_PORT_HTTP", "PULP_DB_PORT", "PULP_DB_PORT_5432_TCP_ADDR")
    assert list(unknown(dict.fromkeys(links, "x"))) == []


@pytest.mark.parametrize("command", ["api", "processor", "worker"])
def test_a_process_warns_once_when_it_starts(command: str, tmp_path: Path) -> None:
    given = {"PULP_KAFKA": "127.0.0.1:1", "PULP_POSTGRES": "host=127.0.0.1 port=1", "PULP_STORAGE": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "pulp_deploy", command],
        env=environment(tmp_path, **given, PULP_KAFKAA="secret-word", PULP_STARTUP_TIMEOUT_S="0"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr.count("PULP_KAFKAA is not a setting; did you mean PULP_KAFKA?") == 1
    assert "level=WARNING" in ended.stderr
    assert "secret-word" not in ended.stderr
