"""The ports of metrics on a local stack: one for each process, unchanged when another process is added."""

from pathlib import Path

import pytest
from pulp_deploy.folder import DataFolder
from pulp_deploy.service_commands import Services
from pulp_deploy.unprivileged import Unprivileged


def ports(folder: Path, environment: dict[str, str], *, processors: int, workers: int) -> dict[str, str | None]:
    """Process → port of its metrics."""
    unprivileged = Unprivileged(account=None, folder=folder)
    services = Services(folder=DataFolder(folder), unprivileged=unprivileged, environment=environment)
    commands = [
        services.api("127.0.0.1", 24817),
        *services.processors(processors),
        *services.workers(workers, concurrency=1),
    ]
    return {command.name: command.environment.get("PULP_METRICS_PORT") for command in commands}


def test_each_process_has_a_port_of_its_own(tmp_path: Path) -> None:
    wanted = {"PULP_METRICS_PORT": "9464"}
    found = ports(tmp_path, wanted, processors=1, workers=1)
    assert found == {"api": "9464", "processor": "9465", "worker": "9564"}
    more = ports(tmp_path, wanted, processors=2, workers=2)
    assert more == {"api": "9464", "processor-1": "9465", "processor-2": "9466", "worker-1": "9564", "worker-2": "9565"}


@pytest.mark.parametrize(("environment", "port"), [({}, None), ({"PULP_METRICS_PORT": "no port"}, "no port")])
def test_a_process_is_told_no_port_that_nobody_has_named(
    tmp_path: Path, environment: dict[str, str], port: str | None
) -> None:
    found = ports(tmp_path, environment, processors=1, workers=1)
    assert set(found.values()) == {port}  # a bad one is reported by the process itself
