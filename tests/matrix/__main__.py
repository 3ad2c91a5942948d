"""`./dev matrix`: the tests of the log and the projector on the oldest and the newest supported versions."""

import os
import secrets
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from packaging.specifiers import SpecifierSet
from pulp_deploy.local import jars, postgres

from tests.matrix import pythons
from tests.matrix.pythons import HERE, NEWEST, ROOT, Version
from tests.support import oldest

TESTS: Final = (
    "tests/contract",
    # The log.
    "tests/integration/test_event_hub.py",
    "tests/integration/test_following.py",
    "tests/integration/test_odd_headers.py",
    "tests/integration/test_partition_reader.py",
    "tests/integration/test_producer_guards.py",
    "tests/integration/test_reader.py",
    "tests/integration/test_subscribe.py",
    "tests/integration/test_topic_checks.py",
    "tests/integration/test_writer.py",
    # The projector and its tables.
    "tests/integration/test_dispatch_order.py",
    "tests/integration/test_database_roles.py",
    "tests/integration/test_history_rows.py",
    "tests/integration/test_install.py",
    "tests/integration/test_positions.py",
    "tests/integration/test_preconditions.py",
    "tests/integration/test_processor_group.py",
    "tests/integration/test_processor_instance.py",
    "tests/integration/test_processor_process.py",
    "tests/integration/test_processor_refusals.py",
    "tests/integration/test_processor_seek.py",
    "tests/integration/test_projector_ahead.py",
    "tests/integration/test_projector_new_tasks.py",
    "tests/integration/test_projector_plans.py",
    "tests/integration/test_projector_poison.py",
    "tests/integration/test_projector_races.py",
    "tests/integration/test_rebuild.py",
    "tests/integration/test_rebuild_faults.py",
    "tests/integration/test_rebuild_live.py",
    "tests/integration/test_small_batch.py",
    "tests/integration/test_task_rows.py",
    "tests/integration/test_verify.py",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the tests: its Python and its servers."""

    title: str
    python: Path
    backend: str


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.5), help="Begin no test later than this; else all tests run.")
@click.option("--seed", type=int, help="Of an earlier run, to have the same order of files; else a random one.")
def main(minutes: float | None, seed: int | None) -> None:
    """Test the log and the projector twice: on the oldest Python, Postgres and Kafka, and with the newest Python.

    A version that is not available on this machine is reported, and is not a failure.
    """
    ends = time.monotonic() + 60 * (float("inf") if minutes is None else minutes)
    seed = secrets.randbelow(10**9) if seed is None else seed
    runs = [run for run in (_oldest(), _newest()) if run is not None]
    failed = []
    for number, run in enumerate(runs):
        budget_s = max(0.0, ends - time.monotonic()) / (len(runs) - number)
        click.echo(f"== {run.title}, order of files {seed}")
        if _pytest(run, budget_s, seed) != 0:
            failed.append(run.title)
    for title in failed:
        click.echo(f"failed: {title}; the same order again: ./dev matrix --seed {seed}", err=True)
    sys.exit(1 if failed else 0)


def _oldest() -> Run | None:
    version = oldest_python()
    servers = f"Postgres {oldest.POSTGRES}, Kafka {oldest.KAFKA}"
    try:
        oldest.check_available()
    except oldest.NotAvailable as error:
        click.echo(f"not run here: {servers}: {error}")
        return None
    try:
        python = _environment(version)
    except pythons.NotAvailable as error:
        click.echo(f"not run here: Python {_name(version)}: {error}")
        version, python = HERE, Path(sys.executable)
    return Run(f"oldest: Python {_name(version)}, {servers}", python, "oldest")


def _newest() -> Run | None:
    try:
        if NEWEST not in pythons.installed():
            pythons.download(NEWEST)
    except pythons.NotAvailable as error:
        click.echo(f"not run here: {error}")
    version = max(pythons.installed())
    if version == HERE:
        click.echo(f"not run here: a Python after {_name(version)}: this machine has none")
        return None
    try:
        python = _environment(version)
    except pythons.NotAvailable as error:
        click.echo(f"not run here: {error}")
        return None
    kafka = jars.KAFKA.rpartition(":")[2]
    return Run(f"newest: Python {_name(version)}, Postgres {postgres.MAJOR}, Kafka {kafka}", python, "local")


def oldest_python() -> Version:
    """The first Python that pyproject.toml allows."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        allowed = SpecifierSet(tomllib.load(file)["project"]["requires-python"])
    return next((3, minor) for minor in range(100) if f"3.{minor}" in allowed)


def _environment(version: Version) -> Path:
    found = pythons.installed().get(version)
    if found is None:
        raise pythons.NotAvailable("this machine does not have it")
    return pythons.environment(version, found)


def _pytest(run: Run, budget_s: float, seed: int) -> int:
    options = ("-q", "--backend", run.backend, f"--order-seed={seed}", f"--budget-s={budget_s}")
    return subprocess.run(
        [run.python, "-m", "pytest", "-p", "tests.matrix.budget", *options, *TESTS],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{run.python.parent}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    ).returncode


def _name(version: Version) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    main()
