"""The Kubernetes manifests, as far as they can be checked without a cluster."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner
from pulp_deploy.main import pulp_tasks
from pulp_events.declared_settings import read
from pulp_events.settings import SettingsError
from pulp_runtime.installation import Installation
from pulp_runtime.telemetry.settings import MetricsSettings
from pulp_worker.settings import Settings as WorkerSettings

from tests.support.manifests import DEPLOY, manifests, mebibytes, named, pod_of

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = manifests(FOLDER)
EXAMPLES = manifests(FOLDER / "examples")
RUNNING = [each for each in MANIFESTS if each["kind"] in ("Deployment", "StatefulSet", "Job")]
SERVING = [each for each in RUNNING if each["kind"] != "Job"]
ALONE = [each for each in SERVING if each["metadata"]["name"] == "pulp-tasks-transparency"]
"""The process with a single pod: while its node is drained the log is late, and nothing else happens."""
PODS = [*RUNNING, *(each for each in EXAMPLES if each["kind"] == "Pod")]
POLICIES = {each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"}
PART_OF = {"app.kubernetes.io/part-of": "pulp-tasks"}
PERSONAL = "personal-keys"
"""The volume that pods share: the master keys of personal data."""
VERSIONS = ("1.30", "1.37")
"""The oldest version that has what the manifests use, and a recent one."""


def names(kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == kind}


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    [container] = pod_of(manifest)["containers"]
    found: dict[str, Any] = container
    return found


def settings_of(manifest: dict[str, Any]) -> dict[str, str]:
    """The variables of a process; a value that the cluster fills in is its own name."""
    [configuration] = [each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"]
    own = {
        each["name"]: each.get("value", manifest["metadata"]["name"]) for each in container_of(manifest).get("env", [])
    }
    return {**configuration, **own}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches the labels."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        {"In": labels.get(each["key"]) in each["values"]}[each["operator"]]
        for each in selector.get("matchExpressions", [])
    )


def policies_for(name: str) -> list[str]:
    labels = {"app.kubernetes.io/name": name, **PART_OF}
    return sorted(key for key, spec in POLICIES.items() if selects(spec["podSelector"], labels))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", [*MANIFESTS, *EXAMPLES], ids=named)
def test_kubernetes_knows_every_field(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_kustomization_has_every_file_in_an_order_that_works() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(kustomization["resources"]) == sorted(files)
    assert kustomization["resources"][0] == "namespace.yaml"
    assert kustomization["namespace"] in names("Namespace")
    images = {image["name"]: image["newTag"] for image in kustomization["images"]}
    assert {container_of(each)["image"] for each in PODS} == {f"{name}:{tag}" for name, tag in images.items()}


@pytest.mark.parametrize("manifest", RUNNING, ids=named)
def test_each_pod_runs_a_command_that_there_is(manifest: dict[str, Any]) -> None:
    result = CliRunner().invoke(pulp_tasks, [*container_of(manifest)["args"], "--help"])
    assert result.exit_code == 0, result.output


def test_every_process_and_every_preparation_has_a_manifest() -> None:
    commands = {" ".join(container_of(each)["args"][:2]).split(" --")[0] for each in RUNNING}
    assert commands == {
        "api",
        "processor",
        "worker",
        "transparency",
        "topics create",
        "topics acls",
        "database roles",
        "database migrate",
    }


def test_the_namespace_takes_no_pod_that_asks_for_rights() -> None:
    [namespace] = [each for each in MANIFESTS if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_a_pod_runs_without_rights(manifest: dict[str, Any]) -> None:
    pod, container = pod_of(manifest), container_of(manifest)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert {security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {10001}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_a_pod_finds_what_it_refers_to(manifest: dict[str, Any]) -> None:
    pod, container = pod_of(manifest), container_of(manifest)
    assert {each["configMapRef"]["name"] for each in container["envFrom"]} <= names("ConfigMap")
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    claims = {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each}
    assert claims <= names("PersistentVolumeClaim")
    assert pod["serviceAccountName"] in names("ServiceAccount")


def test_the_keys_of_personal_data_are_for_those_who_use_them_if_they_are_there() -> None:
    having = {named(each) for each in PODS if any(volume["name"] == PERSONAL for volume in pod_of(each)["volumes"])}
    assert having == {
        "Deployment/pulp-tasks-api",
        "StatefulSet/pulp-tasks-processor",
        "Deployment/pulp-tasks-worker",
        "Pod/pulp-tasks-admin",
    }
    for manifest in [each for each in PODS if named(each) in having]:
        [volume] = [each["secret"] for each in pod_of(manifest)["volumes"] if each["name"] == PERSONAL]
        assert volume["optional"] is True
        [given] = [each for each in container_of(manifest)["env"] if each["name"] == "PULP_PERSONAL_KEY_FILE"]
        assert given["valueFrom"]["configMapKeyRef"]["optional"] is True  # without it, no file is needed


@pytest.mark.parametrize("account", [each for each in MANIFESTS if each["kind"] == "ServiceAccount"], ids=named)
def test_no_account_has_a_token(account: dict[str, Any]) -> None:
    assert account["automountServiceAccountToken"] is False


def test_no_process_shares_its_account_or_its_secret() -> None:
    accounts = [pod_of(each)["serviceAccountName"] for each in RUNNING]
    secrets = [
        volume["secret"]["secretName"]
        for each in RUNNING
        for volume in pod_of(each)["volumes"]
        if "secret" in volume and volume["name"] != PERSONAL
    ]
    assert len(set(accounts)) == len(accounts)
    assert len(set(secrets)) == len(secrets)


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_everything_that_a_pod_takes_is_bounded(manifest: dict[str, Any]) -> None:
    resources = container_of(manifest)["resources"]
    for kind in ("requests", "limits"):
        assert resources[kind].keys() == {"cpu", "memory", "ephemeral-storage"}
    disk = mebibytes(resources["limits"]["ephemeral-storage"])
    for volume in pod_of(manifest)["volumes"]:
        if "emptyDir" in volume:
            assert mebibytes(volume["emptyDir"]["sizeLimit"]) <= disk


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_secrets_are_files_that_only_the_process_reads(manifest: dict[str, Any]) -> None:
    container = container_of(manifest)
    assert not any("valueFrom" in each and "secretKeyRef" in each["valueFrom"] for each in container.get("env", []))
    assert not any("secretRef" in each for each in container["envFrom"])
    assert all(volume["secret"]["defaultMode"] == 0o440 for volume in pod_of(manifest)["volumes"] if "secret" in volume)
    readable = {each["name"] for each in container["volumeMounts"] if each.get("readOnly")}
    assert readable >= {
        volume["name"] for volume in pod_of(manifest)["volumes"] if "secret" in volume or "configMap" in volume
    }


@pytest.mark.parametrize("manifest", RUNNING, ids=named)
def test_a_process_takes_its_settings(manifest: dict[str, Any], tmp_path: Path) -> None:
    """They are read by the process's own code; only the files are elsewhere."""
    mounts = {each["mountPath"]: tmp_path / each["name"] for each in container_of(manifest)["volumeMounts"]}
    settings = {}
    for key, value in settings_of(manifest).items():
        place = next((mount for mount in mounts if value.startswith(f"{mount}/")), None)
        settings[key] = value if place is None else str(mounts[place] / Path(value).name)
        if place is not None:
            mounts[place].mkdir(exist_ok=True)
            (mounts[place] / Path(value).name).write_text("not read by this test\n")
    if "PULP_KAFKA_USERNAME" not in settings:  # the job that only talks to Postgres
        return
    with pytest.raises(SettingsError, match=r"PULP_KAFKA_CA=.* holds no certificates"):
        read(Installation, settings)


