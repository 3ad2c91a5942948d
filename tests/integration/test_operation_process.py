"""What a plain operation does to its process, and the outcome: a test for each line of the table."""

import asyncio
import json
import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulp_events.events import Outcome
from pulp_worker.bounds import fetch_settings
from pulp_worker.child_run import ChildRun
from pulp_worker.descendants import marked
from pulp_worker.environment import ATTEMPT_ID
from pulp_worker.isolation import IsolationSettings
from pulp_worker.output import BURST_BYTES, LINE_LIMIT
from pulp_worker.runner import LEAST_DESCRIPTOR
from pulp_worker.scratch import folder_of

from tests.support.plain import Plain, plain
from tests.support.process_operations import WAYS
from tests.support.processes import is_running

CRASHED = "operation-crashed"
SLOW_MODULE = f"""
import os
import select

from tests.support.process_operations import ways

open(os.environ["IMPORTING"], "w").close()
select.select([{LEAST_DESCRIPTOR}], [], [])  # until the channel has a cancel
"""
TABLE: dict[str, tuple[Any, str | None, str]] = {
    # way: (result, or None if it fails; error code; a part of the message)
    "reads-standard-input": ("", None, ""),
    "runs-cat": ("", None, ""),
    "runs-what-reads-lines": ("0\n", None, ""),
    "pool-by-fork": ([1, 2], None, ""),
    "pool-by-spawn": ([1, 2], None, ""),
    "pool-by-forkserver": ([1, 2], None, ""),
    "executor-by-fork": ([1, 2], None, ""),
    "sets-an-alarm": ("rung", None, ""),
    "has-default-signals": (True, None, ""),
    "has-one-thread": (1, None, ""),
    "ignores-signals-and-ends-its-group": ("alive", None, ""),
    "exits-at-once": (None, CRASHED, "exited with status 0 and left no result"),
    "becomes-another-program": (None, CRASHED, "exited with status 0 and left no result"),
    "kills-itself": (None, CRASHED, "was killed by SIGKILL"),
    "dies-of-a-real-time-signal": (None, CRASHED, f"was killed by signal {signal.SIGRTMIN + 1}"),
    "dumps-core": (None, CRASHED, "was killed by SIGABRT"),
    "exits-in-words": (None, "operation-failed", "SystemExit: out of luck"),
    "closes-all-descriptors": (None, CRASHED, "closed descriptors that it had not opened"),
    "closes-and-opens-descriptors": (None, CRASHED, "closed descriptors that it had not opened"),
    "writes-to-all-descriptors": ("said", None, ""),
    "comes-back-twice": ({"child": 0}, None, ""),
    "comes-back-with-an-error": ({"child": 1}, None, ""),
    "comes-back-by-exit": ({"child": 7}, None, ""),
    "reports-from-a-fork": ({"child": 3}, None, ""),
    "leaves-an-orphan-and-crashes": (None, CRASHED, "exited with status 5"),
    "hangs-at-exit": ("said", None, ""),
    "leaves-a-thread": ("said", None, ""),
    "sets-limits": ("said", None, ""),
    "removes-its-folder": ("said", None, ""),
    "replaces-its-output": ("said", None, ""),
    "is-awaited": ("awaited", None, ""),
}


def nothing_is_left(run: Plain) -> None:
    """No process and no folder of the attempt."""
    assert marked(ATTEMPT_ID, str(run.claim.attempt_id)) == []
    assert not os.path.exists(folder_of(run.claim.attempt_id))


def is_file(path: str) -> bool:
    return os.path.isfile(path)


def printed(caplog: pytest.LogCaptureFixture, run: Plain) -> list[str]:
    """The operation's output in the log."""
    records = [record for record in caplog.records if record.name == "pulp.operation"]
    assert {vars(record)["task_id"] for record in records} <= {run.claim.task_id}
    return [record.getMessage() for record in records]


@pytest.mark.parametrize("way", TABLE)
async def test_a_way(tmp_path: Path, way: str) -> None:
    result, code, words = TABLE[way]
    async with plain(tmp_path, way) as run:
        ended = await run.end()
        nothing_is_left(run)
    if ended.error is None:
        assert (json.loads(bytes(ended.result)), code) == (result, None)
    else:
        assert (ended.outcome, ended.error.code) == (Outcome.FAILED, code)
        assert words in ended.error.description


def test_each_way_has_its_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [way for way in WAYS if f'"{way}"' not in text] == []


