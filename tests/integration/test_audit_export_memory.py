"""The memory of an export of the audit does not grow with the events: neither that of `pulp-admin`, nor that of the API."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final

import pyarrow.parquet
import pytest
from pulp_events.topics import Topics

from benchmarks.filling import fill, fill_history
from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.projection import execute
from tests.support.site import PASSWORD

FEW: Final = 12_000
"""Several pages, and row groups of Parquet, so that one-time allocations are done."""
MANY: Final = 4 * FEW
FORMATS: Final = ("jsonl", "csv", "parquet")
START: Final = 1_000_000_000
"""The offset before the first event of `fill_history`."""
PARTITION: Final = 1
"""The partition of the task's events."""
MOST: Final = 1.25
"""Allocators keep pieces of another size each time."""


TELLING: Final = """
import atexit, runpy, shutil, sys
told, *sys.argv = sys.argv[1:]
atexit.register(lambda: shutil.copyfile("/proc/self/status", told))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a command, and keeps its peak: the one that `wait4` tells has that of this process in it, which forked it."""


def peak_mib(status: Path) -> float:
    """The most memory that a process has had since `forget_peak`, or since it began."""
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Measure the peak from here on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def exported(api: ApiProcess, target: Path, events: int) -> tuple[int, float]:
    """Export the first events in a separate process; returns its exit code, and its peak memory in MiB."""
    config = target.with_name("admin.toml")
    config.write_text("")
    env = environment(
        target.parent, PULP_ADMIN_CONFIG=str(config), PULP_URL=api.url, PULP_USERNAME="admin", PULP_PASSWORD=PASSWORD
    )
    command = str(Path(sys.executable).with_name("pulp-admin"))
    until = f"{PARTITION}:{START + events}"
    arguments = [command, "audit", "export", "--to", str(target), "--until", until]
    told = target.with_name("status")
    done = subprocess.run([sys.executable, "-c", TELLING, str(told), *arguments], env=env, check=False)
    return done.returncode, peak_mib(told)


def count(file: Path) -> int:
    """The events in a file."""
    if file.suffix == ".parquet":
        return int(pyarrow.parquet.read_metadata(file).num_rows)
    with file.open("rb") as opened:
        return sum(1 for _ in opened) - (file.suffix == ".csv")


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="there is no /proc to read the peak of a process"
)
async def test_it_does_not_grow_with_the_events(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await fill(database, 1)
    await fill_history(database, MANY)
    await execute(database, "update generation_1.positions set next_offset = %s", [START + MANY + 1])
    await add_admin(database)
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        assert (await asyncio.to_thread(exported, api, tmp_path / "warm.jsonl", FEW))[0] == 0  # what stays allocated
        for format_ in FORMATS:
            used = {}
            for events in (FEW, MANY):
                target = tmp_path / f"{events}.{format_}"
                forget_peak(api.process.pid)
                code, client_mib = await asyncio.to_thread(exported, api, target, events)
                assert (code, count(target)) == (0, events)
                used[events] = client_mib, peak_mib(Path(f"/proc/{api.process.pid}/status"))
            print(f"{format_}: MiB of pulp-admin and of the API: {used}")
            for few, many in zip(used[FEW], used[MANY], strict=True):
                assert many < few * MOST, f"{format_}: {used}"
