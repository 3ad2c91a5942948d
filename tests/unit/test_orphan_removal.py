"""`remove-orphans` removes content that no kept version holds, and nothing while that is uncertain."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import remove_orphans, sync
from pulp_operations.damage import set_aside, set_aside_files
from pulp_operations.records import Package, StoredFile

from tests.support.stored import Stored
from tests.support.yum import small_repository


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "storage")


async def test_what_no_version_holds_is_removed_by_kind(stored: Stored) -> None:
    held, file = stored.package("ant"), stored.tree_file("images/boot.iso")
    stored.version("zoo", [held], [file])
    orphans: list[Package | StoredFile] = [stored.package("bee"), stored.tree_file("images/old.iso")]
    partial = stored.store.partial_path("zoo", orphans[0])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"12345")
    outcome = await stored.run(remove_orphans)
    assert outcome.result == {
        "removed": 3,
        "size": orphans[0].size_bytes + orphans[1].size_bytes + 5,
        "packages": 1,
        "tree_files": 1,
        "downloads": 1,
        "damaged": 0,
    }
    assert stored.files() == {held.checksum, file.checksum}
    assert not partial.parent.exists()
    assert (await stored.run(remove_orphans)).result is None


async def test_a_package_and_a_file_of_a_tree_with_the_same_bytes_are_told_apart(stored: Stored) -> None:
    file = stored.tree_file("ant")
    package = stored.package("ant")
    assert file.checksum == package.checksum
    stored.version("zoo", [], [file])
    assert (await stored.run(remove_orphans)).result["packages"] == 1
    assert stored.store.has(file)
    assert not stored.store.has(package)


async def test_every_kept_version_holds_its_content(stored: Stored) -> None:
    packages = [stored.package(name) for name in ("ant", "bee", "cat")]
    for package in packages:
        stored.version("zoo", [package], keep=2)
    assert (await stored.run(remove_orphans)).result["packages"] == 1
    assert stored.files() == {package.checksum for package in packages[1:]}


async def test_a_version_of_the_release_before_holds_its_content(stored: Stored) -> None:
    held, orphan = stored.package("ant"), stored.package("bee")
    stored.old_version("zoo", [held])
    assert (await stored.run(remove_orphans)).result["packages"] == 1
    assert stored.files() == {held.checksum}
    assert not stored.store.has(orphan)


def _no_record(folder: Path) -> None:
    (folder / "version.json").unlink()


def _empty_record(folder: Path) -> None:
    (folder / "version.json").write_bytes(b"")


def _no_packages(folder: Path) -> None:
    (folder / "packages.jsonl.zst").unlink()


def _torn_packages(folder: Path) -> None:
    path = folder / "packages.jsonl.zst"
    os.truncate(path, path.stat().st_size // 2)


def _emptied_packages(folder: Path) -> None:
    (folder / "packages.jsonl.zst").write_bytes(b"")


def _flipped_packages(folder: Path) -> None:
    path = folder / "packages.jsonl.zst"
    path.write_bytes(b"\0" + path.read_bytes()[1:])


def _no_version(folder: Path) -> None:
    folder.rename(folder.with_name("lost"))


@pytest.mark.parametrize(
    "damage",
    [
        _no_record,
        _empty_record,
        _no_packages,
        _torn_packages,
        _emptied_packages,
        _flipped_packages,
        _no_version,
    ],
)
async def test_a_record_that_cannot_be_read_stops_it_before_anything_is_removed(
    stored: Stored, damage: Callable[[Path], None]
) -> None:
    stored.version("farm", [stored.package("cow")])
    stored.version("zoo.1", [stored.package("ant")])
    stored.package("bee")
    before = stored.files()
    damage(stored.root / "repositories" / "zoo%2E1" / "versions" / "1")
    outcome = await stored.run(remove_orphans)
    assert (outcome.state, outcome.error_code) == ("failed", "damaged-version")
    assert "of version 1 of repository 'zoo.1' cannot be read" in str(outcome.error_description)
    assert "put repositories/zoo%2E1/versions/1 in the folder PULP_STORAGE back from a backup" in str(
        outcome.error_description
    )
    assert stored.files() == before


async def test_an_old_record_that_cannot_be_read_stops_it(stored: Stored) -> None:
    stored.old_version("zoo", [stored.package("ant")])
    path = stored.root / "repositories" / "zoo" / "versions" / "1" / "repository.json"
    path.write_bytes(path.read_bytes()[:-10])
    assert (await stored.run(remove_orphans)).error_code == "damaged-version"
    assert len(stored.files()) == 1


async def test_what_tasks_that_were_ended_by_force_have_left_is_removed(stored: Stored) -> None:
    stored.version("zoo", [stored.package("ant")])
    left = [
        "scratch/tmpabc/metadata",
        "repositories/zoo/versions/7.removed/received",
        "repositories/farm.removed/versions/1",
        "publications/zoo/3.removed/repodata",
        "publications/farm.removed/1",
        "partial/farm.removed",
    ]
    for name in left:
        (stored.root / name).mkdir(parents=True)
    (stored.root / "damaged").mkdir()
    (stored.root / "damaged" / "x.new").touch()
    assert (await stored.run(remove_orphans)).state == "successful"
    assert [name for name in left if (stored.root / name).exists()] == []
    assert list((stored.root / "damaged").iterdir()) == []
    assert len(stored.files()) == 1


async def test_damaged_files_stay_as_long_as_a_publication_has_to_be_healed(stored: Stored) -> None:
    ant, bee, cat = packages = [stored.package(name) for name in ("ant", "bee", "cat")]
    stored.version("zoo", [ant, bee])
    stored.publication("zoo", [ant])
    for package in packages:
        set_aside(stored.root, stored.store.content_path(package))
    outcome = await stored.run(remove_orphans)
    assert outcome.result["damaged"] == 2  # nobody links `bee`, and nobody holds `cat`
    [left] = set_aside_files(stored.root)
    assert ant.checksum in left.name
    assert cat.checksum not in left.name


async def test_a_folder_where_a_file_should_be_stays(stored: Stored) -> None:
    odd = stored.root / "content" / "sha256" / "00" / f"{'0' * 64}.rpm"
    odd.mkdir(parents=True)
    assert (await stored.run(remove_orphans)).state == "successful"
    assert odd.is_dir()


async def test_a_sync_whose_content_may_be_gone_saves_no_version(stored: Stored, tmp_path: Path) -> None:
    """The task was believed lost, and its shared hold on the content was given to a removal."""
    served = tmp_path / "served"
    small_repository(served, {"Packages/ant.rpm": "ant"})
    before = next(stored.tokens)
    assert (await stored.run(remove_orphans)).state == "successful"
    with DemoServer(served) as server:
        late = await stored.run(sync, token=before, repo_id="zoo", feed=server.url)
        assert (late.state, late.error_code) == ("failed", "fenced")
        assert "content was removed by a later task meanwhile" in str(late.error_description)
        assert stored.store.versions("zoo").newest() is None
        assert (await stored.run(sync, repo_id="zoo", feed=server.url)).state == "successful"


async def test_an_earlier_removal_removes_nothing_after_a_later_one(stored: Stored) -> None:
    before = next(stored.tokens)
    await stored.run(remove_orphans)
    stored.package("ant")
    late = await stored.run(remove_orphans, token=before)
    assert (late.state, late.error_code) == ("failed", "fenced")
    assert len(stored.files()) == 1


async def test_a_fence_that_is_none_is_told(stored: Stored) -> None:
    await stored.run(remove_orphans)
    (stored.root / "fences" / "orphans.removed").write_bytes(bytes(20))
    outcome = await stored.run(remove_orphans)
    assert outcome.error_code == "damaged-fence"
    assert "'orphans.removed' in the folder 'fences'" in str(outcome.error_description)


@pytest.mark.parametrize(
    ("content_type", "left"), [("rpm", {"tree"}), ("distribution", {"package"}), ("erratum", {"tree", "package"})]
)
async def test_orphans_of_one_type_are_removed_alone(stored: Stored, content_type: str, left: set[str]) -> None:
    orphans = {"package": stored.package("bee").checksum, "tree": stored.tree_file("images/old.iso").checksum}
    result = (await stored.run(remove_orphans, content_type=content_type)).result
    assert stored.files() == {orphans[name] for name in left}
    assert (None if result is None else result["removed"]) == (None if len(left) == 2 else 1)
