"""`repair` verifies the metadata of each version, fetches it again, and rewrites our own from it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, repair
from pulp_operations.reading import Normalising, UnpackLimits, normalise, read_repomd
from pulp_operations.records import FeedSource, VersionRecord
from pulp_operations.settings import CHECKSUM_TYPES
from pulp_operations.versions import RECEIVED
from pulp_worker.testing import OperationOutcome

from tests.support.stored import Stored
from tests.support.yum import small_repository

LIMITS = UnpackLimits(1 << 30, 300)


class Scene(NamedTuple):
    """A repository as a sync leaves it, and its feed."""

    stored: Stored
    version: Path
    served: Path

    async def repair(self) -> OperationOutcome:
        return await self.stored.run(repair, repo_id="zoo")

    def files(self) -> dict[str, bytes]:
        """What the version consists of."""
        return {
            str(path.relative_to(self.version)): path.read_bytes() for path in self.version.rglob("*") if path.is_file()
        }

    def received(self, kind: str) -> str:
        [path] = self.version.glob(f"received/{kind}*")
        return str(path.relative_to(self.version))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    stored, served = Stored(tmp_path / "storage"), tmp_path / "served"
    locations = small_repository(served, {"Packages/ant.rpm": "ant", "Packages/bee.rpm": "bee"})
    with DemoServer(served) as server:
        content = (served / "repodata" / "repomd.xml").read_bytes()
        entries = read_repomd(content).entries
        with stored.store.scratch() as scratch:
            prepared = scratch / "prepared"
            (prepared / RECEIVED).mkdir(parents=True)
            (prepared / RECEIVED / "repomd.xml").write_bytes(content)
            for entry in entries:
                (prepared / RECEIVED / entry.own_name).write_bytes((served / entry.href).read_bytes())
            options = Normalising(limits=LIMITS, algorithms=CHECKSUM_TYPES)
            made = normalise(str(prepared / RECEIVED), entries, str(prepared), options)
            version = VersionRecord(
                number=0,
                token=next(stored.tokens),
                feed_key="",
                source=FeedSource(feed=server.url),
                repomd_checksum=hashlib.sha256(content).hexdigest(),
                counts=made.counts,
                entries=entries,
            )
            stored.store.versions("zoo").save(prepared, version, keep=2)
        held = stored.store.versions("zoo").newest()
        assert held is not None
        for package, location in zip(held.packages(), locations, strict=True):
            path = stored.store.content_path(package)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(served / location, path)
        yield Scene(stored, held.folder, served)


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def links(folder: Path, path: Path) -> list[Path]:
    """The files in the folder that are links to this one."""
    return [each for each in folder.iterdir() if os.path.samefile(each, path)]


DAMAGES = [flip, Path.unlink]


async def test_all_metadata_is_verified(scene: Scene) -> None:
    outcome = await scene.repair()
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["checked"] == len(scene.files()) - 1 + 2  # without version.json, with two packages
    assert outcome.result["damaged"] == outcome.result["missing"] == 0


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["primary", "filelists", "repomd"])
async def test_metadata_as_it_was_received_is_fetched_again(
    scene: Scene, kind: str, damage: Callable[[Path], None]
) -> None:
    before = scene.files()
    damage(scene.version / scene.received(kind))
    outcome = await scene.repair()
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["repaired"] == 1
    assert scene.files() == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["metadata/primary.xml.zst", "packages.jsonl.zst"])
async def test_our_own_metadata_is_made_anew(scene: Scene, name: str, damage: Callable[[Path], None]) -> None:
    before = scene.files()
    damage(scene.version / name)
    outcome = await scene.repair()
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["repaired"] == 1
    assert scene.files() == before
    assert outcome.result["checked"] == len(before) - 1 + 2  # including the packages of the lost list


async def test_all_of_a_version_but_its_record_is_made_anew(scene: Scene) -> None:
    before = scene.files()
    for name in before:
        if name != "version.json":
            (scene.version / name).unlink()
    for path in scene.stored.root.glob("content/*/*/*"):
        path.unlink()
    outcome = await scene.repair()
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["missing"] == outcome.result["repaired"] == len(before) - 1 + 2
    assert scene.files() == before


async def test_a_feed_that_has_changed_meanwhile_is_told(scene: Scene) -> None:
    (scene.served / "repodata" / "repomd.xml").write_bytes(b"<repomd/>")
    (scene.version / "received" / "repomd.xml").unlink()
    outcome = await scene.repair()
    assert outcome.error_code == "not-repaired"
    assert "repomd.xml: the feed has another repomd.xml now: sync the repository" in str(outcome.error_description)


async def test_our_own_metadata_cannot_be_made_from_what_is_lost(scene: Scene) -> None:
    for entry in ("metadata/primary.xml.zst", scene.received("primary")):
        (scene.version / entry).unlink()
    for path in (scene.served / "repodata").glob("*primary*"):
        path.unlink()
    outcome = await scene.repair()
    assert outcome.error_code == "not-repaired"
    told = str(outcome.error_description)
    assert "2 of 2 damaged or missing files could not be repaired" in told
    assert "primary metadata: " in told
    assert "metadata/primary.xml.zst: " in told


async def test_a_publication_whose_own_metadata_is_damaged_is_told_and_published_again(scene: Scene) -> None:
    assert (await scene.stored.run(publish, repo_id="zoo")).state == "successful"
    assert (await scene.repair()).state == "successful"
    [primary] = (scene.stored.root / "published" / "zoo" / "repodata").glob("*primary*")
    flip(primary)
    outcome = await scene.repair()
    assert outcome.error_code == "not-repaired"
    told = str(outcome.error_description)
    assert f"repodata/{primary.name} of publication 1: publish the repository again" in told
    again = await scene.stored.run(publish, repo_id="zoo")
    assert (again.state, again.result["unchanged"]) == ("successful", False)
    assert (await scene.repair()).state == "successful"


async def test_metadata_that_a_publication_carries_is_repaired_there_too(scene: Scene) -> None:
    published = await scene.stored.run(publish, repo_id="zoo", metadata="mirror")
    assert published.state == "successful", published.error_description
    received = scene.version / scene.received("other")
    [damaged] = links(scene.stored.root / "published" / "zoo" / "repodata", received)
    before = received.read_bytes()
    with received.open("r+b") as file:
        file.write(b"\0\0")
    outcome = await scene.repair()
    assert outcome.state == "successful", outcome.error_description
    assert outcome.result["repaired"] == 1
    assert received.read_bytes() == damaged.read_bytes() == before
    content = outcome.progress[-1]["repair"]["content"]
    assert (content["items_left"], content["size_left"]) == (0, 0)
