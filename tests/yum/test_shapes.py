"""Each shape of a repository: our sync and publish end as they must, and dnf sees what they publish.

The right values are those of dnf and createrepo_c, run here or recorded; a shape says where ours differs on purpose.
"""

import asyncio
import hashlib
import re
from pathlib import Path

import pytest
from pulp_worker.fetching import patience

from tests.support.repositories import Repository
from tests.support.repositories.serving import RepositoryServer
from tests.yum.createrepo_c_reads import unpacked
from tests.yum.ours import REPO_ID, Ours, ours_on
from tests.yum.reference import Read, Reference, dnf_reads
from tests.yum.shapes import SHAPES, Shape

_OURS = ("primary", "filelists", "other", "updateinfo")
"""Types of metadata that a publication has in documents of its own."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause between tries; a server's Retry-After still applies."""
    monkeypatch.setattr(patience, "PAUSES_S", tuple(0.01 for _ in patience.PAUSES_S))


def _parameters() -> list[object]:
    return [
        pytest.param(
            shape, id=shape.name, marks=[pytest.mark.xfail(strict=True, reason=shape.wrong)] if shape.wrong else []
        )
        for shape in SHAPES.values()
    ]


@pytest.mark.parametrize("shape", _parameters())
async def test_a_sync_and_a_publish_end_as_they_must(shape: Shape, tmp_path: Path, the_reference: Reference) -> None:
    storage = tmp_path / "storage"
    with RepositoryServer(manner=shape.manner) as server:
        repository = shape.make(server.url)
        server.tree = repository.tree()
        ours = await ours_on(shape, server.url, storage)
    said = the_reference.on(shape)
    for text in shape.expect.told:
        assert text in ours.told
    for text in shape.expect.untold:
        assert text not in ours.told
    if shape.expect.code is not None:
        assert_refused(shape, ours, said.dnf)
    else:
        assert_published(shape, ours, said.dnf)
        assert_carried(shape, ours, repository)


@pytest.mark.parametrize(
    "name",
    [
        *("packed-gzip", "comps-twice", "modules", "advisories", "folders-and-ghosts", "checksums-sha512", "epochs"),
        *("twins-of-one-file-name", "three-orders", "latin-1-declared", "requirement-flags", "blobstore"),
    ],
)
async def test_dnf_sees_in_our_publication_what_it_sees_in_the_source(
    name: str, tmp_path: Path, dnf: str, the_reference: Reference
) -> None:
    shape, storage = SHAPES[name], tmp_path / "storage"
    with RepositoryServer(manner=shape.manner) as server:
        server.tree = shape.make(server.url).tree()
        ours = await ours_on(shape, server.url, storage)
    assert ours.failed is None
    files = [path for path in ours.folder.rglob("*") if path.is_file()]
    with RepositoryServer({str(path.relative_to(ours.folder)): path.read_bytes() for path in files}) as server:
        read = await asyncio.to_thread(dnf_reads, "baseurl", server.url)
    expected = the_reference.on(shape).dnf
    assert expected is not None
    assert (read["error"], read["undownloaded"]) == (None, [])
    assert details(read) == details(expected)


def assert_refused(shape: Shape, ours: Ours, by_dnf: Read | None) -> None:
    """It ends with the code and the words, and nothing is half written; dnf refuses it too, unless the shape says why
    not."""
    outcome = ours.failed
    assert outcome is not None, f"successful: {ours.synced.result}"
    assert outcome.error_code == shape.expect.code, f"{outcome.error_description}\n{outcome.traceback}"
    for word in shape.expect.words:
        assert word in str(outcome.error_description)
    assert not (ours.storage / "repositories" / REPO_ID / "current").exists()
    assert list((ours.storage / "scratch").glob("*")) == []
    if by_dnf is not None and not shape.expect.unlike_dnf:
        assert by_dnf["error"] is not None, "dnf reads it"


def assert_published(shape: Shape, ours: Ours, by_dnf: Read | None) -> None:
    """It publishes the packages that dnf sees, with their files, changelogs, advisories and groups."""
    outcome, expect = ours.failed, shape.expect
    assert outcome is None, f"{outcome.error_code}: {outcome.error_description}\n{outcome.traceback}"
    assert ours.read is not None
    packages = ours.read["packages"]
    if expect.packages is not None:
        assert sorted(packages) == sorted(expect.packages)
    if expect.advisories is not None:
        assert ours.read["advisories"] == sorted(expect.advisories)
    for package in packages.values():
        content = (ours.folder / package["location"]).read_bytes()
        assert hashlib.new(_algorithm(package["checksum"]), content).hexdigest() == package["checksum"]
    if expect.unlike_dnf or by_dnf is None:
        assert expect.packages is not None, "nothing says which packages are right"
    else:
        assert by_dnf["error"] is None, "dnf refuses it"
        assert sorted(packages) == sorted(by_dnf["packages"])
        assert by_dnf["undownloaded"] == []
    if by_dnf is not None and sorted(packages) == sorted(by_dnf["packages"]) and not expect.unlike_details:
        assert details(ours.read) == details(by_dnf)
    result = ours.synced.result
    assert {key: result.get(key) for key in expect.result} == expect.result
    for words in expect.notes:
        assert any(words in str(note) for note in result["notes"]), result["notes"]


def details(read: Read) -> dict[str, object]:
    """What is compared besides the names of packages."""
    packages = {
        nevra: (sorted(set(package["files"])), package["changelogs"]) for nevra, package in read["packages"].items()
    }
    return {"packages": packages, "advisories": sorted(set(read["advisories"])), "groups": read["groups"]}


def assert_carried(shape: Shape, ours: Ours, repository: Repository) -> None:
    """The publication has all the source's metadata, byte for byte, except what is dropped on purpose; and its tree."""
    assert ours.read is not None
    source = repository.tree()
    repomd = source[f"{repository.folder}repodata/repomd.xml"].decode(errors="replace")
    types = ours.read["types"]
    for kind in repository.documents():
        if kind in _OURS or f'type="{kind}"' not in repomd:
            continue
        if kind in shape.expect.dropped:
            assert kind not in types
            continue
        assert kind in types, f"{kind} was lost"
        if kind.startswith("group"):  # publications have it in all its forms, recompressed
            assert unpacked((ours.folder / types[kind]).read_bytes()) == repository.documents()[kind]
            continue
        found = re.search(rf'<data type="{re.escape(kind)}">.*?href="([^"]*)"', repomd, re.DOTALL)
        assert found is not None
        assert (ours.folder / types[kind]).read_bytes() == source[f"{repository.folder}{found[1]}"]
    for path in shape.expect.published:
        assert (ours.folder / path).read_bytes() == source[f"{repository.folder}{path}"]


def _algorithm(checksum: str) -> str:
    return {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}[len(checksum)]
