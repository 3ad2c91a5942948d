"""The contents of a publication, according to createrepo_c and to the files."""

import gzip
import hashlib
import lzma
import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import createrepo_c as cr
import msgspec
import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish
from pulp_operations.records import Package
from pulp_operations.store import Store
from pulp_operations.versions import write_version
from pulp_worker import OperationError

from tests.support.versions import ADVISORY, FEED_TIME_S, add_package, add_tree_file, add_version, content_of
from tests.support.yum import Runner

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPS = b'<?xml version="1.0"?><comps><group><id>zoo</id></group></comps>'
MODULES = b"---\ndocument: modulemd\n"
RECEIVED = {
    "modules": ("repodata/aa-modules.yaml.gz", gzip.compress(MODULES, mtime=7)),
    "productid": ("repodata/productid", b"-----BEGIN CERTIFICATE-----"),
    "susedata.de": ("repodata/susedata.de.xml.gz", gzip.compress(b"<susedata/>", mtime=7)),
    "appstream-icons": ("repodata/icons.tar.gz", gzip.compress(b"tar", mtime=7)),
    "group_gz": ("repodata/comps.xml.gz", gzip.compress(COMPS, mtime=7)),
    "primary_db": ("repodata/primary.sqlite.bz2", b"a database"),
    "prestodelta": ("repodata/prestodelta.xml.gz", gzip.compress(b"<prestodelta/>")),
    "primary_zck": ("repodata/primary.xml.zck", b"zck"),
}


ZSTD = b"\x28\xb5\x2f\xfd"


