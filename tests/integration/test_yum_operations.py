"""The operations on a real yum repository, served over HTTP on the loopback."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from pulp_deploy.demo import repository
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, remove_orphans, sync
from pulp_operations.feed import parse_repomd, safe_href
from pulp_worker import Context, Operation, OperationError, TaskCancelled
from rpmrepo_metadata import RepositoryReader

from tests.unit.test_admin_guide import PROGRESS


@dataclass
class Feed:
    """A served repository."""

    server: DemoServer
    folder: Path
    locations: list[str]

    @property
    def last_six(self) -> list[str]:
        return [f"/{location}" for location in self.locations[31:]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("repository")
    return folder, repository.build(folder)


@pytest.fixture
def feed(built: tuple[Path, list[str]], tmp_path: Path) -> Iterator[Feed]:
    folder = tmp_path / "served"
    shutil.copytree(built[0], folder, copy_function=lambda source, target: Path(target).hardlink_to(source))
    with DemoServer(folder) as server:
        yield Feed(server, folder, built[1])


@dataclass
class Runner:
    """Runs operations as a worker does, and keeps what they report."""

    storage: Path
    reports: list[dict[str, Any]] = field(default_factory=list)
    token: int = 0

    def context(self, **arguments: Any) -> Context:
        self.token += 1
        return Context(
            task_id=uuid4(),
            attempt_id=uuid4(),
            arguments=arguments,
            storage=self.storage,
            tokens={"repository:zoo": self.token},
            send=lambda progress: self.reports.append(msgspec.json.decode(progress)),
        )

    async def run(self, operation: Operation, **arguments: Any) -> Any:
        context = self.context(**arguments)
        if operation.is_async:
            return await operation.function(context)
        return await asyncio.to_thread(operation.function, context)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


def test_the_repository_has_the_guides_sizes(built: tuple[Path, list[str]]) -> None:
    folder, locations = built
    sizes = [(folder / location).stat().st_size for location in locations]
    assert len(sizes) == 37
    assert sum(sizes) == 149_958_122
    assert sum(sizes[31:]) == 112_429_996


async def test_a_sync_that_is_cancelled_after_31_packages_reports_the_guides_numbers(
    feed: Feed, runner: Runner
) -> None:
    feed.server.gate.withhold(feed.last_six)
    context = runner.context(repo_id="zoo", feed=feed.server.url)
    fetched_31 = asyncio.Event()
    keep = context._send

    def send(progress: bytes) -> None:
        keep(progress)
        if runner.reports[-1]["yum_importer"]["content"]["num_success"] == 31:
            fetched_31.set()

    context._send = send
    running = asyncio.ensure_future(sync.function(context))
    async with asyncio.timeout(60):
        await fetched_31.wait()
        context.cancel()
        with pytest.raises(TaskCancelled):
            await running
    assert runner.reports[-1] == PROGRESS


async def test_a_second_sync_fetches_nothing(feed: Feed, runner: Runner) -> None:
    first = await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    assert first == {"packages": 37, "fetched": 37, "errata": 1, "package_groups": 1, "version": 1}
    asked = feed.server.gate.total("/Packages/")
    second = await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    assert second == {"packages": 37, "fetched": 0, "errata": 1, "package_groups": 1, "version": 2}
    assert feed.server.gate.total("/Packages/") == asked == 37
    states = runner.reports[-1]["yum_importer"]
    assert [states[part]["state"] for part in ("metadata", "content", "comps", "errata")] == ["FINISHED"] * 4


async def test_an_interrupted_download_goes_on_where_it_ended(feed: Feed, runner: Runner) -> None:
    location = feed.locations[0]
    whole = (feed.folder / location).read_bytes()
    partial = runner.storage / "partial" / f"sha256-{hashlib.sha256(whole).hexdigest()}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[:500_000])
    assert (await runner.run(sync, repo_id="zoo", feed=feed.server.url))["fetched"] == 37
    assert feed.server.gate.ranges[f"/{location}"] == ["bytes=500000-"]


async def test_a_package_that_is_not_what_the_metadata_says_fails_the_sync(feed: Feed, runner: Runner) -> None:
    path = feed.folder / feed.locations[3]
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 1
    path.unlink()
    path.write_bytes(broken)
    with pytest.raises(OperationError, match="1 of 37 packages"):
        await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    content = runner.reports[-1]["yum_importer"]["content"]
    assert (content["state"], content["num_success"], content["num_error"]) == ("FAILED", 36, 1)
    assert content["error_details"][0]["name"] == feed.locations[3]


async def test_a_publication_is_a_complete_repository(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    result = await runner.run(publish, repo_id="zoo")
    assert (result["packages"], result["size"]) == (37, 149_958_122)
    folder = runner.storage / "published" / "zoo"
    found = list(RepositoryReader(str(folder)).iter_packages())
    assert len(found) == 37
    for package in found:
        assert hashlib.sha256((folder / package.location_href).read_bytes()).hexdigest() == package.checksum[1]
    assert [advisory.id for advisory in RepositoryReader(str(folder)).iter_advisories()] == ["DEMO-2012:0001"]


async def test_a_publication_of_some_packages(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    names = [package.name for package in RepositoryReader(str(feed.folder)).iter_packages()][:2]
    (feed.folder / "wanted.txt").write_text("\n".join(names))
    result = await runner.run(publish, repo_id="zoo", packages_url=f"{feed.server.url}wanted.txt")
    assert result["packages"] == 2


async def test_orphans_are_what_no_repository_holds(feed: Feed, runner: Runner) -> None:
    await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    assert await runner.run(remove_orphans) is None
    stray = runner.storage / "content" / "sha256" / "00" / f"{'0' * 64}.rpm"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"12345")
    assert await runner.run(remove_orphans) == {"removed": 1, "size": 5}
    assert len(list(runner.storage.glob("content/*/*/*.rpm"))) == 37


async def test_a_write_with_an_older_fencing_token_is_refused(feed: Feed, runner: Runner) -> None:
    late = runner.context(repo_id="zoo", feed=feed.server.url)
    await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    with pytest.raises(OperationError, match="later task"):
        await sync.function(late)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"feed": "http://127.0.0.1/"}, "'repo_id': a text is needed"),
        ({"repo_id": "zoo", "feed": "ftp://127.0.0.1/"}, "no http or https URL"),
        ({"repo_id": "zoo", "feed": "http://127.0.0.1/", "concurrency": 0}, "from 1 to 64"),
    ],
)
async def test_a_bad_argument_is_named(runner: Runner, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(OperationError, match=words):
        await runner.run(sync, **arguments)


@pytest.mark.parametrize("href", ["../outside.rpm", "/etc/passwd", "http://127.0.0.1/x", "a/../../b", "", "..\\x"])
def test_a_file_outside_of_the_repository_is_refused(href: str) -> None:
    with pytest.raises(OperationError, match="outside of itself"):
        safe_href(href)


def test_a_repomd_that_is_none_is_refused() -> None:
    refuse: Callable[[bytes], object] = parse_repomd
    with pytest.raises(OperationError, match=r"no XML"):
        refuse(b"<html>")


async def test_dnf_reads_the_publication(feed: Feed, runner: Runner) -> None:
    dnf = shutil.which("dnf") or shutil.which("dnf5")
    if dnf is None:
        pytest.skip(
            "NOT CHECKED BY DNF: there is no dnf on this machine; the reader above and every checksum stand for it"
        )
    await runner.run(sync, repo_id="zoo", feed=feed.server.url)
    await runner.run(publish, repo_id="zoo")
    process = await asyncio.create_subprocess_exec(
        dnf,
        f"--repofrompath=zoo,file://{runner.storage / 'published' / 'zoo'}",
        "--repo=zoo",
        "--setopt=zoo.gpgcheck=0",
        "repoquery",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert len(out.splitlines()) == 37
