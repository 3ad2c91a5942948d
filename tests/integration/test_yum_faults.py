"""The operations on damaged, slow and unsafe repositories, and operations that race."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from createrepo_c import RepositoryReader
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import Context, OperationError, TaskCancelled
from pulp_worker.arguments import BadArguments
from pulp_worker.fetching import patience

from tests.support.yum import Feed, Runner, small_repository

PACKAGES = {"Packages/ant.rpm": "ant", "Packages/bee.rpm": "bee", "Packages/cat.rpm": "cat"}
ANT = "/Packages/ant.rpm"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.0, 0.0))


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    folder = tmp_path / "served"
    locations = small_repository(folder, PACKAGES)
    with DemoServer(folder) as server:
        yield Feed(server, folder, locations)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


async def test_a_package_that_is_not_what_the_metadata_says_fails_the_sync(feed: Feed, runner: Runner) -> None:
    feed.damage("Packages/bee.rpm")
    with pytest.raises(OperationError, match="1 of 3 packages") as raised:
        await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert raised.value.code == "fetch-failed"
    assert runner.states == ["FINISHED", "FAILED", "NOT_STARTED", "NOT_STARTED"]
    assert (runner.content["num_success"], runner.content["num_error"]) == (2, 1)
    assert runner.content["details"]["rpm"]["num_error"] == 1
    [error] = runner.content["error_details"]
    assert error["name"] == "Packages/bee.rpm"
    assert "sha256 differs" in error["error"]
    assert len(runner.stored()) == 2
    assert not (runner.storage / "repositories").exists()


async def test_metadata_that_is_not_what_repomd_says_fails_the_sync(feed: Feed, runner: Runner) -> None:
    feed.damage("repodata/primary.xml.zst")
    with pytest.raises(OperationError, match=r"primary metadata is not what repomd.xml says"):
        await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert runner.states == ["FAILED", "NOT_STARTED", "NOT_STARTED", "NOT_STARTED"]


async def test_what_fails_for_a_while_is_tried_again(feed: Feed, runner: Runner) -> None:
    feed.server.gate.fail(ANT, times=2)
    feed.server.gate.fail("/repodata/repomd.xml", times=1)
    assert (await runner.run(sync, repo_id="zoo", feed=feed.url))["fetched"] == 3
    assert feed.server.gate.asked(ANT) == 3


async def test_what_goes_on_failing_is_given_up(feed: Feed, runner: Runner) -> None:
    feed.server.gate.fail(ANT, times=100)
    with pytest.raises(OperationError, match="1 of 3"):
        await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert runner.content["error_details"] == [
        {"name": "Packages/ant.rpm", "error": f"{feed.url}Packages/ant.rpm: the server answered 503"}
    ]


async def test_what_is_not_there_is_not_asked_for_again(feed: Feed, runner: Runner) -> None:
    (feed.folder / "Packages/ant.rpm").unlink()
    with pytest.raises(OperationError, match="1 of 3"):
        await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert feed.server.gate.asked(ANT) == 1


async def test_a_url_without_a_repository(feed: Feed, runner: Runner) -> None:
    with pytest.raises(OperationError, match=r"repodata/repomd.xml: the server answered 404"):
        await runner.run(sync, repo_id="zoo", feed=f"{feed.url}elsewhere")


async def test_a_server_that_is_away(runner: Runner, feed: Feed) -> None:
    url = feed.url
    feed.server.__exit__(None, None, None)
    with pytest.raises(OperationError, match=f"^{url}repodata/repomd.xml: .*connection") as raised:
        await runner.run(sync, repo_id="zoo", feed=url)
    assert raised.value.code == "fetch-failed"


async def test_a_cancel_ends_a_sync_that_waits_for_its_metadata(feed: Feed, runner: Runner) -> None:
    feed.server.gate.withhold(["/repodata/repomd.xml"])
    context = runner.context(repo_id="zoo", feed=feed.url)
    running = asyncio.ensure_future(runner.run_in(context, sync))
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(feed.server.gate.wait_asked, ["/repodata/repomd.xml"], 30)
        context.cancel()
        with pytest.raises(TaskCancelled):
            await running
    assert runner.states == ["CANCELED", "NOT_STARTED", "NOT_STARTED", "NOT_STARTED"]


async def test_a_worker_that_ends_a_sync_by_force_leaves_no_scratch(feed: Feed, runner: Runner) -> None:
    feed.server.gate.withhold([ANT])
    running = asyncio.ensure_future(runner.run(sync, repo_id="zoo", feed=feed.url))
    assert await asyncio.to_thread(feed.server.gate.wait_asked, [ANT], 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert runner.content["state"] == "CANCELED"
    assert list((runner.storage / "scratch").iterdir()) == []


async def test_two_repositories_with_the_same_packages_sync_side_by_side(feed: Feed, runner: Runner) -> None:
    zoo, farm = (runner.context(repo_id=name, feed=feed.url) for name in ("zoo", "farm"))
    results = await asyncio.gather(runner.run_in(zoo, sync), runner.run_in(farm, sync))
    assert [result["packages"] for result in results] == [3, 3]
    assert len(runner.stored()) == 3


async def test_packages_may_be_on_another_server(feed: Feed, runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "metadata-only"
    locations = small_repository(folder, PACKAGES, base_url=feed.url)
    for location in locations:
        (folder / location).unlink()
    with DemoServer(folder) as server:
        assert (await runner.run(sync, repo_id="zoo", feed=server.url))["fetched"] == 3
    await runner.run(publish, repo_id="zoo")
    published = RepositoryReader.from_path(str(runner.storage / "published" / "zoo"))
    assert [package.location_base for package in published.iter_packages()] == [None] * 3


async def test_packages_that_are_files_of_the_worker_are_refused(runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "unsafe"
    small_repository(folder, PACKAGES, base_url="file:///etc/")
    with DemoServer(folder) as server, pytest.raises(OperationError, match="not http or https"):
        await runner.run(sync, repo_id="zoo", feed=server.url)
    assert runner.states[0] == "FAILED"


async def test_different_files_of_one_name_are_both_published(runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "twins"
    small_repository(folder, {"a/same.rpm": "ant", "b/same.rpm": "bee"})
    with DemoServer(folder) as server:
        await runner.run(sync, repo_id="zoo", feed=server.url)
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 2
    published = RepositoryReader.from_path(str(runner.storage / "published" / "zoo"))
    assert len({package.location_href for package in published.iter_packages()}) == 2


async def test_a_publication_of_some_packages(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    (feed.folder / "wanted.txt").write_text("ant\n\ncat\n")
    result = await runner.run(publish, repo_id="zoo", packages_url=f"{feed.url}wanted.txt")
    assert result["packages"] == 2
    published = RepositoryReader.from_path(str(runner.storage / "published" / "zoo"))
    assert sorted(package.name for package in published.iter_packages()) == ["ant", "cat"]


async def test_names_of_files_may_have_blanks_and_letters_of_any_language(runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    small_repository(folder, {"Packages/a b.rpm": "ant", "Packages/\u00fcber+~^1.rpm": "bee"})
    with DemoServer(folder) as server:
        assert (await runner.run(sync, repo_id="zoo", feed=server.url))["fetched"] == 2
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 2


async def test_a_publish_waits_for_its_list_and_says_so(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    (feed.folder / "wanted.txt").write_text("ant")
    feed.server.gate.withhold(["/wanted.txt"])
    running = asyncio.ensure_future(runner.run(publish, repo_id="zoo", packages_url=f"{feed.url}wanted.txt"))
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(feed.server.gate.wait_asked, ["/wanted.txt"], 30)
        assert runner.reports[-1]["yum_distributor"]["package_list"] == {"state": "IN_PROGRESS"}
        feed.server.gate.release()
        assert (await running)["packages"] == 1


@pytest.mark.parametrize(
    ("text", "code"), [("ant\nunicorn\n", "unknown-packages"), (None, "fetch-failed"), (b"\xff", "fetch-failed")]
)
async def test_a_publish_that_fails_leaves_the_one_before(
    feed: Feed, runner: Runner, text: str | bytes | None, code: str
) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    await runner.run(publish, repo_id="zoo")
    if text is not None:
        (feed.folder / "wanted.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OperationError) as raised:
        await runner.run(publish, repo_id="zoo", packages_url=f"{feed.url}wanted.txt")
    assert raised.value.code == code
    assert "FAILED" in [part["state"] for part in runner.reports[-1]["yum_distributor"].values()]
    assert len(list(RepositoryReader.from_path(str(runner.storage / "published" / "zoo")).iter_packages())) == 3
    assert [path.name for path in (runner.storage / "publications" / "zoo").iterdir()] == ["1"]


async def test_the_publication_before_stays_for_who_still_reads_it(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    for compression in ("gzip", "zstd", "gzip"):  # else the publications after the first would be the same
        await runner.run(publish, repo_id="zoo", compression=compression)
    assert sorted(path.name for path in (runner.storage / "publications" / "zoo").iterdir()) == ["2", "3"]
    assert (runner.storage / "published" / "zoo").resolve().name == "3"


async def test_a_package_that_was_damaged_in_the_store_is_not_published(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    Feed(feed.server, runner.storage, []).damage(str(runner.stored()[0].relative_to(runner.storage)))
    with pytest.raises(OperationError, match="not what the metadata says"):
        await runner.run(publish, repo_id="zoo")
    assert not (runner.storage / "published").exists()


async def test_a_package_that_no_version_holds_any_more_is_an_orphan(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    small_repository(feed.folder, {ANT[1:]: "ant"})
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert await runner.run(remove_orphans) is None  # the previous version holds them
    small_repository(feed.folder, {ANT[1:]: "ant", "Packages/dog.rpm": "dog"})
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    assert (await runner.run(remove_orphans))["removed"] == 2
    assert len(runner.stored()) == 2


@pytest.mark.parametrize("operation", [sync, publish])
async def test_a_write_with_an_older_fencing_token_is_refused(feed: Feed, runner: Runner, operation: Any) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    late = runner.context(repo_id="zoo", **({"feed": feed.url} if operation is sync else {}))
    await runner.run(sync, repo_id="zoo", feed=feed.url)
    with pytest.raises(OperationError, match="later task") as raised:
        await runner.run_in(late, operation)
    assert raised.value.code == "fenced"
    assert not (runner.storage / "published").exists()


@pytest.mark.parametrize("operation", [sync, publish, remove_orphans])
async def test_a_task_that_holds_other_resources_is_refused(feed: Feed, runner: Runner, operation: Any) -> None:
    given = {sync: {"repo_id": "zoo", "feed": feed.url}, publish: {"repo_id": "zoo"}, remove_orphans: {}}[operation]
    context = runner.context(**given)
    without = Context(
        task_id=context.task_id,
        attempt_id=context.attempt_id,
        arguments=context.arguments,
        storage=context.storage,
        tokens={"repository:zoo": 1},
        send=lambda _: None,
    )
    with pytest.raises(OperationError, match="does not hold the resource content_unit:orphans"):
        await runner.run_in(without, operation)


async def test_nothing_to_publish(runner: Runner) -> None:
    with pytest.raises(OperationError, match="sync it first"):
        await runner.run(publish, repo_id="zoo")


@pytest.mark.parametrize("repo_id", ["..", "."])
async def test_an_id_that_no_address_can_name_is_refused(feed: Feed, runner: Runner, repo_id: str) -> None:
    with pytest.raises(BadArguments, match="no address can name it: choose another id"):
        await runner.run(sync, repo_id=repo_id, feed=feed.url)
    assert {path.name for path in runner.storage.parent.iterdir()} == {"served"}  # nothing is written


@pytest.mark.parametrize("repo_id", ["../../outside", "a/b", "%2E", "ü", "..."])
async def test_a_repository_may_have_any_other_name(feed: Feed, runner: Runner, repo_id: str) -> None:
    await runner.run(sync, repo_id=repo_id, feed=feed.url)
    await runner.run(publish, repo_id=repo_id)
    assert len(list((runner.storage / "published").iterdir())) == 1
    assert len(list((runner.storage / "repositories").iterdir())) == 1
    assert {path.name for path in runner.storage.parent.iterdir()} == {"served", "storage"}
