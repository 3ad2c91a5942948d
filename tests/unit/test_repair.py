"""`repair` verifies everything that is stored, and fetches damaged or missing files again."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pulp_operations import remove_orphans, repair
from pulp_operations.damage import set_aside
from pulp_operations.records import Package, StoredFile
from pulp_worker.testing import OperationOutcome, run_operation

from tests.support.mirror import Mirror, mirror, ok
from tests.support.stored import Stored


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "storage")


@pytest.fixture
async def feed() -> AsyncIterator[Mirror]:
    async with mirror({"/repodata/repomd.xml": ok(b"<repomd/>")}) as served:
        yield served


def offer(feed: Mirror, *packages: Package) -> None:
    for package in packages:
        name = package.name.removesuffix("-1.0-1.noarch")
        feed.answers[f"/{package.href}"] = ok(name.encode() * 100)


def flip(path: Path) -> None:
    """Change a byte in place, as a disk does: hard links see it too."""
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def progress_of(outcome: OperationOutcome) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = outcome.progress[-1]["repair"]
    return found


async def test_nothing_is_damaged(stored: Stored, feed: Mirror) -> None:
    packages, file = [stored.package("ant"), stored.package("bee")], stored.tree_file("images/boot.iso")
    stored.version("zoo", packages, [file], feed=feed.url())
    outcome = await stored.run(repair, repo_id="zoo")
    result = outcome.result
    assert (result["damaged"], result["missing"], result["repaired"]) == (0, 0, 0)
    assert result["checked"] == 4  # the list of packages counts too
    assert result["size"] > sum(package.size_bytes for package in packages) + file.size_bytes
    assert feed.heads == []
    verification = progress_of(outcome)["verification"]
    assert (verification["items_total"], verification["items_left"], verification["size_left"]) == (4, 0, 0)


@pytest.mark.parametrize("damage", [flip, shorten, empty, Path.unlink])
async def test_a_package_that_is_not_what_it_was_is_fetched_again(
    stored: Stored, feed: Mirror, damage: Callable[[Path], None]
) -> None:
    packages = [stored.package("ant"), stored.package("bee")]
    stored.version("zoo", packages, feed=feed.url())
    stored.publication("zoo", packages)
    offer(feed, *packages)
    content = stored.store.content_path(packages[0])
    damage(content)
    outcome = await stored.run(repair, repo_id="zoo")
    assert outcome.state == "successful", outcome.error_description
    assert (outcome.result["repaired"], outcome.result["damaged"] + outcome.result["missing"]) == (1, 1)
    assert feed.asked() == ["/repodata/repomd.xml", "/Packages/ant.rpm"]
    published = stored.root / "published" / "zoo" / "Packages" / "ant.rpm"
    assert content.read_bytes() == published.read_bytes() == b"ant" * 100
    assert list(stored.root.glob("damaged/*")) == list(stored.root.glob("scratch/*")) == []
    assert progress_of(outcome)["content"]["num_success"] == 1
    assert (await stored.run(repair, repo_id="zoo")).result["damaged"] == 0


async def test_a_file_of_a_tree_is_fetched_again(stored: Stored, feed: Mirror) -> None:
    file = stored.tree_file("images/boot.iso")
    stored.version("zoo", [], [file], feed=feed.url())
    feed.answers["/images/boot.iso"] = ok(b"images/boot.iso" * 100)
    flip(stored.store.content_path(file))
    outcome = await stored.run(repair, repo_id="zoo")
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["repaired"] == 1
    assert stored.store.content_path(file).read_bytes() == b"images/boot.iso" * 100


@pytest.mark.parametrize("has_content", [True, False])
async def test_a_folder_in_the_place_of_a_package_gives_way(stored: Stored, feed: Mirror, has_content: bool) -> None:
    ant = stored.package("ant")
    stored.version("zoo", [ant], feed=feed.url())
    path = stored.store.content_path(ant)
    path.unlink()
    path.mkdir()
    if has_content:
        (path / "x").touch()
        offer(feed, ant)
    outcome = await stored.run(repair, repo_id="zoo")
    assert (outcome.state == "successful") == has_content
    assert (await stored.run(remove_orphans)).state == "successful"
    assert path.is_file() == has_content
    assert list(stored.root.glob("damaged/*")) == []


async def test_what_a_publish_has_set_aside_is_fetched_again(stored: Stored, feed: Mirror) -> None:
    ant = stored.package("ant")
    stored.version("zoo", [ant], feed=feed.url())
    offer(feed, ant)
    set_aside(stored.root, stored.store.content_path(ant))
    outcome = await stored.run(repair, repo_id="zoo")
    assert (outcome.result["damaged"], outcome.result["missing"], outcome.result["repaired"]) == (1, 0, 1)


async def test_what_the_feed_has_no_more_is_named_with_the_reason(stored: Stored, feed: Mirror) -> None:
    ant, bee = packages = [stored.package("ant"), stored.package("bee")]
    stored.version("zoo", packages, feed=feed.url())
    offer(feed, bee)
    for package in packages:
        flip(stored.store.content_path(package))
    outcome = await stored.run(repair, repo_id="zoo")
    assert (outcome.state, outcome.error_code) == ("failed", "not-repaired")
    told = str(outcome.error_description)
    assert "1 of 2 damaged or missing files could not be repaired: ant-1.0-1.noarch" in told
    assert "answered 404" in told
    assert "with the argument feed" in told
    content = progress_of(outcome)["content"]
    assert (content["num_success"], content["num_error"], content["items_left"]) == (1, 1, 0)
    assert not stored.store.has(ant)  # so that the next sync fetches it
    assert stored.store.has(bee)


async def test_another_feed_may_have_it(stored: Stored, feed: Mirror) -> None:
    ant = stored.package("ant")
    stored.version("zoo", [ant], feed="http://127.0.0.1:9/gone/")
    offer(feed, ant)
    flip(stored.store.content_path(ant))
    outcome = await stored.run(repair, repo_id="zoo", feed=feed.url())
    assert outcome.state == "successful", outcome.error_description


async def test_a_feed_that_sends_other_bytes_repairs_nothing(stored: Stored, feed: Mirror) -> None:
    ant = stored.package("ant")
    stored.version("zoo", [ant], feed=feed.url())
    feed.answers["/Packages/ant.rpm"] = ok(b"bad" * 100)
    flip(stored.store.content_path(ant))
    outcome = await stored.run(repair, repo_id="zoo")
    assert outcome.error_code == "not-repaired"
    assert not stored.store.has(ant)


async def test_a_repository_of_the_release_before_needs_a_feed(stored: Stored, feed: Mirror) -> None:
    ant = stored.package("ant")
    stored.old_version("zoo", [ant])
    offer(feed, ant)
    flip(stored.store.content_path(ant))
    outcome = await stored.run(repair, repo_id="zoo")
    assert "where it came from is not known: run the repair with the argument feed" in str(outcome.error_description)
    assert (await stored.run(repair, repo_id="zoo", feed=feed.url())).result["repaired"] == 1


async def test_all_repositories_are_repaired_each_from_its_feed(stored: Stored, feed: Mirror) -> None:
    ant, bee = stored.package("ant"), stored.package("bee")
    stored.version("zoo", [ant, bee], feed="http://127.0.0.1:9/gone/")
    stored.version("farm", [bee], feed=feed.url())
    offer(feed, bee)
    flip(stored.store.content_path(bee))
    outcome = await stored.run(repair)
    assert outcome.state == "successful", outcome.error_description
    assert (outcome.result["checked"], outcome.result["repaired"]) == (4, 1)


async def test_only_the_repository_that_was_asked_for_is_looked_at(stored: Stored, feed: Mirror) -> None:
    ant, bee = stored.package("ant"), stored.package("bee")
    stored.version("zoo", [ant], feed=feed.url())
    stored.version("farm", [bee], feed=feed.url())
    flip(stored.store.content_path(bee))
    assert (await stored.run(repair, repo_id="zoo")).result["damaged"] == 0


async def test_a_version_whose_record_is_lost_is_told_and_the_others_are_repaired(stored: Stored, feed: Mirror) -> None:
    ant, bee = stored.package("ant"), stored.package("bee")
    stored.version("zoo", [ant], feed=feed.url())
    stored.version("farm", [bee], feed=feed.url())
    offer(feed, ant, bee)
    flip(stored.store.content_path(bee))
    (stored.root / "repositories" / "zoo" / "versions" / "1" / "version.json").unlink()
    outcome = await stored.run(repair)
    assert outcome.error_code == "not-repaired"
    assert "version.json of version 1 of repository 'zoo' cannot be read: it is missing" in str(
        outcome.error_description
    )
    assert stored.store.has(bee)
    assert (await stored.run(remove_orphans)).error_code == "damaged-version"


@pytest.mark.parametrize("repo_id", ["farm", "zoo%2E1"])
async def test_a_repository_that_was_never_synced_is_an_error(stored: Stored, repo_id: str) -> None:
    stored.version("zoo.1", [stored.package("ant")])
    outcome = await stored.run(repair, repo_id=repo_id)
    assert (outcome.state, outcome.error_code) == ("failed", "not-synced")


@pytest.mark.parametrize("repo_id", ["..", ".", "search"])
async def test_a_name_that_no_repository_may_have_is_refused(stored: Stored, repo_id: str) -> None:
    stored.version("zoo", [stored.package("ant")])
    outcome = await stored.run(repair, repo_id=repo_id)
    assert (outcome.state, outcome.error_code) == ("failed", "bad-arguments")
    assert "argument repo_id: no repository can be called" in str(outcome.error_description)
    assert "choose another id" in str(outcome.error_description)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"feed": "http://127.0.0.1/"}, "name the repository"),
        ({"repo_id": "zoo", "credential": "rhel"}, "which is missing"),
        ({"repo_id": "zoo", "feed": "http://me:secret@127.0.0.1/"}, "password is refused"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(stored: Stored, arguments: dict[str, Any], words: str) -> None:
    stored.version("zoo", [stored.package("ant")])
    outcome = await stored.run(repair, **arguments)
    assert outcome.state == "failed"
    assert words in str(outcome.error_description)
    assert "secret@" not in str(outcome.error_description)


async def test_a_cancelled_repair_ends_and_leaves_nothing_half_done(stored: Stored, feed: Mirror) -> None:
    packages = [stored.package(name) for name in ("ant", "bee", "cat")]
    stored.version("zoo", packages, feed=feed.url())
    outcome = await run_operation(
        repair,
        {"repo_id": "zoo"},
        storage=stored.root,
        tokens={"repository:zoo": 9, "content_unit:orphans": 9},
        cancel_when=lambda progress: progress["repair"]["verification"]["state"] == "IN_PROGRESS",
    )
    assert outcome.state == "cancelled"
    assert outcome.progress[-1]["repair"]["verification"]["state"] == "CANCELED"
    assert list((stored.root / "scratch").iterdir()) == []
    assert all(stored.store.has(package) for package in packages)


async def test_a_name_of_a_repository_that_is_not_ordinary_is_not_told(stored: Stored, feed: Mirror) -> None:
    odd = StoredFile(path="<b>click</b>", algorithm="sha256", checksum="ab" * 32, size_bytes=3)
    stored.version("zoo", [], [odd], feed=feed.url())
    outcome = await stored.run(repair, repo_id="zoo")
    assert f"the file with checksum {'ab' * 32}" in str(outcome.error_description)
    assert "<" not in str(outcome.error_description) + str(outcome.progress)
