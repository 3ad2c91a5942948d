"""Decisions of a sync: what it fetches, what it may remove, and how it reports its progress."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pulp_operations.progress import Reporting, SyncProgress
from pulp_operations.records import MetadataFile, Note
from pulp_operations.syncing.choosing import MOST_FILES, choose, is_needed
from pulp_operations.syncing.comparing import PackageChanges, check_shrinking
from pulp_worker import LimitExceeded, OperationError


def entry(kind: str, checksum: str = "ab" * 32) -> MetadataFile:
    return MetadataFile(type=kind, href=f"repodata/{kind}.xml.gz", algorithm="sha256", checksum=checksum)


def test_unknown_metadata_is_fetched_and_deltas_and_other_forms_are_left_out_and_told() -> None:
    kinds = ["primary", "primary_db", "modules", "prestodelta", "filelists_zck", "vendor-thing", "group_gz"]
    chosen = choose(map(entry, kinds), "regenerate")
    assert [each.type for each in chosen.entries] == ["primary", "modules", "vendor-thing", "group_gz"]
    assert [note.what for note in chosen.notes] == [
        "primary_db metadata",
        "prestodelta metadata",
        "filelists_zck metadata",
    ]
    assert "delta packages are not mirrored" in chosen.notes[1].reason


def test_mirrored_metadata_is_fetched_whole() -> None:
    kinds = ["primary", "primary_db", "prestodelta", "filelists_zck"]
    chosen = choose(map(entry, kinds), "mirror")
    assert [each.type for each in chosen.entries] == kinds
    assert [note.what for note in chosen.notes] == ["prestodelta metadata"]


def test_a_file_that_is_named_twice_is_fetched_once() -> None:
    assert choose([entry("susedata"), entry("susedata")], "regenerate").entries == [entry("susedata")]


def test_a_repomd_that_names_too_many_files_is_refused() -> None:
    with pytest.raises(LimitExceeded, match=f"over {MOST_FILES} files"):
        choose((entry("susedata", f"{number:064x}") for number in range(MOST_FILES + 1)), "regenerate")


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo", "modules", "group", "group_xz"])
def test_what_clients_choose_packages_by_is_needed(kind: str) -> None:
    assert is_needed(entry(kind))


@pytest.mark.parametrize("kind", ["susedata", "productid", "primary_db", "appstream", "groupies"])
def test_other_metadata_is_not_needed(kind: str) -> None:
    assert not is_needed(entry(kind))


@pytest.mark.parametrize(
    ("before", "removed", "percent", "refused"),
    [
        (0, 0, 50, False),
        (100, 50, 50, False),
        (100, 51, 50, True),
        (3, 2, 50, False),  # a few may always be removed
        (3, 3, 50, True),  # but not all
        (1, 1, 99, True),
        (100, 100, 100, False),
        (100, 6, 0, True),
        (100, 5, 0, False),
    ],
)
def test_a_sync_that_would_remove_too_much_is_refused(before: int, removed: int, percent: int, refused: bool) -> None:
    changes = PackageChanges(before=before, after=before - removed, added=0, removed=removed)
    if not refused:
        check_shrinking(changes, "zoo", percent)
        return
    with pytest.raises(OperationError, match=f"remove {removed} of the {before} packages .*--allow-shrink") as raised:
        check_shrinking(changes, "zoo", percent)
    assert raised.value.code == "would-shrink"


def test_new_packages_do_not_hide_that_the_old_ones_go() -> None:
    with pytest.raises(OperationError, match="remove 90 of the 100 packages"):
        check_shrinking(PackageChanges(before=100, after=110, added=100, removed=90), "zoo", 50)


def test_tree_files_are_counted_and_parts_that_were_left_out_are_told() -> None:
    progress = SyncProgress()
    progress.expect_packages(2, 30)
    progress.expect_tree_files(2)
    progress.fetched_package(10)
    progress.fetched_tree_file(5)
    progress.failed_tree_file("images/boot.iso", "the server answered 404")
    progress.note(Note(what="updateinfo metadata", reason="an advisory has no id", line=7))
    content = progress.tree()["yum_importer"]["content"]
    assert content["details"]["tree_file"] == {
        "items_left": 0,
        "items_total": 2,
        "num_error": 1,
        "num_success": 1,
        "size_left": 0,
        "size_total": 5,
    }
    assert [content[key] for key in ("items_total", "num_success", "num_error", "size_left")] == [4, 2, 1, 20]
    assert content["error_details"] == [
        {"name": "images/boot.iso", "error": "the server answered 404"},
        {"name": "updateinfo metadata, line 7", "error": "an advisory has no id"},
    ]


async def test_progress_of_many_packages_is_sent_seldom_and_the_last_one_always() -> None:
    sent: list[Mapping[str, Any]] = []
    told = asyncio.Event()
    progress = SyncProgress()

    def send(tree: Mapping[str, Any]) -> None:
        sent.append(tree)
        if tree["yum_importer"]["content"]["num_success"] == 1000:
            told.set()

    reporting = Reporting(progress, send)
    progress.expect_packages(1000, 1000)
    for _ in range(1000):
        progress.fetched_package(1)
        reporting.soon()
    async with asyncio.timeout(30):
        await told.wait()
    assert len(sent) <= 3
