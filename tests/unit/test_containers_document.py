"""docs/operate/containers.md: its commands use files that exist, and create everything that the manifests need."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pulp_deploy.main import pulp_tasks

from tests.support.manifests import COMPOSE, DEPLOY, manifests, named, pod_of
from tests.support.walk import blocks

ROOT = DEPLOY.parent
PAGE = ROOT / "docs" / "operate" / "containers.md"
TEXT = PAGE.read_text()
COMMANDS = [shlex.split(line) for block in blocks(PAGE) for line in block.lines]
PERSONAL = yaml.safe_load((DEPLOY / "compose.personal-data.yaml").read_text())
MANIFESTS = [*manifests(DEPLOY / "kubernetes"), *manifests(DEPLOY / "kubernetes" / "examples")]
PODS = [each for each in MANIFESTS if each["kind"] in ("Deployment", "StatefulSet", "Job", "Pod")]


def made() -> dict[str, set[str]]:
    """The secrets and configuration maps that the document creates, and their keys."""
    found = {}
    for words in COMMANDS:
        if words[:1] == ["kubectl"] and "create" in words:
            files = [word.partition("=")[2] for word in words if word.startswith(("--from-file=", "--from-literal="))]
            [name] = [word for word in words if word.startswith("pulp-tasks-")]
            assert name not in found
            found[name] = {file.partition("=")[0] for file in files}
    return found


def literal(source: dict[str, Any]) -> str:
    """What the document puts into a configuration map, without what the cluster fills in."""
    if "configMapKeyRef" not in source:
        return ""
    name, key = source["configMapKeyRef"]["name"], source["configMapKeyRef"]["key"]
    [words] = [words for words in COMMANDS if words[:1] == ["kubectl"] and "create" in words and name in words]
    [value] = [word for word in words if word.startswith(f"--from-literal={key}=")]
    return value.split("=", 2)[2]


def taken_as_variables(manifest: dict[str, Any]) -> set[str]:
    """The configuration maps from which a pod takes single settings."""
    sources = [each.get("valueFrom", {}) for each in pod_of(manifest)["containers"][0].get("env", [])]
    return {each["configMapKeyRef"]["name"] for each in sources if "configMapKeyRef" in each}


def expected_files(manifest: dict[str, Any]) -> dict[str, set[str]]:
    """Per secret or map that a pod mounts, the files that its settings and its command name there."""
    pod = pod_of(manifest)
    [container] = pod["containers"]
    [configuration] = [each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"]
    given = {each["name"]: each.get("value", "") for each in container.get("env", [])}
    values = {**configuration, **given}
    users = {"PULP_KAFKA_PASSWORD_FILE": "PULP_KAFKA_USERNAME", "PULP_POSTGRES_PASSWORD_FILE": "PGUSER"}
    values |= {each["name"]: literal(each["valueFrom"]) for each in container.get("env", []) if "valueFrom" in each}
    needed = [value for key, value in values.items() if key not in users or users[key] in given]
    volumes = {each["name"]: each for each in pod["volumes"]}
    found: dict[str, set[str]] = {}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        if source is not None:
            found[source] = {Path(value).name for value in needed if value.startswith(f"{mount['mountPath']}/")}
    return found


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_the_document_makes_every_secret_that_a_pod_mounts(manifest: dict[str, Any]) -> None:
    keys = made()
    for source, files in expected_files(manifest).items():
        assert keys[source] >= files, source


def test_the_document_makes_no_secret_that_nobody_mounts() -> None:
    taken = {source for each in PODS for source in (*expected_files(each), *taken_as_variables(each))}
    assert set(made()) == taken


def test_the_passwords_of_the_roles_are_those_that_the_command_reads() -> None:
    assert made()["pulp-tasks-role-passwords"] == {"owner", "api", "processor", "worker", "reader"}


def test_the_secrets_come_from_what_make_secrets_writes() -> None:
    written = {Path(secret["file"]).name for secret in (COMPOSE["secrets"] | PERSONAL["secrets"]).values()}
    used = set(re.findall(r"deploy/secrets/([a-z-]+)", TEXT)) - {"kafka-"}
    assert used <= written


def test_every_file_that_a_command_names_is_there() -> None:
    named_files = {word for words in COMMANDS for word in words if word.startswith("deploy/")}
    assert named_files
    assert [name for name in named_files if not (ROOT / name).exists()] == []


def test_the_admin_s_pod_is_there_for_each_command_that_runs_in_it() -> None:
    is_there = False
    seen = 0
    for words in COMMANDS:
        line = " ".join(words)
        is_there = (is_there or "apply -f deploy/kubernetes/examples/admin.yaml" in line) and "delete pod" not in line
        if "exec" in words and "pulp-tasks-admin" in words:
            assert is_there, line
            seen += 1
    assert seen >= 2


def test_every_service_that_a_command_names_is_in_the_compose_file() -> None:
    composed = [words for words in COMMANDS if words[:2] == ["docker", "compose"]]
    services = {words[words.index("--rm") + 1] for words in composed if "run" in words}
    assert services
    assert services <= set(COMPOSE["services"])


def test_every_command_of_ours_takes_its_words() -> None:
    ours = [
        words[words.index("--rm") + 2 :] for words in COMMANDS if words[:2] == ["docker", "compose"] and "run" in words
    ]
    ours += [words[words.index("pulp-tasks", words.index("--")) + 1 :] for words in COMMANDS if "--" in words]
    assert len(ours) == 4
    for words in ours:
        result = CliRunner().invoke(pulp_tasks, [*words, "--help"])
        assert result.exit_code == 0, result.output


def test_every_setting_that_the_document_names_is_read_somewhere() -> None:
    source = "".join(
        path.read_text()
        for folder in ("events", "projections", "services", "deploy")
        for path in (ROOT / folder).rglob("*.py")
    )
    names = set(re.findall(r"`(PULP_[A-Z_]+)`", TEXT))
    assert [name for name in sorted(names) if f'"{name}"' not in source] == []
    assert names


def test_every_link_leads_somewhere() -> None:
    for document in (ROOT / "docs" / "operate" / "containers.md", ROOT / "SECURITY.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), target