@pytest.mark.parametrize("manifest", SERVING, ids=named)
def test_a_process_is_itself_to_kafka_and_to_postgres(manifest: dict[str, Any]) -> None:
    name = manifest["metadata"]["name"].removeprefix("pulp-tasks-")
    settings = settings_of(manifest)
    assert settings["PULP_KAFKA_USERNAME"] == f"pulp-{name}"
    assert settings.get("PGUSER") == (None if name == "transparency" else f"pulp_{name}")
    assert "user" not in settings["PULP_POSTGRES"]


def test_nothing_goes_over_the_network_in_clear() -> None:
    [configuration] = [each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"]
    assert configuration["PULP_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert configuration["PULP_POSTGRES_SSLMODE"] == "verify-full"


@pytest.mark.parametrize("manifest", SERVING, ids=named)
def test_every_process_is_probed(manifest: dict[str, Any]) -> None:
    container = container_of(manifest)
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    if manifest["metadata"]["name"] == "pulp-tasks-api":
        paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
        assert paths["liveness"] == paths["startup"] == "/pulp/api/v3/livez/"
        assert paths["readiness"] == "/pulp/api/v3/readyz/"
    else:
        commands = {kind: probe["exec"]["command"] for kind, probe in probes.items()}
        assert commands["liveness"] == ["pulp-tasks-probe", "live"]
        assert commands["readiness"] == commands["startup"] == ["pulp-tasks-probe", "ready"]
    # A process gives up by itself, and says why, before it is killed for not starting.
    waits = read(Installation, {"PULP_KAFKA": "k:9092", "PULP_POSTGRES": "host=p"})["startup_timeout_s"]
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] > waits


@pytest.mark.parametrize("manifest", [each for each in RUNNING if each["kind"] == "Job"], ids=named)
def test_a_job_does_not_try_for_ever(manifest: dict[str, Any]) -> None:
    assert manifest["spec"]["backoffLimit"] <= 10
    assert manifest["spec"]["activeDeadlineSeconds"] > 0


def test_a_worker_has_the_time_that_it_takes_to_drain() -> None:
    [worker] = [each for each in SERVING if each["metadata"]["name"] == "pulp-tasks-worker"]
    defaults = WorkerSettings.read({"PULP_KAFKA": "k:9092", "PULP_POSTGRES": "host=p", "PULP_STORAGE": "/"})
    slack_s = 5
    needed = defaults.drain_s + defaults.grace_s + defaults.lease_s + slack_s
    assert pod_of(worker)["terminationGracePeriodSeconds"] > needed


@pytest.mark.parametrize("manifest", RUNNING, ids=named)
def test_a_selector_selects_its_own_pods(manifest: dict[str, Any]) -> None:
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    selector = manifest["spec"].get("selector", {"matchLabels": labels})
    assert selects(selector, labels)
    assert labels == manifest["metadata"]["labels"]


@pytest.mark.parametrize("manifest", [each for each in SERVING if each not in ALONE], ids=named)
def test_a_drained_node_takes_one_pod_of_a_kind_at_a_time(manifest: dict[str, Any]) -> None:
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    budgets = [each["spec"] for each in MANIFESTS if each["kind"] == "PodDisruptionBudget"]
    [budget] = [each for each in budgets if selects(each["selector"], labels)]
    assert budget["maxUnavailable"] == 1
    assert manifest["spec"]["replicas"] > 1
    [spread] = pod_of(manifest)["topologySpreadConstraints"]
    assert selects(spread["labelSelector"], labels)
    assert spread["topologyKey"] == "kubernetes.io/hostname"


def test_nothing_is_let_through_that_no_policy_names() -> None:
    deny = POLICIES["pulp-tasks-default-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("name", "policies"),
    [
        ("pulp-tasks-api", ["api", "default-deny", "dns", "kafka", "metrics", "postgres"]),
        ("pulp-tasks-processor", ["default-deny", "dns", "kafka", "metrics", "postgres"]),
        ("pulp-tasks-worker", ["default-deny", "dns", "kafka", "metrics", "postgres", "worker"]),
        ("pulp-tasks-transparency", ["default-deny", "dns", "kafka", "metrics"]),
        ("pulp-tasks-topics", ["default-deny", "dns", "kafka"]),
        ("pulp-tasks-acls", ["default-deny", "dns", "kafka"]),
        ("pulp-tasks-roles", ["default-deny", "dns", "postgres"]),
        ("pulp-tasks-migrate", ["default-deny", "dns", "kafka", "postgres"]),
        ("pulp-tasks-admin", ["default-deny", "dns", "kafka", "postgres"]),
    ],
)
def test_each_process_reaches_what_it_needs_and_no_more(name: str, policies: list[str]) -> None:
    assert policies_for(name) == [f"pulp-tasks-{each}" for each in policies]


def test_only_the_api_and_metrics_are_reached_and_only_on_their_ports() -> None:
    reached = {name for name, spec in POLICIES.items() if spec.get("ingress")}
    assert reached == {"pulp-tasks-api", "pulp-tasks-metrics"}
    for name, port in (("pulp-tasks-api", "http"), ("pulp-tasks-metrics", "metrics")):
        [rule] = POLICIES[name]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": port}]
        assert all("namespaceSelector" in each for each in rule["from"])


@pytest.mark.parametrize("manifest", SERVING, ids=named)
def test_a_process_shows_its_metrics_where_its_pod_opens_the_port(manifest: dict[str, Any]) -> None:
    [opened] = [each["containerPort"] for each in container_of(manifest)["ports"] if each["name"] == "metrics"]
    shown = MetricsSettings.read(settings_of(manifest))
    assert shown == MetricsSettings(host="0.0.0.0", port=opened)
    assert "pulp-tasks-metrics" in policies_for(manifest["metadata"]["name"])


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
)
def test_a_worker_fetches_from_nowhere_within(network: str) -> None:
    [rule] = POLICIES["pulp-tasks-worker"]["egress"]
    blocks = {each["ipBlock"]["cidr"]: each["ipBlock"].get("except", []) for each in rule["to"]}
    assert network in blocks["0.0.0.0/0"]
    assert blocks.keys() == {"0.0.0.0/0", "2000::/3"}  # global addresses, which exclude fc00::/7 and fe80::/10
    assert {each["port"] for each in rule["ports"]} == {80, 443}