async def test_signals_that_the_worker_ignores_are_not_ignored_by_its_operations(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with plain(tmp_path, "has-default-signals") as run:
            assert bytes((await run.end()).result) == b"true"
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_an_orphan_is_dead_before_the_run_has_ended(tmp_path: Path) -> None:
    async with plain(tmp_path, "leaves-an-orphan") as run:
        ended = await run.end()
        orphan = json.loads(bytes(ended.result))["orphan"]
        assert not is_running(orphan)
        nothing_is_left(run)


@pytest.mark.parametrize("way", ["leaves-an-orphan-and-hangs", "keeps-the-interpreter"])
async def test_what_hangs_ends_with_the_lease_though_nobody_looks(tmp_path: Path, way: str) -> None:
    async with plain(tmp_path, way, lease_s=5) as run:
        ended = await run.end()  # the lease is not renewed
        assert ended.error is not None
        assert (ended.error.code, "SIGKILL" in ended.error.description) == (CRASHED, True)
        nothing_is_left(run)


@pytest.mark.parametrize("way", ["leaves-an-orphan-and-hangs", "keeps-the-interpreter"])
async def test_what_hangs_can_be_killed(tmp_path: Path, way: str) -> None:
    async with plain(tmp_path, way) as run:
        await run.reported.wait()
        run.run.kill()
        assert (await run.end()).outcome is Outcome.CANCELLED
        nothing_is_left(run)


@pytest.mark.parametrize("stop", [ChildRun.cancel, ChildRun.kill])
async def test_what_is_stopped_while_its_process_starts_ends_at_once(
    tmp_path: Path, stop: Callable[[ChildRun], None]
) -> None:
    async with plain(tmp_path, "reads-standard-input") as run:
        while not (children := psutil.Process().children()):  # noqa: ASYNC110  # a process cannot be waited for
            await asyncio.sleep(0)
        children[0].suspend()  # as if it started very slowly
        stop(run.run)
        assert (await run.end()).outcome is Outcome.CANCELLED
        nothing_is_left(run)


async def test_what_is_cancelled_while_its_module_is_imported_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("IMPORTING", str(tmp_path / "importing"))
    async with plain(tmp_path, "leaves-an-orphan", module="slow_module", environment=("IMPORTING",)) as run:
        while not (tmp_path / "importing").exists():  # noqa: ASYNC110  # a process cannot be waited for
            await asyncio.sleep(0.01)
        run.run.cancel()
        assert (await run.end()).outcome is Outcome.CANCELLED
        nothing_is_left(run)


async def test_an_operation_that_freezes_its_guardian_can_be_killed(tmp_path: Path) -> None:
    async with plain(tmp_path, "freezes-its-guardian") as run:
        await run.reported.wait()
        [guardian] = [one for one in psutil.Process().children() if "pulp_worker.child" in one.cmdline()]
        while guardian.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110  # a process cannot be waited for
            await asyncio.sleep(0.02)
        run.run.kill()
        assert (await run.end()).outcome is Outcome.CANCELLED
        nothing_is_left(run)


async def test_an_operation_that_kills_its_guardian_dies_with_it(tmp_path: Path) -> None:
    async with plain(tmp_path, "kills-its-guardian") as run:
        ended = await run.end()
        assert ended.error is not None
        assert ended.error.code == CRASHED
        nothing_is_left(run)


async def test_handlers_run_at_exit(tmp_path: Path) -> None:
    async with plain(tmp_path, "does-something-at-exit") as run:
        assert is_file(json.loads(bytes((await run.end()).result)))


async def test_it_works_in_a_folder_of_its_own(tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    async with plain(tmp_path, "has-a-folder") as run:
        seen = json.loads(bytes((await run.end()).result))
    assert seen == {"cwd": folder_of(run.claim.attempt_id), "mode": 0o700, "files": [], "umask": mask}


async def test_a_folder_that_nobody_may_read_is_removed(tmp_path: Path) -> None:
    async with plain(tmp_path, "hides-its-folder") as run:
        await run.end()
        nothing_is_left(run)


@pytest.mark.parametrize("traceparent", [None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
async def test_an_operation_can_go_on_with_the_trace_of_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traceparent: str | None
) -> None:
    monkeypatch.setenv("TRACEPARENT", "of the worker's own start")
    async with plain(tmp_path, "has-an-environment", traceparent=traceparent) as run:
        ended = await run.end()
    assert json.loads(bytes(ended.result)).get("TRACEPARENT") == traceparent


async def test_the_environment_is_what_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULP_POSTGRES", "PULP_KAFKA", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "OWN_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    async with plain(tmp_path, "has-an-environment", environment=("OWN_TOKEN",)) as run:
        seen = json.loads(bytes((await run.end()).result))
    assert [name for name, value in seen.items() if value == "secret"] == ["OWN_TOKEN"]
    assert (seen["https_proxy"], seen["LC_ALL"], seen["PATH"]) == (
        "http://proxy:3128",
        "C.UTF-8",
        os.environ["PATH"],
    )
    assert (seen["PULP_TASK_ID"], seen["PULP_ATTEMPT_ID"]) == (str(run.claim.task_id), str(run.claim.attempt_id))
    assert seen["TMPDIR"] == folder_of(run.claim.attempt_id)


async def test_it_has_the_bounds_of_the_workers_settings(tmp_path: Path) -> None:
    fetching = fetch_settings({"PULP_FETCH_ALLOW": "mirror.example"})
    isolation = IsolationSettings(memory_bytes=200 << 20)
    async with plain(tmp_path, "has-bounds", fetching=fetching, isolation=isolation) as run:
        allowed, told = json.loads(bytes((await run.end()).result))
    assert allowed == ["mirror.example"]
    assert told.startswith("eating needs more than the 200 MiB of memory")


async def test_output_comes_line_by_line_with_the_tasks_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with plain(tmp_path, "prints") as run:
        await run.end()
    assert printed(caplog, run) == ["one", "two", "three", "\\x1b[31mred \\udc80"]


async def test_a_flood_is_bounded_and_what_is_dropped_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with plain(tmp_path, "floods") as run:
        assert (await run.end()).outcome is Outcome.SUCCESSFUL
    lines = printed(caplog, run)
    assert sum(map(len, lines)) < 4 * BURST_BYTES
    assert max(map(len, lines)) <= LINE_LIMIT + 40
    told = [line for line in lines if not line.startswith(("line", "xxx"))]
    assert "lines are dropped" in told[0]
    dropped = sum(int(found[1]) for line in told if (found := re.match(r"\((\d+) lines were dropped\)", line)))
    assert dropped + len(lines) - len(told) == 100_001
