"""Repositories that change while they are fetched: a sync starts over, a few times, and never mixes two states."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import sync
from pulp_operations.store import Store
from pulp_worker import OperationError
from pulp_worker.fetching import patience

from tests.support.served import replace_packages
from tests.support.yum import Feed, Runner

BEFORE, AFTER = ("ant", "bee"), ("cat", "dog")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", ())


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    folder = tmp_path / "served"
    (folder / "repodata").mkdir(parents=True)
    with DemoServer(folder) as server:
        feed = Feed(server, folder, [])
        replace_packages(feed, *BEFORE)
        yield feed


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


async def change_at(feed: Feed, runner: Runner, path: str, change: Any) -> Any:
    """Sync; the feed changes after this path was requested, and before the answer."""
    feed.server.gate.withhold([path])
    running = asyncio.ensure_future(runner.run(sync, repo_id="zoo", feed=feed.url, concurrency=1))
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(feed.server.gate.wait_asked, [path], 30)
        change()
        feed.server.gate.release()
        return await running


def names(runner: Runner) -> list[str]:
    held = Store(runner.storage).versions("zoo").newest()
    return [] if held is None else sorted(package.name.partition("-")[0] for package in held.packages())


@pytest.mark.parametrize("kind", ["primary", "filelists"])
async def test_a_sync_starts_over_when_the_metadata_has_gone(feed: Feed, runner: Runner, kind: str) -> None:
    path = next(feed.folder.glob(f"repodata/*-{kind}.xml*"))
    result = await change_at(feed, runner, f"/repodata/{path.name}", lambda: replace_packages(feed, *AFTER))
    assert (result["packages"], result["version"], names(runner)) == (2, 1, [*AFTER])
    assert feed.server.gate.asked("/repodata/repomd.xml") >= 2


async def test_a_sync_starts_over_when_packages_have_gone(feed: Feed, runner: Runner) -> None:
    def change() -> None:
        replace_packages(feed, "bee", *AFTER)

    result = await change_at(feed, runner, "/Packages/ant.rpm", change)
    assert (result["packages"], result["fetched"], names(runner)) == (3, 3, ["bee", *AFTER])
    assert runner.content["num_error"] == 0
    assert runner.states == ["FINISHED"] * 4


async def test_a_package_that_has_gone_from_a_feed_that_is_the_same_fails_the_sync(feed: Feed, runner: Runner) -> None:
    (feed.folder / "Packages/ant.rpm").unlink()
    with pytest.raises(OperationError, match="1 of 2 packages"):
        await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert (names(runner), len(runner.stored())) == ([], 1)


async def test_a_feed_is_not_asked_for_each_missing_package_whether_it_has_changed(feed: Feed, runner: Runner) -> None:
    missing = [f"x{number}" for number in range(20)]
    replace_packages(feed, *missing)
    for name in missing:
        (feed.folder / f"Packages/{name}.rpm").unlink()
    with pytest.raises(OperationError, match="20 of 20 packages"):
        await runner.run(sync, repo_id="zoo", feed=feed.url, concurrency=1)
    assert feed.server.gate.asked("/repodata/repomd.xml") == 3


async def test_a_sync_starts_over_for_a_change_after_the_first_package_has_failed(feed: Feed, runner: Runner) -> None:
    (feed.folder / "Packages/ant.rpm").unlink()
    result = await change_at(feed, runner, "/Packages/bee.rpm", lambda: replace_packages(feed, *AFTER))
    assert (result["packages"], names(runner), runner.content["num_error"]) == (2, [*AFTER], 0)


async def test_a_feed_that_never_rests_is_given_up_in_words(feed: Feed, runner: Runner) -> None:
    running = asyncio.ensure_future(runner.run(sync, repo_id="zoo", feed=feed.url, concurrency=1))
    versions = [BEFORE, AFTER]
    async with asyncio.timeout(60):
        for number in range(4):
            path = f"/repodata/{next(feed.folder.glob('repodata/*-primary.xml*')).name}"
            feed.server.gate.withhold([path])
            assert await asyncio.to_thread(feed.server.gate.wait_asked, [path], 30)
            replace_packages(feed, *versions[(number + 1) % 2], f"x{number}")
            upcoming = f"/repodata/{next(feed.folder.glob('repodata/*-primary.xml*')).name}"
            feed.server.gate.withhold([upcoming])
            feed.server.gate.release(path)
        with pytest.raises(OperationError, match="has changed 4 times while it was fetched") as raised:
            await running
    assert raised.value.code == "fetch-failed"
    assert names(runner) == []
