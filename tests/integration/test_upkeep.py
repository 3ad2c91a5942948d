"""The upkeep of the storage: the next sync or a repair mends damage, even as a worker's task."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics
from pulp_operations import publish, remove_orphans, repair, sync

from tests.support.backends import Backend
from tests.support.pipeline import Pipeline, pipeline
from tests.support.stored import Stored
from tests.support.worker_process import logged_worker
from tests.support.yum import small_repository

PACKAGES = {"Packages/ant.rpm": "ant", "Packages/bee.rpm": "bee", "Packages/cat.rpm": "cat"}
SHARED = Resource("content_unit", "orphans", Access.SHARED)
ALONE = Resource("content_unit", "orphans")
ZOO = Resource("repository", "zoo")


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "storage")


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[DemoServer]:
    small_repository(tmp_path / "served", PACKAGES)
    with DemoServer(tmp_path / "served") as server:
        yield server


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, stored: Stored) -> AsyncIterator[Pipeline]:
    stored.root.mkdir()
    async with pipeline(backend.kafka, database, topics, stored.root, partitions=1) as made:
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damage(stored: Stored) -> Path:
    """Change a byte of the first package on the disk, in all its links; its size stays."""
    path = min(stored.root.glob("content/*/*/*.rpm"))
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    return path


async def test_what_a_publish_finds_damaged_the_next_sync_fetches_again(
    stored: Stored, feed: DemoServer, tmp_path: Path
) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    assert (await stored.run(publish, repo_id="zoo")).state == "successful"
    content = damage(stored)
    good = contents(tmp_path / "served" / "Packages")
    failed = await stored.run(publish, repo_id="zoo")
    assert (failed.state, failed.error_code) == ("failed", "content-damaged")
    assert "sync or a repair" in str(failed.error_description)
    again = await stored.run(sync, repo_id="zoo", feed=feed.url)
    assert (again.result["fetched"], again.result["unchanged"]) == (1, True)
    assert content.exists()
    assert contents(stored.root / "published" / "zoo" / "Packages") == good  # without another publish
    assert (await stored.run(publish, repo_id="zoo")).result["unchanged"] is True


async def test_what_a_repair_cannot_fetch_the_next_sync_does(stored: Stored, feed: DemoServer, tmp_path: Path) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    damage(stored)
    packages = tmp_path / "served" / "Packages"
    packages.rename(tmp_path / "away")
    assert (await stored.run(repair, repo_id="zoo")).error_code == "not-repaired"
    assert (await stored.run(remove_orphans)).state == "successful"
    (tmp_path / "away").rename(packages)
    assert (await stored.run(sync, repo_id="zoo", feed=feed.url)).result["fetched"] == 1
    assert (await stored.run(repair, repo_id="zoo")).result["damaged"] == 0


async def test_our_own_metadata_of_an_additive_version_is_made_anew(
    stored: Stored, feed: DemoServer, tmp_path: Path
) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url, mode="additive")
    small_repository(tmp_path / "served", {"Packages/dog.rpm": "dog"})
    assert (await stored.run(sync, repo_id="zoo", feed=feed.url, mode="additive")).result["packages"] == 4
    newest = stored.store.versions("zoo").newest()
    assert newest is not None
    before = contents(newest.folder / "metadata")
    (newest.folder / "metadata" / "primary.xml.zst").write_bytes(b"x")
    (newest.folder / "packages.jsonl.zst").unlink()
    outcome = await stored.run(repair, repo_id="zoo")
    assert outcome.state == "successful", outcome.error_description
    assert contents(newest.folder / "metadata") == before
    assert len([*newest.packages()]) == 4
    (stored.root / "repositories" / "zoo" / "versions" / "1" / "version.json").unlink()
    (newest.folder / "metadata" / "primary.xml.zst").write_bytes(b"x")
    outcome = await stored.run(repair, repo_id="zoo")
    assert outcome.error_code == "not-repaired"
    assert "version.json of version 1 of repository 'zoo' cannot be read" in str(outcome.error_description)


async def test_the_upkeep_as_tasks_of_a_worker(pulp: Pipeline, stored: Stored, feed: DemoServer) -> None:
    async def done(operation: str, *resources: Resource, **arguments: Any) -> dict[str, Any]:
        return await pulp.end(await pulp.submit(operation, *resources, arguments=arguments))

    async def result(operation: str, *resources: Resource, **arguments: Any) -> Any:
        row = await done(operation, *resources, **arguments)
        assert row["state"] == "successful", row["error"]
        return row["result"]

    async with logged_worker(
        pulp, "tests.support.shared_operations", before=(), PULP_FETCH_ALLOW="loopback", PULP_YUM_RESERVE_BYTES="0"
    ):
        assert (await result("sync", ZOO, SHARED, repo_id="zoo", feed=feed.url))["packages"] == 3
        await result("publish", ZOO, SHARED, repo_id="zoo")
        damage(stored)
        repaired = await result("repair", SHARED)
        assert (repaired["damaged"], repaired["repaired"]) == (1, 1)
        assert (await result("repair", ZOO, SHARED, repo_id="zoo"))["damaged"] == 0
        assert await result("remove-orphans", ALONE) is None
        assert await result("remove-repository", ZOO, SHARED, repo_id="zoo") == {
            "versions": 1,
            "publications": 1,
            "downloads": 0,
        }
        assert (await result("remove-orphans", ALONE))["packages"] == 3
        refused = await done("repair", ZOO, SHARED, repo_id="zoo")
        assert (refused["state"], refused["error"]["code"]) == ("failed", "not-synced")
        unheld = await done("repair", repo_id="zoo")
        assert unheld["error"]["code"] == "not-reserved"