def opened(content: bytes) -> bytes:
    """The unpacked content."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    return zstd.decompress(content) if content.startswith(ZSTD) else content


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


@pytest.fixture
def store(runner: Runner) -> Store:
    return Store(runner.storage)


def published(runner: Runner) -> Path:
    return runner.storage / "published" / "zoo"


def records(folder: Path) -> dict[str, Any]:
    return {record.type: record for record in cr.Repomd(str(folder / "repodata" / "repomd.xml")).records}


def read(folder: Path) -> dict[str, Any]:
    """The packages that createrepo_c reads, by name."""
    found = records(folder)
    paths = {f"{kind}_path": str(folder / found[kind].location_href) for kind in ("primary", "filelists", "other")}
    return {package.name: package for package in cr.PackageIterator(**paths)}


def repodata(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "repodata").iterdir()}


def add_zoo(runner: Runner, store: Store, **fields: Any) -> list[Package]:
    packages = [add_package(store, name) for name in ("ant", "bee", "cat")]
    add_version(runner, "zoo", packages, **fields)
    return packages


async def test_createrepo_c_reads_the_packages_with_files_and_changelogs(runner: Runner, store: Store) -> None:
    packages = add_zoo(runner, store)
    result = await runner.run(publish, repo_id="zoo")
    size_bytes = sum(package.size_bytes for package in packages)
    assert result == {
        "packages": 3,
        "size": size_bytes,
        "version": 1,
        "publication": 1,
        "unchanged": False,
        "notes": [],
        "notes_total": 0,
    }
    found = read(published(runner))
    assert list(found) == ["ant", "bee", "cat"]
    for name, package in found.items():
        assert (published(runner) / package.location_href).read_bytes() == content_of(name)
        assert [file[2] for file in package.files] == [name]
        assert package.changelogs == [("A packager", FEED_TIME_S, f"- {name} <package is new>")]
        assert (package.summary, package.description) == ("A <package> & more", "\u00fcber")
    advisories = cr.UpdateInfo(str(published(runner) / records(published(runner))["updateinfo"].location_href))
    assert [advisory.id for advisory in advisories.updates] == [ADVISORY]


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
async def test_metadata_is_named_by_its_checksum_and_described_truly(
    runner: Runner, store: Store, compression: str, suffix: str
) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo", compression=compression)
    for kind, record in records(published(runner)).items():
        content = (published(runner) / record.location_href).read_bytes()
        checksum = hashlib.sha256(content).hexdigest()
        assert record.location_href == f"repodata/{checksum}-{kind}.xml{suffix}"
        assert (record.checksum_type, record.checksum, record.size) == ("sha256", checksum, len(content))
        plain = opened(content)
        assert (record.checksum_open, record.size_open) == (hashlib.sha256(plain).hexdigest(), len(plain))
        assert record.timestamp == FEED_TIME_S


async def test_gzip_is_the_default(runner: Runner, store: Store) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    assert {Path(record.location_href).suffix for record in records(published(runner)).values()} == {".gz"}


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_the_same_input_makes_the_same_bytes(runner: Runner, tmp_path: Path, compression: str) -> None:
    other = Runner(tmp_path / "other")
    for each in (runner, other):
        add_zoo(each, Store(each.storage), received=RECEIVED)
        await each.run(publish, repo_id="zoo", compression=compression)
    assert repodata(published(runner)) == repodata(published(other))


async def test_metadata_of_any_type_is_carried_byte_for_byte(runner: Runner, store: Store) -> None:
    add_zoo(runner, store, received=RECEIVED)
    await runner.run(publish, repo_id="zoo", compression="zstd")
    found = records(published(runner))
    for kind in ("modules", "productid", "susedata.de", "appstream-icons"):
        content = RECEIVED[kind][1]
        record = found[kind]
        assert (published(runner) / record.location_href).read_bytes() == content
        assert (record.checksum, record.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert Path(record.location_href).name.startswith(record.checksum)
    assert (found["modules"].checksum_open, found["modules"].size_open) == (
        hashlib.sha256(MODULES).hexdigest(),
        len(MODULES),
    )
    assert found["productid"].checksum_open is None


async def test_deltas_and_other_forms_are_left_out_and_said(runner: Runner, store: Store) -> None:
    add_zoo(runner, store, received=RECEIVED)
    result = await runner.run(publish, repo_id="zoo")
    assert not {"primary_db", "prestodelta", "primary_zck"} & set(records(published(runner)))
    assert {note.what for note in result["notes"]} == {
        "primary_db metadata",
        "prestodelta metadata",
        "primary_zck metadata",
    }
    assert result["notes_total"] == 3
    again = await runner.run(publish, repo_id="zoo")
    assert (again["unchanged"], again["notes"]) == (True, result["notes"])


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("group", COMPS),
        ("group", gzip.compress(COMPS)),
        ("group_gz", gzip.compress(COMPS)),
        ("group_zst", zstd.compress(COMPS)),
    ],
)
@pytest.mark.parametrize(("compression", "packed"), [("gzip", "group_gz"), ("zstd", "group_zst")])
async def test_comps_are_published_plain_and_packed(
    runner: Runner, store: Store, kind: str, content: bytes, compression: str, packed: str
) -> None:
    add_zoo(runner, store, received={kind: ("repodata/comps.xml", content)})
    result = await runner.run(publish, repo_id="zoo", compression=compression)
    found = records(published(runner))
    files = {form: (published(runner) / found[form].location_href).read_bytes() for form in ("group", packed)}
    assert {opened(file) for file in files.values()} == {COMPS}
    assert result["notes"] == []
    if compression == "gzip":  # then every client reads all of it
        assert not any(file.startswith(ZSTD) for file in files.values())


async def test_all_forms_of_comps_that_a_feed_has_are_kept(runner: Runner, store: Store) -> None:
    received = {
        "group": ("repodata/comps.xml", COMPS),
        "group_gz": ("repodata/comps.xml.gz", gzip.compress(COMPS, mtime=7)),
        "group_xz": ("repodata/comps.xml.xz", lzma.compress(COMPS)),
    }
    add_zoo(runner, store, received=received)
    await runner.run(publish, repo_id="zoo")
    found = records(published(runner))
    for kind, (_, content) in received.items():
        assert (published(runner) / found[kind].location_href).read_bytes() == content


@pytest.mark.parametrize("content", [b"no groups today", gzip.compress(COMPS)[:-12], lzma.compress(COMPS)[:40]])
@pytest.mark.parametrize("kind", ["group", "group_gz"])
async def test_comps_that_are_none_keep_no_package_from_being_published(
    runner: Runner, store: Store, kind: str, content: bytes
) -> None:
    add_zoo(runner, store, received={kind: ("repodata/comps.xml", content)})
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 3
    record = records(published(runner))[kind]
    assert (published(runner) / record.location_href).read_bytes() == content


async def test_tags_of_the_feed_are_kept(runner: Runner, store: Store) -> None:
    repomd = cr.Repomd()
    repomd.add_distro_tag("Zoo 1", "cpe:/o:zoo:1")
    repomd.add_content_tag("binary-x86_64")
    repomd.add_repo_tag("debug")
    add_zoo(runner, store, signed={"repomd.xml": repomd.xml_dump().encode()})
    await runner.run(publish, repo_id="zoo")
    found = cr.Repomd(str(published(runner) / "repodata" / "repomd.xml"))
    assert found.distro_tags == [("cpe:/o:zoo:1", "Zoo 1")]
    assert (found.content_tags, found.repo_tags) == (["binary-x86_64"], ["debug"])
    assert found.revision == str(FEED_TIME_S)


async def test_the_files_of_a_tree_are_published_and_own_metadata_stays(runner: Runner, store: Store) -> None:
    treeinfo = b"[checksums]\nimages/boot.iso = sha256:00\n"
    tree = [
        add_tree_file(store, "images/boot.iso", b"an image"),
        add_tree_file(store, "repodata/repomd.xml", b"<repomd/>"),
    ]
    add_zoo(runner, store, signed={"treeinfo": treeinfo}, treeinfo=".treeinfo", tree=tree)
    await runner.run(publish, repo_id="zoo")
    assert (published(runner) / ".treeinfo").read_bytes() == treeinfo
    assert (published(runner) / "images" / "boot.iso").read_bytes() == b"an image"
    assert set(records(published(runner))) == {"primary", "filelists", "other", "updateinfo"}
    counts = runner.reports[-1]["yum_distributor"]["distribution"]
    assert (counts["items_total"], counts["items_left"], counts["num_success"]) == (2, 0, 2)


async def test_progress_has_the_parts_and_counts_that_clients_show(runner: Runner, store: Store) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    parts = runner.reports[-1]["yum_distributor"]
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(
        (
            "package_list",
            "metadata",
            "packages",
            "distribution",
            "verification",
            "publish_http",
            "publish_https",
        ),
        "FINISHED",
    )
    counted = {"items_total": 3, "items_left": 0, "num_success": 3, "num_error": 0, "error_details": []}
    assert parts["packages"] == {"state": "FINISHED", **counted}


async def test_some_packages_are_published_with_all_that_belongs_to_them(
    runner: Runner, store: Store, tmp_path: Path
) -> None:
    add_zoo(runner, store, received=RECEIVED)
    await runner.run(publish, repo_id="zoo")
    whole = read(published(runner))
    (tmp_path / "list").write_text("cat\n\nant\n")
    with DemoServer(tmp_path) as server:
        result, again = [await runner.run(publish, repo_id="zoo", packages_url=f"{server.url}list") for _ in range(2)]
    assert (result["packages"], result["unchanged"], again) == (2, False, {**result, "unchanged": True})
    found = read(published(runner))
    assert list(found) == ["ant", "cat"]
    for name, package in found.items():
        for dump in (cr.xml_dump_primary, cr.xml_dump_filelists, cr.xml_dump_other):
            assert dump(package) == dump(whole[name])
    assert {"modules", "group", "updateinfo"} <= set(records(published(runner)))
    counts = [
        ElementTree.fromstring(gzip.decompress((published(runner) / record.location_href).read_bytes())).get("packages")
        for kind, record in records(published(runner)).items()
        if kind in ("primary", "filelists", "other")
    ]
    assert counts == ["2", "2", "2"]


async def test_a_publish_of_the_same_makes_no_new_publication(runner: Runner, store: Store) -> None:
    add_zoo(runner, store)
    first = await runner.run(publish, repo_id="zoo")
    again = await runner.run(publish, repo_id="zoo")
    assert again == {**first, "unchanged": True}
    assert [path.name for path in (runner.storage / "publications" / "zoo").iterdir()] == ["1"]
    assert {part["state"] for part in runner.reports[-1]["yum_distributor"].values()} == {"FINISHED"}
    other = await runner.run(publish, repo_id="zoo", compression="zstd")
    assert (other["unchanged"], other["publication"]) == (False, 2)


async def test_a_new_version_is_published_anew(runner: Runner, store: Store) -> None:
    packages = add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    add_version(runner, "zoo", packages[:2])
    result = await runner.run(publish, repo_id="zoo")
    assert (result["unchanged"], result["version"], result["packages"]) == (False, 2, 2)


@pytest.mark.parametrize(
    "pattern",
    [
        *("repodata/repomd.xml", "repodata/*-primary.xml.gz", "Packages/ant.rpm"),
        *(".publication.json", ".treeinfo", "images/boot.iso"),
    ],
)
@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_damaged_publication_is_made_anew(runner: Runner, store: Store, pattern: str, is_lost: bool) -> None:
    tree = [add_tree_file(store, "images/boot.iso", b"an image"), add_tree_file(store, "repodata/x", b"not ours")]
    add_zoo(runner, store, signed={"treeinfo": b"[checksums]"}, treeinfo=".treeinfo", tree=tree)
    assert (await runner.run(publish, repo_id="zoo"))["publication"] == 1
    assert (await runner.run(publish, repo_id="zoo"))["unchanged"]
    expected = repodata(published(runner))
    [path] = published(runner).glob(pattern)
    content = path.read_bytes()
    path.unlink()  # a link: the store's file stays
    if not is_lost:
        path.write_bytes(content[:-1] + b"!")
    result = await runner.run(publish, repo_id="zoo")
    assert (result["unchanged"], result["publication"]) == (False, 2)
    assert repodata(published(runner)) == expected
    [mended] = published(runner).glob(pattern)
    assert mended.read_bytes() == content
    assert (await runner.run(publish, repo_id="zoo"))["unchanged"]


async def test_readers_of_the_last_generations_find_their_files(
    runner: Runner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULP_YUM_GENERATIONS", "3")
    packages = add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    first = {path: content for path, content in repodata(published(runner)).items() if path != "repomd.xml"}
    for count in (2, 1):
        add_version(runner, "zoo", packages[:count])
        await runner.run(publish, repo_id="zoo")
        assert first.items() <= repodata(published(runner)).items()
        assert (published(runner) / "Packages" / "cat.rpm").read_bytes() == content_of("cat")
    assert list(read(published(runner))) == ["ant"]
    add_version(runner, "zoo", packages[1:2])
    await runner.run(publish, repo_id="zoo")
    left = {name for name in first if "updateinfo" not in name}  # it is the same in all versions
    assert not left & set(repodata(published(runner)))
    assert sorted(path.name for path in (published(runner) / "Packages").iterdir()) == ["ant.rpm", "bee.rpm"]


async def test_files_of_a_publication_of_an_earlier_release_are_kept_for_its_readers(
    runner: Runner, store: Store
) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    (published(runner) / ".publication.json").unlink()
    (published(runner) / "repodata" / "primary.xml.zst").write_bytes(b"primary")
    (published(runner) / "Packages" / "dog.rpm").write_bytes(b"dog")
    assert (await runner.run(publish, repo_id="zoo"))["publication"] == 2
    assert (published(runner) / "repodata" / "primary.xml.zst").read_bytes() == b"primary"
    assert (published(runner) / "Packages" / "dog.rpm").read_bytes() == b"dog"


async def test_damaged_files_of_a_tree_are_named_and_set_aside(runner: Runner, store: Store) -> None:
    [image] = tree = [add_tree_file(store, "images/boot.iso", b"an image")]
    add_zoo(runner, store, signed={"treeinfo": b"[checksums]"}, treeinfo="treeinfo", tree=tree)
    damage(store.content_path(image))
    with pytest.raises(OperationError, match=r"images/boot\.iso is not.*repair") as raised:
        await runner.run(publish, repo_id="zoo")
    assert (raised.value.code, store.has(image)) == ("content-damaged", False)


async def test_no_generation_before_is_kept_where_the_setting_says_so(
    runner: Runner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULP_YUM_GENERATIONS", "1")
    packages = add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    add_version(runner, "zoo", packages[:1])
    await runner.run(publish, repo_id="zoo")
    assert [path.name for path in (published(runner) / "Packages").iterdir()] == ["ant.rpm"]


def damage(path: Path) -> None:
    """Change a byte of a file in place: of all its links."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("is_published", [True, False])
