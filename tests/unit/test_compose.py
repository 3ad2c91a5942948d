"""The compose file and its passwords, as far as they can be checked without an engine."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pulp_deploy.main import pulp_tasks
from pulp_events.declared_settings import read
from pulp_projections.personal.master import MasterKeys
from pulp_runtime.installation import Installation
from pulp_runtime.telemetry.settings import MetricsSettings
from pulp_transparency.settings import Settings as TransparencySettings
from pulp_worker.settings import Settings as WorkerSettings

from tests.support.manifests import COMPOSE, DEPLOY, seconds

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "pulp-tasks"}
SERVING = ("api", "processor", "worker")
JOBS = ("topics", "acls", "roles", "migrate", "admin")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with the script in it, and the secrets that it created."""
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True, capture_output=True)
    return tmp_path


def test_compose_runs_every_process_on_what_it_starts() -> None:
    assert {*SERVICES} == {*SERVING, *JOBS, "transparency", "kafka", "postgres"}
    assert {*OURS} == {*SERVING, *JOBS, "transparency"}
    volumes = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert volumes == set(COMPOSE["volumes"])
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert set(service["networks"]) <= set(COMPOSE["networks"])


@pytest.mark.parametrize("name", [name for name, service in OURS.items() if "command" in service])
def test_each_service_runs_a_command_that_there_is(name: str) -> None:
    result = CliRunner().invoke(pulp_tasks, [*OURS[name]["command"], "--help"])
    assert result.exit_code == 0, result.output


def test_nothing_relies_on_a_compose_that_waits_for_health() -> None:
    conditions = {needed["condition"] for service in OURS.values() for needed in service.get("depends_on", {}).values()}
    assert conditions == {"service_started", "service_completed_successfully"}  # each process does its own waiting
    restarts = {name: service["restart"] for name, service in OURS.items()}
    assert {restarts[name] for name in (*SERVING, "transparency")} == {"unless-stopped"}
    assert {restarts[name] for name in JOBS if name != "admin"} == {"on-failure"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()
    assert not any(volume.startswith(("/", ".")) for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_a_container_takes_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert {"mem_limit", "pids_limit"} <= service.keys()
    assert service["cpus"] <= 1  # Docker refuses more CPUs than the machine has
    for mount in service["tmpfs"]:
        assert re.search(r":size=\d+m,", mount)


@pytest.mark.parametrize("name", [*SERVING, "transparency", "kafka", "postgres"])
def test_every_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "start_period", "retries"} <= check.keys()


def test_only_the_api_is_published_and_on_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:24817:24817"]}


@pytest.mark.parametrize("name", [*SERVING, "transparency"])
def test_metrics_are_shown_within_the_networks_of_a_process_alone(name: str) -> None:
    service = SERVICES[name]
    settings = MetricsSettings.read(service["environment"])
    assert service["expose"] == [str(settings.port)]
    assert settings.host == "0.0.0.0"
    assert not any(str(settings.port) in port for port in service.get("ports", []))


def test_only_who_fetches_or_is_published_has_a_way_out() -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    open_to = {name: set(service["networks"]) - {"backend"} for name, service in SERVICES.items()}
    assert {name: found for name, found in open_to.items() if found} == {"api": {"published"}, "worker": {"outside"}}


@pytest.mark.parametrize("name", SERVING)
def test_a_process_is_itself_to_kafka_and_to_postgres(name: str) -> None:
    settings = OURS[name]["environment"]
    assert settings["PULP_KAFKA_USERNAME"] == f"pulp-{name}"
    assert settings["PGUSER"] == f"pulp_{name}"
    sources = {each["target"]: each["source"] for each in OURS[name]["secrets"]}
    assert sources == {"kafka-password": f"kafka-{name}", "postgres-password": f"postgres-{name}"}


def test_what_keeps_the_log_is_itself_to_kafka_and_knows_no_postgres() -> None:
    service = OURS["transparency"]
    assert service["environment"]["PULP_KAFKA_USERNAME"] == "pulp-transparency"
    assert not [name for name in service["environment"] if "POSTGRES" in name or name.startswith("PG")]
    assert service["secrets"] == [{"source": "kafka-transparency", "target": "kafka-password"}]


def test_no_password_is_in_a_variable() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert key.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    assert "${" not in (DEPLOY / "compose.yaml").read_text()


@pytest.mark.parametrize("name", OURS)
def test_a_process_takes_its_settings(name: str, made: Path) -> None:
    """They are read by the process's own code; only the secrets are elsewhere."""
    mounted = {each["target"]: each["source"] for each in OURS[name]["secrets"]}
    settings = {
        key: str(made / "secrets" / mounted[Path(value).name]) if value.startswith("/run/secrets/kafka") else value
        for key, value in OURS[name]["environment"].items()
    }
    found = read(TransparencySettings if name == "transparency" else Installation, settings)
    assert found["kafka"]


def test_the_secrets_that_compose_takes_are_those_that_are_made(made: Path) -> None:
    taken = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert taken == {file.name for file in (made / "secrets").iterdir()}
    used = {
        each if isinstance(each, str) else each["source"]
        for service in SERVICES.values()
        for each in service.get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])


