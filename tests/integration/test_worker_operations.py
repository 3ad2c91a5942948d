"""The outcome of a task that a worker runs: results, progress, failures, crashes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import Pipeline, pipeline

REPO = Resource(type="repository", id="demo")
POOL = Resource(type="pool", id="p", access=Access.SHARED)


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


def begun(pulp: Pipeline, task_id: UUID) -> int:
    """How often the operation began."""
    path = pulp.storage / f"begun-{task_id}"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("operation", ["echo", "echo-plain"])
async def test_a_task_runs_once_and_leaves_nothing_behind(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker():
        task_id = await pulp.submit(operation, REPO, POOL, arguments={"n": 1, "text": "ä"}, partition=2)
        row = await pulp.end(task_id)
        assert row["state"] == "successful"
        assert row["result"]["arguments"] == {"n": 1, "text": "ä"}
        assert set(row["result"]["tokens"]) == {"repository:demo", "pool:p"}
        assert row["progress"] == {"step": "last"}
        assert (row["attempt"], row["worker"]) == (1, "w1")
        types = [kind for kind, effect in await pulp.history(task_id) if effect == "applied"]
        assert types[:2] == ["accepted", "started"]
        assert types[-2:] == ["progress", "finished"]
        assert begun(pulp, task_id) == 1
        await pulp.nothing_is_held()
        assert row["result"].get("pid") != os.getpid()


async def test_fencing_tokens_rise_for_each_resource(pulp: Pipeline) -> None:
    async with pulp.worker():
        tasks = [await pulp.submit("echo", REPO) for _ in range(3)]
        tokens = [(await pulp.end(task_id))["result"]["tokens"]["repository:demo"] for task_id in tasks]
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize(
    ("operation", "how", "code", "words"),
    [
        ("misbehave", "raise", "operation-failed", "a text with NUL \N{REPLACEMENT CHARACTER} and a surrogate ?"),
        ("misbehave", "code", "out-of-disk", "no space left"),
        ("misbehave", "exit", "operation-failed", "3"),
        ("misbehave", "cancel-itself", "operation-failed", "CancelledError"),
        ("misbehave", "not-json", "result-not-json", "JSON"),
        ("misbehave", "too-large", "result-too-large", "300002 bytes"),
        ("misbehave", "nul", "result-not-json", "U+0000"),
        ("misbehave-plain", "raise", "operation-failed", "plain"),
        ("misbehave-plain", "exit", "operation-failed", "3"),
        ("misbehave-plain", "os-exit", "operation-crashed", "exited with status 3"),
        ("misbehave-plain", "kill", "operation-crashed", "killed by SIGKILL"),
        ("misbehave-plain", "segfault", "operation-crashed", "killed by SIGSEGV"),
        ("misbehave-plain", "not-json", "result-not-json", "JSON"),
    ],
)
async def test_what_goes_wrong_is_told(pulp: Pipeline, operation: str, how: str, code: str, words: str) -> None:
    async with pulp.worker():
        row = await pulp.end(await pulp.submit(operation, REPO, arguments={"how": how}))
        assert (row["state"], row["error"]["code"]) == ("failed", code)
        assert words in row["error"]["description"]
        # The worker goes on, and the resource is free.
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"


@pytest.mark.parametrize("operation", ["sized", "sized-plain"])
async def test_an_operation_gets_the_arguments_that_it_declares(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker():
        given = {"size": 3, "source": "https://example.org/"}
        row = await pulp.end(await pulp.submit(operation, arguments=given))
    assert (row["state"], row["result"]) == ("successful", [3, "https://example.org/"])


@pytest.mark.parametrize("operation", ["sized", "sized-plain"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 0}, "argument size must be a whole number of at least 1"),
        ({"source": "ftp://h/"}, "argument source: an http or https URL with a host is expected"),
        ({"sizes": 1}, "unknown argument 'sizes'; it takes: size, source"),
    ],
)
async def test_arguments_of_another_release_fail_the_task_at_once(
    pulp: Pipeline, operation: str, given: dict[str, Any], words: str
) -> None:
    """The API refuses them, but it may check them against the declaration of a newer or an older worker."""
    async with pulp.worker():
        task_id = await pulp.submit(operation, REPO, arguments=given)
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]["code"]) == ("failed", "bad-arguments")
        assert words in row["error"]["description"]
        assert row["error"].get("traceback") is None
        assert not list(pulp.storage.glob(f"begun-{task_id}"))
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"


async def test_a_deep_result_ends_the_task_one_way_or_the_other(pulp: Pipeline) -> None:
    async with pulp.worker():
        row = await pulp.end(await pulp.submit("misbehave", arguments={"how": "deep"}))
    assert (row["state"], row["error"] and row["error"]["code"]) in [
        ("successful", None),
        ("failed", "result-not-json"),
    ]


async def test_unknown_operations_and_other_queues_wait(pulp: Pipeline) -> None:
    async with pulp.worker():
        unknown = await pulp.submit("nobody-knows-it")
        elsewhere = await pulp.submit("echo", queue="slow")
        assert (await pulp.end(await pulp.submit("echo")))["state"] == "successful"
        for task_id in (unknown, elsewhere):
            assert (await pulp.until(task_id, bool))["state"] == "waiting"
        async with pulp.worker("w2", queues=("slow",)):
            assert (await pulp.end(elsewhere))["worker"] == "w2"


async def test_a_task_waits_for_its_dependencies(pulp: Pipeline) -> None:
    async with pulp.worker():
        first = await pulp.submit("until-file")
        second = await pulp.submit("echo", depends_on=(first,), partition=1)
        failing = await pulp.submit("misbehave", arguments={"how": "code"})
        never = await pulp.submit("echo", depends_on=(first, failing), partition=3)
        await pulp.running(first)
        assert (await pulp.end(never))["state"] == "skipped"
        assert (await pulp.until(second, bool))["state"] == "waiting"
        (pulp.storage / "go").touch()
        ended = await pulp.end(second)
        assert ended["state"] == "successful"
        first_row = await pulp.end(first)
        assert ended["started_at"] >= first_row["finished_at"]
        assert begun(pulp, never) == 0


async def test_workers_register_what_they_can_run(pulp: Pipeline) -> None:
    async with pulp.worker(concurrency=7, queues=("default", "slow")):
        [(concurrency, queues, stopped_at)] = await pulp.query("select concurrency, queues, stopped_at from workers")
        assert (concurrency, queues, stopped_at) == (7, ["default", "slow"], None)
        operations = dict(await pulp.query("select name, cancellable from operations"))
        assert operations["patient"] is True
        assert operations["echo"] is False
    assert await pulp.query("select name from workers where stopped_at is null") == []