async def test_damaged_packages_are_named_and_set_aside(runner: Runner, store: Store, is_published: bool) -> None:
    packages = add_zoo(runner, store)
    if is_published:
        await runner.run(publish, repo_id="zoo")
    for package in packages[:2]:
        damage(store.content_path(package))
    with pytest.raises(OperationError, match=r"ant-1\.0-1\.noarch, bee-1\.0-1\.noarch is not.*repair") as raised:
        await runner.run(publish, repo_id="zoo")
    assert raised.value.code == "content-damaged"
    assert [store.has(package) for package in packages] == [False, False, True]
    assert runner.reports[-1]["yum_distributor"]["verification"] == {"state": "FAILED"}
    for package in packages[:2]:
        add_package(store, package.name.split("-")[0])
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 3
    assert (published(runner) / "Packages" / "ant.rpm").read_bytes() == content_of("ant")


async def test_packages_that_the_store_has_lost_are_named(runner: Runner, store: Store) -> None:
    packages = add_zoo(runner, store)
    store.content_path(packages[1]).unlink()
    with pytest.raises(OperationError, match=r"lost bee-1\.0-1\.noarch.*repair") as raised:
        await runner.run(publish, repo_id="zoo")
    assert raised.value.code == "content-missing"
    assert not published(runner).exists()


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("metadata/primary.xml.zst", "metadata/primary.xml.zst"),
        ("metadata/updateinfo.xml.zst", "metadata/updateinfo.xml.zst"),
        ("packages.jsonl.zst", "packages.jsonl.zst"),
        ("received/modules-*.yaml.gz", "modules metadata is not what the feed gave"),
        ("received/group_gz-*.xml.gz", "group_gz metadata is not what the feed gave"),
    ],
)
async def test_a_damaged_version_is_named_with_its_cure(runner: Runner, store: Store, damaged: str, words: str) -> None:
    add_zoo(runner, store, received=RECEIVED)
    held = store.versions("zoo").newest()
    assert held is not None
    [path] = held.folder.glob(damaged)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(OperationError, match=words) as raised:
        await runner.run(publish, repo_id="zoo")
    assert raised.value.code == "damaged-version"
    assert "epair the repository" in str(raised.value)


async def test_a_version_whose_list_is_shorter_than_it_was_is_not_published(runner: Runner, store: Store) -> None:
    packages = [add_package(store, name) for name in ("ant", "bee")]
    add_version(runner, "zoo", packages)
    add_version(runner, "farm", packages[:1])
    zoo, farm = store.versions("zoo").newest(), store.versions("farm").newest()
    assert zoo is not None
    assert farm is not None
    write_version(zoo.folder, msgspec.structs.replace(zoo.version, files={}))
    os.replace(farm.folder / "packages.jsonl.zst", zoo.folder / "packages.jsonl.zst")
    with pytest.raises(OperationError, match="too short"):
        await runner.run(publish, repo_id="zoo")
    assert not published(runner).exists()
