"""The image, built here and run as deploy/compose.yaml runs it, on a real Kafka and a real Postgres.

Needs podman, debootstrap and root, and skips with a reason without them. Kafka has the logins and ACLs of the compose
file, Postgres its roles. Two differences from compose: the network is this machine's, and the processes run without an
init, as in Kubernetes.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.containers.scene import Scene, prepared, until
from tests.support.backends import Backend
from tests.support.engine import Engine, build, find
from tests.support.manifests import COMPOSE, DEPLOY, seconds

pytestmark = pytest.mark.timeout(1800)  # the first run builds the base and the image
SERVING = ("api", "processor", "worker")
NONE = f"{0:016x}"
"""No capability."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return find(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(engine, tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def scene(engine: Engine, image: str, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """All processes of one installation, running."""
    with prepared(engine, image, backend, tmp_path_factory.mktemp("scene")) as made:
        for name in SERVING:
            made.start(name)
        for name in SERVING:
            made.is_healthy(name)
        yield made


def test_the_processes_are_healthy_as_compose_and_the_image_ask(scene: Scene) -> None:
    for name in SERVING:
        scene.is_healthy(name)
        assert scene.engine.run("healthcheck", "run", scene.name(name)).returncode == 0


def test_a_new_installation_has_nothing_to_warn_of(scene: Scene) -> None:
    """With the ACLs and roles that the jobs granted, each process can check all its preconditions."""
    with scene.client() as client:
        findings = client.get("/readyz/").json()["findings"]
    assert [each for each in findings if each["severity"] != "note"] == []
    for service in SERVING:
        assert "severity=warning" not in scene.log(service)
        assert "permission denied" not in scene.log(service)


def test_an_operation_runs_without_rights_and_writes_only_where_it_is_meant_to(scene: Scene) -> None:
    seen = scene.task("surroundings")["result"]
    assert seen["ids"] == [10001] * 6
    assert seen["status"] == {"CapPrm": NONE, "CapEff": NONE, "CapBnd": NONE, "NoNewPrivs": "1", "Seccomp": "2"}
    assert seen["writable"] == ["/dev/shm", "/tmp", "/var/lib/pulp-tasks", "/var/tmp"]


def test_an_operation_finds_certificates_time_zones_and_utf_8(scene: Scene) -> None:
    seen = scene.task("surroundings")["result"]
    assert seen["certificates"] > 0
    assert seen["summer"] == 7200
    assert seen["encoding"].lower() == "utf-8"


def test_an_operation_sees_no_password(scene: Scene) -> None:
    environment = scene.task("surroundings")["result"]["environment"]
    secrets = {file.read_text().strip() for file in scene.secrets.iterdir()}
    assert not secrets & set(environment.values())
    assert {key for key in environment if key.startswith(("PULP_", "PG"))} == {"PULP_TASK_ID", "PULP_ATTEMPT_ID"}


def test_an_operation_of_the_image_runs(scene: Scene) -> None:
    assert scene.task("remove-orphans")["state"] == "completed"


def test_no_password_is_in_what_the_engine_tells(scene: Scene) -> None:
    secrets = [file.read_text().strip() for file in scene.secrets.iterdir()]
    told = [scene.engine("inspect", scene.name(name)) for name in SERVING]
    told += [scene.engine("top", scene.name(name), "args") for name in SERVING]
    told += [scene.engine("history", "--no-trunc", scene.image), *map(scene.log, SERVING)]
    assert not [each for each in secrets for text in told if each in text]


def test_what_is_orphaned_is_reaped(scene: Scene) -> None:
    """The worker is process 1, so it inherits orphans."""
    assert scene.task("orphan")["result"] == 0
    count = "import pathlib\nprint(sum(' Z ' in p.read_text() for p in pathlib.Path('/proc').glob('[0-9]*/stat')))"

    def is_clean() -> bool:
        return scene.exec("worker", "python", "-c", count).stdout.strip() == "0"

    until(is_clean, "a worker's container without zombies")


@pytest.mark.parametrize("service", ["topics", "acls", "roles", "migrate"])
def test_a_job_that_runs_again_does_no_harm(scene: Scene, service: str) -> None:
    scene.run(service)
    assert scene.task("remove-orphans")["state"] == "completed"


def test_a_process_in_the_image_may_be_any_account_of_group_0(scene: Scene) -> None:
    listed = scene.run("admin", "topics", "list", more=("--user=1234567:0",))
    assert scene.settings["PULP_TOPIC_PREFIX"] in listed
    code = "import os, pathlib; pathlib.Path(os.environ['HOME'], 'x').touch(); print(pathlib.Path.home())"
    run = ("--rm", "--user=1234567:0", "--entrypoint=python", scene.image, "-c", code)
    assert scene.engine.container(*run).strip() == "/var/lib/pulp-tasks"


def test_the_image_has_nothing_that_installs_or_builds(engine: Engine, image: str) -> None:
    code = "import importlib.util as i, shutil; print([n for n in ('pip', 'hatchling') if i.find_spec(n)], [n for n in ('pip', 'gcc', 'cc', 'make') if shutil.which(n)])"
    assert engine.container("--rm", "--entrypoint=python", image, "-c", code).strip() == "[] []"


def test_the_image_has_its_bill_of_materials(engine: Engine, image: str) -> None:
    code = "from importlib.metadata import files; [print(f.locate().read_text(), end='') for f in files('pulp-tasks') if '/sboms/' in str(f)]"
    expected = subprocess.run([sys.executable, DEPLOY / "sbom.py"], capture_output=True, text=True, check=True).stdout
    assert engine.container("--rm", "--entrypoint=python", image, "-c", code) == expected


def test_the_image_says_who_runs_it_and_how_to_stop_it(engine: Engine, image: str) -> None:
    found = engine.inspect(image)["Config"]
    assert found["User"] == "10001:10001"
    assert found["StopSignal"] == "SIGTERM"
    assert found["Labels"]["org.opencontainers.image.licenses"] == "GPL-2.0-or-later"
    assert engine.inspect(image)["Healthcheck"]["Test"] == ["CMD", "pulp-tasks-probe", "live"]


def test_each_process_ends_in_order_and_soon(scene: Scene) -> None:
    """Last, since the others need them."""
    for service in ("worker", "processor", "api"):
        code, took_s = scene.stop(service)
        assert code == 0, scene.log(service)
        assert took_s < seconds(COMPOSE["services"][service]["stop_grace_period"])
