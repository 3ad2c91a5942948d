"""Isolated calls: whatever a function does to its process ends only the call, with a message."""

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulp_events.settings import SettingsError
from pulp_worker import LimitExceeded, OperationError
from pulp_worker.bounds import isolation_settings
from pulp_worker.isolation import IsolationSettings, isolated

from tests.support import isolated_functions as functions
from tests.support.isolated_functions import SECRET, Point
from tests.support.processes import gone, is_running

LIMITS = IsolationSettings(memory_bytes=256 << 20, cpu_s=60, total_s=250, result_bytes=1_000_000)


async def call(function: Callable[..., Any], *arguments: Any, returns: Any = None, **lower: Any) -> Any:
    limits = LIMITS.lowered(**{"memory_bytes": None, "cpu_s": None, "total_s": None, **lower})
    return await isolated(function, *arguments, returns=returns, limits=limits, what="reading the list")


async def test_arguments_and_results_have_their_types() -> None:
    assert await call(functions.moved, Point(1, 2), 10, returns=Point) == Point(11, 12)


@pytest.mark.parametrize(
    ("function", "lower", "code", "words"),
    [
        (functions.eats_memory, {}, "limit-exceeded", "more than the 256 MiB of memory"),
        (functions.eats_memory_at_once, {}, "limit-exceeded", "more than the 256 MiB of memory"),
        (functions.aborts, {}, "limit-exceeded", "PULP_ISOLATED_MEMORY_BYTES"),
        (
            functions.crashes,
            {},
            "limit-exceeded",
            "has ended its process by SIGSEGV: most likely it needs more than the 256 MiB",
        ),
        (functions.spins, {"cpu_s": 1}, "limit-exceeded", "more than 1 s of processor time (PULP_ISOLATED_CPU_S)"),
        (functions.spins, {"total_s": 1.0}, "limit-exceeded", "longer than 1 s (PULP_ISOLATED_TOTAL_S)"),
        (functions.says_much, {}, "limit-exceeded", "more than 1000000 bytes (PULP_ISOLATED_RESULT_BYTES)"),
        (functions.raises, {}, "isolated-failed", "reading the list has failed: ValueError"),
        (functions.panics, {}, "isolated-failed", "reading the list has failed: BaseException"),
        (functions.exits, {}, "isolated-failed", "its process ended with status 3"),
        (functions.answers_something_else, {}, "isolated-failed", "its result has another shape"),
        (functions.refuses, {}, "bad-list", "the list is none"),
        (functions.limits, {}, "limit-exceeded", "too many"),
    ],
)
async def test_each_end_has_its_code_and_words(
    function: Callable[..., Any],
    lower: dict[str, Any],
    code: str,
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(OperationError) as raised:
        await call(function, **lower)
    assert raised.value.code == code
    assert words in raised.value.description
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r} {capfd.readouterr()}"


async def test_a_process_that_ignores_its_limit_of_time_is_ended() -> None:
    with pytest.raises(OperationError):
        await call(functions.ignores_the_end_of_its_time, cpu_s=1)


async def test_what_is_printed_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    assert await call(functions.prints, returns=str) == "said"
    assert capfd.readouterr() == ("", "")


async def test_a_cancel_ends_the_process(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    running = asyncio.create_task(call(functions.sleeps, str(note)))
    async with asyncio.timeout(60):
        while not note.exists() or not note.read_text():  # noqa: ASYNC110  # a file cannot be waited for
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_running(int(note.read_text()))


async def test_a_result_that_is_too_large_ends_the_process_however_much_of_it_is_unread() -> None:
    for _ in range(10):
        with pytest.raises(LimitExceeded):
            await call(functions.says_much)


async def test_what_it_has_started_ends_with_the_call(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(LimitExceeded, match="longer than 2 s"):
        await call(functions.leaves_a_process, str(note), returns=str, total_s=2.0)
    if note.exists() and note.read_text():  # else the call ended before it started anything
        await gone(int(note.read_text()))


async def test_secrets_of_the_worker_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "word")
    monkeypatch.setenv("PULP_POSTGRES", "word")
    monkeypatch.setenv("https_proxy", "word")
    environment = await call(functions.has_environment, returns=dict[str, str])
    assert "word" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


async def test_the_bounds_are_only_the_calls() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(LimitExceeded):
        await call(functions.eats_memory)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


async def test_neighbours_go_on_while_one_call_takes_all_it_can() -> None:
    async def neighbour() -> Point:
        moved: Point = await call(functions.moved, Point(1, 2), 1, returns=Point)
        return moved

    hostile = [call(function) for function in (functions.eats_memory, functions.crashes, functions.aborts)]
    *ended, point = await asyncio.gather(*hostile, neighbour(), return_exceptions=True)
    assert [type(error) for error in ended] == [LimitExceeded] * 3
    assert point == Point(2, 3)


@pytest.mark.parametrize("key", ["PULP_ISOLATED_MEMORY_BYTES", "PULP_ISOLATED_CPU_S", "PULP_ISOLATED_TOTAL_S"])
def test_a_wrong_setting_is_named(key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        isolation_settings({key: "0"})
