"""`pulp-admin` and months that were dropped from the history: an export that is killed, lists, diffs, bundles."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pyarrow.parquet
from pulp_events.events import Event
from pulp_events.ids import new_id
from pulp_events.topics import Topics, partition_of
from pulp_processor.rebuilding import history
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.events import accepted, finished, progress, started
from tests.support.months import log_with_times
from tests.support.projection import execute
from tests.support.site import PASSWORD

OLD, ACROSS, NEW = 500, 20, 500
"""Numbers of tasks: those that ended two months ago, those that ended now, and those accepted now."""
EACH: Final = 4
"""Events of a task; a page has 1,000."""
FORMATS: Final = ("jsonl", "csv", "parquet")
LIMIT_S: Final = 120


class Told:
    """The tasks' events, each with its partition and time, in log order."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.then = self.now - timedelta(days=62)
        self.events: list[tuple[Event, int, datetime]] = []
        self.old = [self._task(number, self.then, self.then) for number in range(OLD)]
        self.across = [self._task(OLD + number, self.then, self.now) for number in range(ACROSS)]
        self.new = [self._task(number, self.now, self.now) for number in range(NEW)]
        self.events.sort(key=lambda each: each[2])

    def _task(self, number: int, began: datetime, ended: datetime) -> UUID:
        task_id = new_id()
        partition = partition_of(task_id, (), PARTITIONS)
        made = (accepted(task_id), started(task_id), progress(task_id), finished(task_id))
        for place, each in enumerate(made):
            day = began if place < 2 else ended
            self.events.append(
                (each, partition, day - timedelta(hours=1) + timedelta(seconds=number, milliseconds=place))
            )
        return task_id


class Admin:
    """`pulp-admin` as the admin of an API."""

    def __init__(self, api: ApiProcess, folder: Path) -> None:
        self.folder = folder
        config = folder / "admin.toml"
        config.write_text("")
        self._env = environment(
            folder, PULP_ADMIN_CONFIG=str(config), PULP_URL=api.url, PULP_USERNAME="admin", PULP_PASSWORD=PASSWORD
        )

    async def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            self._command(arguments),
            env=self._env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    async def told(self, *arguments: str) -> Any:
        """The JSON that it prints."""
        done = await self.run("--output", "json", *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads(done.stdout)

    async def exported(self, name: str) -> bytes:
        """The contents of an export, those of Parquet as lines of text."""
        done = await self.run("audit", "export", "--to", name)
        assert done.returncode == 0, done.stderr
        return self.contents(name)

    def contents(self, name: str) -> bytes:
        file = self.folder / name
        return (
            str(pyarrow.parquet.read_table(file).to_pylist()).encode()
            if file.suffix == ".parquet"
            else file.read_bytes()
        )

    async def killed_export(self, name: str, events: int, *more: str) -> None:
        """Kill an export once it has this many events, and before it has all."""
        await asyncio.to_thread(self._kill_at, name, events, more)
        kept = json.loads((self.folder / f"{name}.part.json").read_text())
        assert events <= kept["events"]
        assert not kept["is_complete"]
        assert not (self.folder / name).exists()

    def _kill_at(self, name: str, events: int, more: Sequence[str]) -> None:
        kept, ends_s = self.folder / f"{name}.part.json", time.monotonic() + LIMIT_S
        process = subprocess.Popen(
            self._command(["audit", "export", "--to", name, *more]),
            env=self._env,
            cwd=self.folder,
            stderr=subprocess.PIPE,
        )
        while not kept.exists() or json.loads(kept.read_text())["events"] < events:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < ends_s
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    @staticmethod
    def _command(arguments: Sequence[str]) -> list[str]:
        return [str(Path(sys.executable).with_name("pulp-admin")), *arguments]


async def answers(admin: Admin, told: Told) -> dict[str, Any]:
    """What a support engineer requests about the past, through `pulp-admin`."""
    found: dict[str, Any] = {}
    moments = {
        "before the first task had ended": told.then - timedelta(hours=1) + timedelta(milliseconds=1),
        "in the old month": told.then - timedelta(minutes=55),
        "between": told.now - timedelta(days=20),
        "lately": told.now - timedelta(minutes=57),
    }
    for name, moment in moments.items():
        then = moment.isoformat()
        for command in (("tasks", "list", "--all"), ("tasks", "list", "--state", "running"), ("queue",)):
            found[f"{' '.join(command)} {name}"] = await admin.told(*command, "--as-of", then)
    for name, task_id in (("old", told.old[3]), ("across", told.across[3]), ("new", told.new[3])):
        entries = await admin.told("tasks", "history", "--task-id", str(task_id))
        found[f"history of {name}"] = entries
        first, *_, last = entries
        places = [f"{each['partition']}:{each['offset']}" for each in (first, last)]
        found[f"diff of {name}"] = await admin.told("tasks", "diff", "--task-id", str(task_id), *places)
        file = admin.folder / f"bundle-{len(list(admin.folder.iterdir()))}.json"
        await admin.told("tasks", "bundle", "--task-id", str(task_id), "--to", str(file))
        bundle = json.loads(file.read_text())
        assert len(bundle["history"]) == EACH
        found[f"bundle of {name}"] = {key: value for key, value in bundle.items() if key not in ("made_at", "server")}
    return found


async def test_all_that_was_told_is_told_from_the_archive(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    told = Told()
    settings = await log_with_times(backend, database, topics, tmp_path / "archive", told.events)
    await add_admin(database)
    async with api_process(
        backend.kafka, database, topics, tmp_path, settings={"PULP_ARCHIVE": str(tmp_path / "archive")}
    ) as api:
        admin = Admin(api, tmp_path)
        before = await answers(admin, told)
        assert len(before["tasks list --state running between"]) == ACROSS
        files = {format_: await admin.exported(f"before.{format_}") for format_ in FORMATS}
        detached = await drop_old_months(settings, told)
        assert await answers(admin, told) == before
        for format_ in FORMATS:
            name = f"after.{format_}"
            await admin.killed_export(name, 1)  # in the archive
            await admin.killed_export(name, detached + 1, "--resume")  # in the history
            assert (await admin.run("audit", "export", "--to", name, "--resume")).returncode == 0
            assert admin.contents(name) == files[format_], format_


async def drop_old_months(settings: Settings, told: Told) -> int:
    """Detach the months before this one; returns how many events are gone from Postgres."""
    everything = len(told.events)
    first = told.now.replace(day=1, hour=0, minute=0, second=0)
    assert (await history.detach(settings, first, drops=True)).dropped
    [(left,)] = await execute(settings.postgres, "select count(*) from task_events")
    assert 0 < left < everything
    return everything - int(left)
