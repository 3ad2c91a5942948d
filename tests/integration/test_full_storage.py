"""Operations on full storage: they say where and how much is missing, leave nothing half written, and continue
later."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, remove_orphans, remove_repository, repair, sync
from pulp_worker.testing import OperationOutcome

from tests.support.stored import Stored
from tests.support.yum import small_repository

MIB = 1 << 20
NAMES = {f"Packages/p{number}.rpm": f"package{number}" for number in range(6)}


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    """A storage of 4 MiB."""
    monkeypatch.setenv("PULP_YUM_RESERVE_BYTES", "0")
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-disk-") as name:
        mounting = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", name]
        done = subprocess.run(mounting, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TESTED: operations on a full storage. It needs root and mount: {done.stderr.strip()}")
        try:
            yield Stored(Path(name))
        finally:
            subprocess.run(["umount", "-l", name], check=True)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[DemoServer]:
    small_repository(tmp_path / "served", NAMES)
    with DemoServer(tmp_path / "served") as server:
        yield server


def fill(stored: Stored, left_bytes: int) -> Path:
    """Leave this much room."""
    found = os.statvfs(stored.root)
    filler = stored.root / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - left_bytes)
    return filler


def told(outcome: OperationOutcome) -> str:
    assert (outcome.state, outcome.error_code) == ("failed", "storage-full"), outcome.error_description
    assert str(outcome.error_description).count("PULP_STORAGE") <= 1
    return str(outcome.error_description)


def left(stored: Stored) -> list[str]:
    """Files that are half written."""
    drafts = [path.name for path in stored.root.rglob("*.new")]
    return [*drafts, *(path.name for path in stored.root.glob("scratch/*"))]


async def test_a_sync_that_needs_more_than_there_is_fetches_no_package(
    stored: Stored, feed: DemoServer, tmp_path: Path
) -> None:
    big = tmp_path / "served" / "Packages" / "p0.rpm"
    packages = sum(path.stat().st_size for path in big.parent.iterdir())
    filler = fill(stored, packages // 2 + 64 * 1024)
    os.truncate(filler, filler.stat().st_size + 32 * 1024)
    words = told(await stored.run(sync, repo_id="zoo", feed=feed.url))
    assert "the packages of repository 'zoo' need" in words
    assert "None of it was fetched. Make room" in words
    assert stored.files() == set()
    assert stored.store.versions("zoo").newest() is None
    assert left(stored) == []
    filler.unlink()
    assert (await stored.run(sync, repo_id="zoo", feed=feed.url)).result["fetched"] == len(NAMES)


async def test_a_sync_without_room_for_the_metadata_says_which_file(stored: Stored, feed: DemoServer) -> None:
    (stored.root / "scratch").mkdir()
    filler = fill(stored, 0)
    words = told(await stored.run(sync, repo_id="zoo", feed=feed.url))
    assert "scratch" in words
    assert "0 bytes of 4.0 MiB are free" in words
    assert left(stored) == []
    filler.unlink()
    assert (await stored.run(sync, repo_id="zoo", feed=feed.url)).state == "successful"


async def test_a_publish_without_room_leaves_the_publication_before(stored: Stored, feed: DemoServer) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    assert (await stored.run(publish, repo_id="zoo")).state == "successful"
    filler = fill(stored, 0)
    told(await stored.run(publish, repo_id="zoo", compression="zstd"))
    assert left(stored) == []
    assert [path.name for path in (stored.root / "publications" / "zoo").iterdir()] == ["1"]
    filler.unlink()
    assert (await stored.run(publish, repo_id="zoo", compression="zstd")).result["publication"] == 2


async def test_a_repair_without_room_keeps_what_is_whole(stored: Stored, feed: DemoServer) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    [lost, *_] = packages = sorted(stored.root.glob("content/*/*/*.rpm"))
    lost.unlink()
    filler = fill(stored, 0)
    told(await stored.run(repair, repo_id="zoo"))
    assert sorted(stored.root.glob("content/*/*/*.rpm")) == packages[1:]
    assert left(stored) == []
    filler.unlink()
    assert (await stored.run(repair, repo_id="zoo")).result["repaired"] == 1


async def test_what_makes_room_works_without_any(stored: Stored, feed: DemoServer) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    await stored.run(publish, repo_id="zoo")
    fill(stored, 0)
    removed = await stored.run(remove_repository, repo_id="zoo")
    assert removed.state == "successful", removed.error_description
    orphans = await stored.run(remove_orphans)
    assert orphans.state == "successful", orphans.error_description
    assert orphans.result["packages"] == len(NAMES)


async def test_a_storage_that_has_become_read_only_is_told(stored: Stored, feed: DemoServer) -> None:
    await stored.run(sync, repo_id="zoo", feed=feed.url)
    remount(stored, "ro")
    for operation in (sync, publish, repair, remove_repository):
        arguments: dict[str, Any] = {"feed": feed.url} if operation is sync else {}
        outcome = await stored.run(operation, repo_id="zoo", **arguments)
        assert (outcome.state, outcome.error_code) == ("failed", "storage-failed"), operation.name
        assert "Read-only file system. The file system is read-only: mount it for writing" in str(
            outcome.error_description
        )
    remount(stored, "rw")
    assert (await stored.run(publish, repo_id="zoo")).state == "successful"


def remount(stored: Stored, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode},size=4m", str(stored.root)], check=True)
