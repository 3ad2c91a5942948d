"""The compose file and the Kubernetes manifests: what can be checked of them without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = [
    document
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
RUNNING = [each for each in MANIFESTS if each["kind"] in ("Deployment", "StatefulSet", "Job")]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "pulp-tasks"}


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def names(kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == kind}


def test_every_process_has_a_manifest() -> None:
    commands = {tuple(each["spec"]["template"]["spec"]["containers"][0]["args"][:1]) for each in RUNNING}
    assert commands == {("api",), ("processor",), ("worker",), ("topics",)}


@pytest.mark.parametrize("manifest", RUNNING, ids=named)
def test_a_pod_runs_without_rights_and_finds_what_it_refers_to(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {each["configMapRef"]["name"] for each in container["envFrom"]} <= names("ConfigMap")
    mounts = {each["name"] for each in container.get("volumeMounts", [])}
    assert mounts == {each["name"] for each in pod.get("volumes", [])}
    claims = {
        each["persistentVolumeClaim"]["claimName"]
        for each in pod.get("volumes", [])
        if len(each) == 2 and "persistentVolumeClaim" in each
    }
    assert claims <= names("PersistentVolumeClaim")


@pytest.mark.parametrize("manifest", RUNNING, ids=named)
def test_a_selector_selects_its_own_pods(manifest: dict[str, Any]) -> None:
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    selector = manifest["spec"].get("selector", {"matchLabels": labels})["matchLabels"]
    assert selector.items() <= labels.items()
    assert labels == manifest["metadata"]["labels"]


def test_the_probes_are_the_health_endpoints() -> None:
    [api] = [each for each in RUNNING if each["metadata"]["name"] == "pulp-tasks-api"]
    [container] = api["spec"]["template"]["spec"]["containers"]
    paths = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert paths == {"livenessProbe": "/pulp/api/v3/livez/", "readinessProbe": "/pulp/api/v3/readyz/"}


def test_compose_runs_every_process_on_what_it_starts() -> None:
    assert {service["command"][0] for service in OURS.values()} == {"api", "processor", "worker", "topics"}
    assert {*COMPOSE["services"]} == {*OURS, "kafka", "postgres"}
    volumes = {
        volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", [])
    }
    assert volumes == set(COMPOSE["volumes"])
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])


def test_nothing_relies_on_a_compose_that_waits_for_health() -> None:
    conditions = {needed["condition"] for service in OURS.values() for needed in service.get("depends_on", {}).values()}
    assert "service_healthy" not in conditions  # each process waits by itself, and is started again if it gives up
    assert {name: service["restart"] for name, service in OURS.items() if name == "topics"} == {"topics": "on-failure"}
    assert {service["restart"] for name, service in OURS.items() if name != "topics"} == {"unless-stopped"}


def test_no_password_is_written_down() -> None:
    texts = [path.read_text() for path in DEPLOY.rglob("*.yaml")]
    values = [match for text in texts for match in re.findall(r"PASSWORD: (.*)", text)]
    assert values
    assert all(value.startswith("${PULP_POSTGRES_PASSWORD:?") for value in values)
