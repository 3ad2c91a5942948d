"""A sync saves a version only if something has changed, with everything that the feed has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, remove_orphans, sync
from pulp_operations.store import Store
from pulp_operations.versions import StoredVersion
from pulp_worker import OperationError
from pulp_worker.fetching import patience

from tests.support.old_release import age
from tests.support.served import add_metadata, add_tree, replace_packages
from tests.support.yum import Feed, Runner

ALL = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen")
KERNEL, IMAGE = b"kernel" * 1000, b"image" * 1000


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.0,))


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    folder = tmp_path / "served"
    (folder / "repodata").mkdir(parents=True)
    with DemoServer(folder) as server:
        feed = Feed(server, folder, [])
        replace_packages(feed, *ALL)
        yield feed


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


async def synced(runner: Runner, feed: Feed, **more: Any) -> dict[str, Any]:
    return dict(await runner.run(sync, repo_id="zoo", feed=feed.url, **more))


def newest(runner: Runner) -> StoredVersion:
    held = Store(runner.storage).versions("zoo").newest()
    assert held is not None
    return held


def names(runner: Runner) -> list[str]:
    return sorted(package.name.partition("-")[0] for package in newest(runner).packages())


def numbers(runner: Runner) -> list[int]:
    return [held.version.number for held in Store(runner.storage).versions("zoo").all()]


async def test_an_idle_sync_costs_one_request_and_makes_no_version(feed: Feed, runner: Runner) -> None:
    first = await synced(runner, feed)
    assert (first["version"], first["unchanged"], first["added"], first["removed"]) == (1, False, 8, 0)
    asked = feed.server.gate.total("/")
    second = await synced(runner, feed)
    assert feed.server.gate.total("/") - asked == 1
    assert second == {**first, "fetched": 0, "unchanged": True, "added": 0}
    assert runner.states == ["FINISHED"] * 4
    assert numbers(runner) == [1]


async def test_a_feed_that_changed_makes_a_version(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    replace_packages(feed, *ALL[1:], "yak")
    result = await synced(runner, feed)
    assert [result[key] for key in ("version", "unchanged", "fetched", "added", "removed")] == [2, False, 1, 1, 1]
    assert names(runner) == sorted([*ALL[1:], "yak"])


async def test_other_options_are_not_idle(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    assert (await synced(runner, feed, mode="additive"))["version"] == 2
    assert (await synced(runner, feed, mode="additive"))["unchanged"] is True
    assert (await synced(runner, feed, metadata="mirror"))["version"] == 3


async def test_a_repair_fetches_as_the_last_sync_did_though_nothing_has_changed(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    assert (await synced(runner, feed, verify_tls=False))["unchanged"] is True
    source = newest(runner).version.source
    assert source is not None
    assert (source.feed, source.verify_tls) == (feed.url, False)


async def test_an_idle_sync_fetches_what_the_store_has_lost(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    runner.stored()[0].unlink()
    asked = feed.server.gate.total("/")
    result = await synced(runner, feed)
    assert (result["unchanged"], result["fetched"], len(runner.stored())) == (True, 1, 8)
    assert feed.server.gate.total("/") - asked == 2


@pytest.mark.parametrize("path", ["packages.jsonl.zst", "metadata/primary.xml.zst"])
async def test_a_version_that_was_damaged_in_the_store_is_made_anew(feed: Feed, runner: Runner, path: str) -> None:
    await synced(runner, feed)
    (newest(runner).folder / path).write_bytes(b"damaged")
    assert (await synced(runner, feed))["version"] == 2
    assert newest(runner).damage() == []
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 8
    assert (await synced(runner, feed))["unchanged"] is True


async def test_an_additive_sync_does_not_build_on_a_damaged_version(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed, mode="additive")
    (newest(runner).folder / "packages.jsonl.zst").write_bytes(b"damaged")
    replace_packages(feed, "ant")
    with pytest.raises(OperationError, match="repair the repository first") as raised:
        await synced(runner, feed, mode="additive")
    assert raised.value.code == "damaged-version"
    assert numbers(runner) == [1]


async def test_an_additive_sync_keeps_what_the_feed_no_longer_has(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed, mode="additive")
    replace_packages(feed, "ant", "yak")
    result = await synced(runner, feed, mode="additive")
    assert [result[key] for key in ("packages", "added", "removed", "fetched")] == [9, 1, 0, 1]
    assert names(runner) == sorted([*ALL, "yak"])
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 9
    assert await runner.run(remove_orphans) is None
    mirrored = await synced(runner, feed, allow_shrink=True)
    assert (mirrored["packages"], mirrored["removed"]) == (2, 7)


async def test_an_additive_sync_keeps_the_tree_that_the_feed_no_longer_has(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE})
    await synced(runner, feed, mode="additive")
    (feed.folder / ".treeinfo").unlink()
    (feed.folder / "images/boot.iso").unlink()
    replace_packages(feed, "yak")
    result = await synced(runner, feed, mode="additive")
    assert (result["packages"], result["tree_files"], result["notes"]) == (9, 1, [])
    assert (newest(runner).folder / "received" / "treeinfo").is_file()
    replace_packages(feed, *ALL)
    assert (await synced(runner, feed, allow_shrink=True))["tree_files"] == 0


async def test_an_additive_sync_says_that_modules_are_the_feeds_alone(feed: Feed, runner: Runner) -> None:
    add_metadata(feed.folder, "modules", b"---\ndocument: modulemd\n", "modules.yaml")
    assert (await synced(runner, feed, mode="additive"))["notes"] == []
    replace_packages(feed, "yak")
    [note] = (await synced(runner, feed, mode="additive"))["notes"]
    assert note.startswith("modules metadata: it is the feed's alone")


async def test_a_package_that_a_publish_found_damaged_is_fetched_by_the_next_sync(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    Feed(feed.server, runner.storage, []).damage(str(runner.stored()[0].relative_to(runner.storage)))
    with pytest.raises(OperationError, match="is not what the metadata says"):
        await runner.run(publish, repo_id="zoo")
    result = await synced(runner, feed)
    assert (result["unchanged"], result["fetched"]) == (True, 1)
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 8


async def test_a_sync_that_would_remove_most_packages_is_refused_until_told(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    replace_packages(feed, "ant", "bee")
    with pytest.raises(OperationError, match="would remove 6 of the 8 packages") as raised:
        await synced(runner, feed)
    assert raised.value.code == "would-shrink"
    assert "--allow-shrink" in raised.value.description
    assert (numbers(runner), len(names(runner)), runner.states[0]) == ([1], 8, "FAILED")
    assert await runner.run(remove_orphans) is None
    result = await synced(runner, feed, allow_shrink=True)
    assert (result["packages"], result["removed"]) == (2, 6)


async def test_how_much_a_sync_may_remove_is_an_argument_and_a_setting(
    feed: Feed, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await synced(runner, feed)
    replace_packages(feed, "ant", "bee")
    monkeypatch.setenv("PULP_YUM_MOST_REMOVED_PERCENT", "75")
    with pytest.raises(OperationError, match="removes at most 74 %"):
        await synced(runner, feed, most_removed_percent=74)
    assert (await synced(runner, feed))["packages"] == 2


async def test_a_repository_is_not_emptied_until_told(feed: Feed, runner: Runner) -> None:
    replace_packages(feed, "ant", "bee")
    await synced(runner, feed)
    replace_packages(feed)
    with pytest.raises(OperationError, match="would remove 2 of the 2 packages"):
        await synced(runner, feed)
    assert len(names(runner)) == 2
    assert (await synced(runner, feed, allow_shrink=True))["packages"] == 0


async def test_as_many_versions_are_kept_as_the_sync_or_the_setting_says(
    feed: Feed, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("yak", "zebra", "ape"):
        replace_packages(feed, *ALL, name)
        await synced(runner, feed, retention=3)
    assert numbers(runner) == [1, 2, 3]
    assert await runner.run(remove_orphans) is None  # all three hold theirs
    monkeypatch.setenv("PULP_YUM_KEEP_VERSIONS", "1")
    assert (await synced(runner, feed))["unchanged"] is True
    assert numbers(runner) == [3]
    assert (await runner.run(remove_orphans))["removed"] == 2


async def test_unknown_metadata_is_kept_byte_for_byte_and_deltas_are_left_out_and_told(
    feed: Feed, runner: Runner
) -> None:
    kept = {"modules": b"---\ndocument: modulemd\n", "productid": b"\x00\xff", "x-own": b"own"}
    for kind, content in kept.items():
        add_metadata(feed.folder, kind, content, f"{kind}.data")
    add_metadata(feed.folder, "prestodelta", b"<prestodelta/>", "prestodelta.xml")
    result = await synced(runner, feed)
    held = newest(runner)
    for entry in held.version.entries:
        if entry.type in kept:
            assert (held.folder / "received" / entry.own_name).read_bytes() == kept.pop(entry.type)
    assert kept == {}
    [note] = result["notes"]
    assert note.startswith("prestodelta metadata: left out")
    assert [error["name"] for error in runner.content["error_details"]] == ["prestodelta metadata"]
    assert feed.server.gate.asked("/repodata/prestodelta.xml") == 0


async def test_metadata_that_is_to_be_mirrored_is_fetched_whole(feed: Feed, runner: Runner) -> None:
    add_metadata(feed.folder, "primary_db", b"SQLite", "primary.sqlite.bz2")
    add_metadata(feed.folder, "prestodelta", b"<prestodelta/>", "prestodelta.xml")
    assert [note.partition(":")[0] for note in (await synced(runner, feed))["notes"]] == [
        "primary_db metadata",
        "prestodelta metadata",
    ]
    result = await synced(runner, feed, metadata="mirror")
    assert {"primary_db", "prestodelta"} < {entry.type for entry in newest(runner).version.entries}
    assert result["notes_total"] == 1


async def test_the_signature_is_kept_beside_what_it_signs(feed: Feed, runner: Runner) -> None:
    for name in ("repomd.xml.asc", "repomd.xml.key"):
        (feed.folder / "repodata" / name).write_text(f"the {name}")
    await synced(runner, feed)
    received = newest(runner).folder / "received"
    for name in ("repomd.xml", "repomd.xml.asc", "repomd.xml.key"):
        assert (received / name).read_bytes() == (feed.folder / "repodata" / name).read_bytes()


async def test_a_part_that_no_client_needs_does_not_fail_a_sync_and_is_named(feed: Feed, runner: Runner) -> None:
    path = add_metadata(feed.folder, "susedata", b"<susedata/>", "susedata.xml")
    path.rename(feed.folder / "elsewhere")
    result = await synced(runner, feed)
    [note] = result["notes"]
    assert note.startswith("susedata metadata: ")
    assert note.endswith("404")
    assert runner.content["error_details"][0]["name"] == "susedata metadata"
    again = await synced(runner, feed)
    assert (again["version"], again["unchanged"], again["notes"]) == (1, True, result["notes"])
    (feed.folder / "elsewhere").rename(path)
    mended = await synced(runner, feed)
    assert (mended["version"], mended["notes"]) == (2, [])


@pytest.mark.parametrize("kind", ["filelists", "primary"])
async def test_a_part_that_clients_need_fails_a_sync(feed: Feed, runner: Runner, kind: str) -> None:
    next(feed.folder.glob(f"repodata/*-{kind}.xml*")).unlink()
    with pytest.raises(OperationError, match="404"):
        await synced(runner, feed)
    assert numbers(runner) == []
    assert feed.server.gate.total("/Packages/") == 0


async def test_metadata_that_the_version_before_has_is_not_fetched_again(feed: Feed, runner: Runner) -> None:
    add_metadata(feed.folder, "productid", b"id", "productid")
    await synced(runner, feed)
    replace_packages(feed, *ALL[1:])
    add_metadata(feed.folder, "productid", b"id", "productid")
    assert (await synced(runner, feed))["version"] == 2
    assert feed.server.gate.asked("/repodata/productid") == 1
    assert {entry.type for entry in newest(runner).version.entries} > {"productid"}


async def test_an_installable_tree_is_mirrored_and_counted(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE, "images/pxeboot/vmlinuz": KERNEL})
    result = await synced(runner, feed)
    assert (result["tree_files"], result["notes"]) == (2, [])
    counts = runner.content["details"]["tree_file"]
    assert (counts["items_total"], counts["num_success"], counts["items_left"]) == (2, 2, 0)
    assert counts["size_total"] == len(IMAGE) + len(KERNEL)
    assert await runner.run(remove_orphans) is None
    asked = feed.server.gate.total("/")
    assert (await synced(runner, feed))["unchanged"] is True
    assert feed.server.gate.total("/") - asked == 1
    store = Store(runner.storage)
    assert {store.content_path(file).read_bytes() for file in newest(runner).version.tree} == {IMAGE, KERNEL}


async def test_a_tree_file_that_the_store_has_is_not_fetched_again(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE})
    await synced(runner, feed)
    replace_packages(feed, *ALL, "yak")
    result = await synced(runner, feed)
    assert (result["version"], result["tree_files"], feed.server.gate.asked("/images/boot.iso")) == (2, 1, 1)


async def test_a_tree_file_that_the_feed_does_not_have_is_named(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE}, more=f"images/lost.iso = sha256:{'0' * 64}\n")
    result = await synced(runner, feed)
    assert result["tree_files"] == 1
    [note] = result["notes"]
    assert note.startswith("images/lost.iso: ")
    assert runner.content["details"]["tree_file"]["num_error"] == 1
    assert runner.content["error_details"][0]["name"] == "images/lost.iso"
    assert (await synced(runner, feed))["unchanged"] is True


async def test_a_tree_file_that_is_not_what_treeinfo_says_fails_the_sync(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE})
    feed.damage("images/boot.iso")
    with pytest.raises(OperationError, match="1 of 1 files of the installable tree") as raised:
        await synced(runner, feed)
    assert raised.value.code == "fetch-failed"
    assert runner.states == ["FINISHED", "FAILED", "NOT_STARTED", "NOT_STARTED"]
    assert (numbers(runner), len(runner.stored())) == ([], 8)


async def test_a_treeinfo_that_is_none_is_named_and_does_not_fail_a_sync(feed: Feed, runner: Runner) -> None:
    (feed.folder / ".treeinfo").write_bytes(b"\xff\x00")
    result = await synced(runner, feed)
    assert (result["packages"], result["tree_files"]) == (8, 0)
    assert [note.partition(":")[0] for note in result["notes"]] == ["the installable tree"]


async def test_a_tree_is_not_lost_because_its_description_is_damaged(feed: Feed, runner: Runner) -> None:
    add_tree(feed.folder, {"images/boot.iso": IMAGE})
    await synced(runner, feed)
    replace_packages(feed, *ALL, "yak")
    (feed.folder / ".treeinfo").write_bytes(b"\xff\x00")
    with pytest.raises(OperationError):
        await synced(runner, feed)
    assert numbers(runner) == [1]


async def test_a_result_has_some_notes_and_the_number_of_all(feed: Feed, runner: Runner) -> None:
    for number in range(30):
        add_metadata(feed.folder, f"x{number}_db", b"SQLite %d" % number, f"x{number}.sqlite")
    result = await synced(runner, feed)
    assert (len(result["notes"]), result["notes_total"]) == (20, 30)
    assert len(json.dumps(result)) < 10_000


async def test_a_version_that_a_release_before_stored_is_published_and_then_synced(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    age(runner.storage, "zoo", feed.folder / "repodata")
    assert (newest(runner).version.format, names(runner)) == (0, [*ALL])
    assert await runner.run(remove_orphans) is None
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 8
    assert (newest(runner).version.format, names(runner), numbers(runner)) == (1, [*ALL], [1])
    result = await synced(runner, feed)
    assert [result[key] for key in ("version", "unchanged", "fetched", "added", "removed")] == [2, False, 0, 0, 0]


async def test_a_version_that_a_release_before_stored_counts_for_what_may_be_removed(
    feed: Feed, runner: Runner
) -> None:
    await synced(runner, feed)
    age(runner.storage, "zoo", feed.folder / "repodata")
    replace_packages(feed, "ant")
    with pytest.raises(OperationError, match="would remove 7 of the 8 packages"):
        await synced(runner, feed)


async def test_an_additive_sync_builds_on_a_version_that_a_release_before_stored(feed: Feed, runner: Runner) -> None:
    await synced(runner, feed)
    age(runner.storage, "zoo", feed.folder / "repodata")
    replace_packages(feed, "yak")
    result = await synced(runner, feed, mode="additive")
    assert [result[key] for key in ("packages", "version", "added", "removed")] == [9, 2, 1, 0]
