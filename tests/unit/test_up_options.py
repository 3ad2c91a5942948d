"""The options of `pulp-tasks up`."""

import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from pulp_deploy.commands import up
from pulp_deploy.stack import StackOptions


@pytest.mark.parametrize(
    ("arguments", "ports"),
    [
        ([], (None, None, None)),  # the ports of the folder, else the usual ones
        (["--free-ports", "--api-port", "5000"], (5000, 0, 0)),
        (["--temporary"], (0, 0, 0)),  # free ports, even next to a stack that has the usual ones
        (["--temporary", "--api-port", "5000", "--kafka-port", "5001"], (5000, 5001, 0)),
    ],
)
def test_ports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], ports: tuple[int | None, ...]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[StackOptions] = []
    monkeypatch.setattr(up, "run", lambda options, **_: seen.append(options))
    result = CliRunner().invoke(up.up, arguments)
    assert result.exit_code == 0, result.output
    [options] = seen
    assert (options.api_port, options.backend.kafka_port, options.backend.postgres_port) == ports