def test_nobody_else_gets_to_the_secrets_and_each_container_reads_its_own(made: Path) -> None:
    folder = made / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}


def test_every_secret_is_another_one_and_long(made: Path) -> None:
    passwords = [file.read_text().strip() for file in (made / "secrets").iterdir() if file.name != "kafka-jaas"]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)


def test_kafka_knows_the_passwords_of_our_processes(made: Path) -> None:
    jaas = (made / "secrets" / "kafka-jaas").read_text()
    for name in (*SERVING, "transparency"):
        password = (made / "secrets" / f"kafka-{name}").read_text().strip()
        assert f'user_pulp-{name}="{password}"' in jaas


def test_secrets_that_are_there_stay(made: Path) -> None:
    before = {file.name: file.read_text() for file in (made / "secrets").iterdir()}
    (made / "secrets").chmod(0o755)
    subprocess.run([made / "make-secrets"], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in (made / "secrets").iterdir()} == before
    assert stat.S_IMODE((made / "secrets").stat().st_mode) == 0o700


def test_secrets_are_not_written_through_a_link(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secrets").symlink_to(tmp_path / "elsewhere")
    result = subprocess.run([tmp_path / "make-secrets"], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "is a link: remove it" in result.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_secrets_folder_is_made_under_any_umask(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True, capture_output=True, umask=0)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_the_keys_of_personal_data_are_for_those_who_use_them(tmp_path: Path) -> None:
    more = yaml.safe_load((DEPLOY / "compose.personal-data.yaml").read_text())
    assert {*more["services"]} == {*SERVING, "admin"}
    for service in more["services"].values():
        assert service == {
            "environment": {"PULP_PERSONAL_KEY_FILE": "/run/secrets/personal-keys"},
            "secrets": ["personal-keys"],
        }
    assert more["secrets"] == {"personal-keys": {"file": "./secrets/personal-keys"}}
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    made: list[str | None] = []
    for _ in range(2):
        subprocess.run([tmp_path / "make-secrets", "--personal-keys"], check=True, capture_output=True)
        file = tmp_path / "secrets" / "personal-keys"
        found = MasterKeys(file)
        found.check()  # it is a file of keys, which not everybody may read
        made.append(found.newest)
    assert made[0] == made[1]  # the second run keeps what exists
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert file.stat().st_uid == (10001 if os.geteuid() == 0 else os.geteuid())


def test_a_word_that_make_secrets_does_not_know_makes_nothing(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    done = subprocess.run([tmp_path / "make-secrets", "--personal"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (64, "usage: make-secrets [--personal-keys]\n")
    assert not (tmp_path / "secrets").exists()


def test_a_process_has_the_time_that_it_takes_to_stop() -> None:
    defaults = WorkerSettings.read({"PULP_KAFKA": "k:9092", "PULP_POSTGRES": "host=p", "PULP_STORAGE": "/"})
    slack_s = 5
    needed = defaults.drain_s + defaults.grace_s + defaults.lease_s + slack_s
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > needed
    requests_s = 10
    for name in ("api", "processor"):
        assert seconds(SERVICES[name]["stop_grace_period"]) > requests_s + slack_s


def test_kafka_asks_for_a_login_and_for_rights() -> None:
    settings = SERVICES["kafka"]["environment"]
    assert settings["KAFKA_LISTENERS"] == "SASL_PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093"
    assert settings["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    assert "allow" not in " ".join(settings).lower()
