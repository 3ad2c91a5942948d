"""The operations on the demo's yum repository, served over HTTP on the loopback."""

import asyncio
import gzip
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from createrepo_c import Repomd, RepositoryReader
from pulp_deploy.demo import repository
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import TaskCancelled

from tests.support.yum import Feed, Runner

NOTHING = {"items_left": 0, "items_total": 0, "num_error": 0, "num_success": 0, "size_left": 0, "size_total": 0}
# The page of the user guide, "Canceling a Task".
CANCELLED = {
    "yum_importer": {
        "comps": {"state": "NOT_STARTED"},
        "content": {
            "details": {
                "delta_rpm": NOTHING,
                "file": NOTHING,
                "rpm": {
                    "items_left": 6,
                    "items_total": 37,
                    "num_error": 0,
                    "num_success": 31,
                    "size_left": 112429996,
                    "size_total": 149958122,
                },
                "tree_file": NOTHING,
            },
            "error_details": [],
            "items_left": 0,
            "items_total": 37,
            "num_error": 0,
            "num_success": 31,
            "size_left": 112429996,
            "size_total": 149958122,
            "state": "CANCELED",
        },
        "errata": {"state": "NOT_STARTED"},
        "metadata": {"state": "FINISHED"},
    }
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("repository")
    return folder, repository.build(folder, repository.guide_sizes())


@pytest.fixture
def feed(built: tuple[Path, list[str]], tmp_path: Path) -> Iterator[Feed]:
    folder = tmp_path / "served"
    shutil.copytree(built[0], folder, copy_function=lambda source, target: Path(target).hardlink_to(source))
    with DemoServer(folder) as server:
        yield Feed(server, folder, built[1])


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


def test_the_repository_has_the_guides_sizes(built: tuple[Path, list[str]]) -> None:
    folder, locations = built
    sizes = [(folder / location).stat().st_size for location in locations]
    assert len(sizes) == 37
    assert sum(sizes[:31]) == 37_528_126
    assert sum(sizes[31:]) == 112_429_996


async def cancel_after_31(feed: Feed, runner: Runner) -> None:
    feed.server.gate.withhold(f"/{location}" for location in feed.locations[31:])
    context = runner.context(repo_id="ff7-e6", feed=feed.url)
    fetched_31 = asyncio.Event()
    keep = context._send

    def send(progress: bytes) -> None:
        keep(progress)
        if runner.content["num_success"] == 31:
            fetched_31.set()

    context._send = send
    running = asyncio.ensure_future(runner.run_in(context, sync))
    async with asyncio.timeout(60):
        await fetched_31.wait()
        context.cancel()
        with pytest.raises(TaskCancelled):
            await running


async def test_a_sync_that_is_cancelled_after_31_packages_reports_the_guides_numbers(
    feed: Feed, runner: Runner
) -> None:
    await cancel_after_31(feed, runner)
    assert runner.reports[-1] == CANCELLED
    assert len(runner.stored()) == 31
    assert list((runner.storage / "scratch").iterdir()) == []


async def test_the_sync_after_a_cancelled_one_fetches_what_is_left(feed: Feed, runner: Runner) -> None:
    await cancel_after_31(feed, runner)
    feed.server.gate.release()
    result = await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    assert (result["packages"], result["fetched"]) == (37, 6)
    assert runner.content["details"]["rpm"]["size_total"] == 112_429_996


async def test_a_second_sync_fetches_nothing(feed: Feed, runner: Runner) -> None:
    first = await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    assert first == {
        "packages": 37,
        "fetched": 37,
        "errata": 1,
        "package_groups": 1,
        "tree_files": 0,
        "version": 1,
        "unchanged": False,
        "added": 37,
        "removed": 0,
        "notes": [],
        "notes_total": 0,
    }
    assert runner.states == ["FINISHED"] * 4
    assert [runner.content[key] for key in ("items_left", "num_success", "size_left")] == [0, 37, 0]
    second = await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    assert second == {**first, "fetched": 0, "unchanged": True, "added": 0}
    assert feed.server.gate.total("/Packages/") == 37


async def test_an_interrupted_download_goes_on_where_it_ended(feed: Feed, runner: Runner) -> None:
    location = feed.locations[0]
    leave_partial(feed, runner, location)
    assert (await runner.run(sync, repo_id="ff7-e6", feed=feed.url))["fetched"] == 37
    assert feed.server.gate.ranges == {f"/{location}": ["bytes=500000-"]}


async def test_a_download_begins_anew_where_the_server_sends_no_parts(feed: Feed, runner: Runner) -> None:
    location = feed.locations[0]
    leave_partial(feed, runner, location)
    feed.server.gate.has_ranges = False
    assert (await runner.run(sync, repo_id="ff7-e6", feed=feed.url))["fetched"] == 37
    assert feed.server.gate.asked(f"/{location}") == 1


def leave_partial(feed: Feed, runner: Runner, location: str) -> None:
    whole = (feed.folder / location).read_bytes()
    partial = runner.storage / "partial" / "ff7-e6" / f"sha256-{hashlib.sha256(whole).hexdigest()}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[:500_000])


async def test_a_publication_is_a_complete_repository(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    result = await runner.run(publish, repo_id="ff7-e6")
    assert result == {
        "packages": 37,
        "size": 149_958_122,
        "version": 1,
        "publication": 1,
        "unchanged": False,
        "notes": [],
        "notes_total": 0,
    }
    folder = runner.storage / "published" / "ff7-e6"
    reader = RepositoryReader.from_path(str(folder))
    found = list(reader.iter_packages())
    assert len(found) == 37
    for package in found:
        content = (folder / package.location_href).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (package.size_package, package.pkgId)
    assert [advisory.id for advisory in reader.advisories()] == ["DEMO-2012:0001"]
    [comps] = [record for record in Repomd(str(folder / "repodata/repomd.xml")).records if record.type == "group"]
    assert b"<id>demo</id>" in gzip.decompress((folder / comps.location_href).read_bytes())  # as the feed has it
    states = runner.reports[-1]["yum_distributor"]
    assert {part["state"] for part in states.values()} == {"FINISHED"}


async def test_a_publication_can_be_synced(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    await runner.run(publish, repo_id="ff7-e6")
    with DemoServer(runner.storage / "published" / "ff7-e6") as server:
        result = await runner.run(sync, repo_id="a/copy", feed=server.url)
    assert (result["packages"], result["fetched"], result["errata"], result["package_groups"]) == (37, 0, 1, 1)


async def test_orphans_are_what_no_repository_holds(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    assert await runner.run(remove_orphans) is None
    stray = runner.storage / "content" / "sha256" / "00" / f"{'0' * 64}.rpm"
    partial = runner.storage / "partial" / "ff7-e6" / f"sha256-{'0' * 64}.part"
    for path in (stray, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    result = await runner.run(remove_orphans)
    assert (result["removed"], result["size"]) == (2, 10)
    assert len(runner.stored()) == 37


async def test_orphan_removal_finds_nothing_in_an_empty_store(runner: Runner) -> None:
    assert await runner.run(remove_orphans) is None
    assert runner.reports == []


async def test_dnf_reads_the_publication(feed: Feed, runner: Runner) -> None:
    dnf = shutil.which("dnf") or shutil.which("dnf5")
    if dnf is None:
        pytest.skip(
            "NOT CHECKED BY DNF: there is no dnf on this machine; the reader above and every checksum stand for it"
        )
    await runner.run(sync, repo_id="ff7-e6", feed=feed.url)
    await runner.run(publish, repo_id="ff7-e6")
    process = await asyncio.create_subprocess_exec(
        dnf,
        f"--repofrompath=demo,file://{runner.storage / 'published' / 'ff7-e6'}",
        "--repo=demo",
        "--setopt=demo.gpgcheck=0",
        f"--setopt=cachedir={runner.storage / 'dnf'}",
        "repoquery",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert len(out.splitlines()) == 37
