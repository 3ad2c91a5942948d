"""The versions of a repository in the store."""

import json
from pathlib import Path

import msgspec
import pytest
from backports import zstd
from pulp_operations.records import ContentCounts, MetadataFile, Package, VersionRecord
from pulp_operations.store import Store
from pulp_operations.versions import StoredVersion, Versions
from pulp_worker import OperationError


def package(name: str) -> Package:
    return Package(
        name=f"{name}-1.0-1.noarch",
        href=f"pool/{name}.rpm",
        algorithm="sha256",
        checksum=name.encode().hex().ljust(64, "0"),
        size_bytes=7,
        location=f"Packages/{name}.rpm",
    )


def prepared(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    lines = b"".join(msgspec.json.encode(package(name)) + b"\n" for name in names)
    (folder / "packages.jsonl.zst").write_bytes(zstd.compress(lines))
    return folder


def version(token: int = 1, packages: int = 0) -> VersionRecord:
    return VersionRecord(number=0, token=token, feed_key="key", counts=ContentCounts(packages=packages))


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Store(tmp_path / "storage").versions("a/zoo")


def save(versions: Versions, tmp_path: Path, *names: str, token: int = 1, keep: int = 2) -> VersionRecord:
    return versions.save(prepared(tmp_path / "prepared", *names), version(token, len(names)), keep=keep)


def newest(versions: Versions) -> StoredVersion:
    held = versions.newest()
    assert held is not None
    return held


def test_a_repository_that_was_never_synced_has_no_version(versions: Versions) -> None:
    assert versions.newest() is None
    assert list(versions.all()) == []


def test_the_newest_version_has_the_packages_in_their_order(versions: Versions, tmp_path: Path) -> None:
    save(versions, tmp_path, "bee", "ant")
    saved = save(versions, tmp_path, "cat", "bee")
    held = newest(versions)
    assert (saved.number, held.version) == (2, saved)
    assert [package.name for package in held.packages()] == ["cat-1.0-1.noarch", "bee-1.0-1.noarch"]


@pytest.mark.parametrize(("keep", "numbers"), [(1, [5]), (2, [4, 5]), (4, [2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])])
def test_as_many_versions_are_kept_as_are_asked_for(
    versions: Versions, tmp_path: Path, keep: int, numbers: list[int]
) -> None:
    for _ in range(5):
        save(versions, tmp_path, "ant", keep=keep)
    assert [held.version.number for held in versions.all()] == numbers


def test_fewer_versions_can_be_kept_without_a_new_one(versions: Versions, tmp_path: Path) -> None:
    for _ in range(4):
        save(versions, tmp_path, "ant", keep=4)
    versions.retain(1, token=1)
    assert [held.version.number for held in versions.all()] == [4]


def test_every_version_that_is_kept_holds_its_packages(versions: Versions, tmp_path: Path) -> None:
    save(versions, tmp_path, "ant", keep=3)
    save(versions, tmp_path, "bee", keep=3)
    save(versions, tmp_path, "cat", keep=3)
    store = Store(versions.root)
    assert set(store.referenced()) == {store.content_path(package(name)) for name in ("ant", "bee", "cat")}
    assert store.repositories() == ["a/zoo"]


def test_a_task_with_an_older_token_saves_and_removes_nothing(versions: Versions, tmp_path: Path) -> None:
    for _ in range(2):
        save(versions, tmp_path, "ant", token=5)
    with pytest.raises(OperationError) as raised:
        save(versions, tmp_path, "bee", token=4)
    assert raised.value.code == "fenced"
    with pytest.raises(OperationError):
        versions.retain(1, token=4)
    assert [held.version.number for held in versions.all()] == [1, 2]


def test_what_a_crash_left_before_the_switch_is_replaced(versions: Versions, tmp_path: Path) -> None:
    save(versions, tmp_path, "ant")
    prepared(versions.folder / "versions" / "2", "bee")  # moved, but `current` does not point at it
    assert newest(versions).version.number == 1
    assert save(versions, tmp_path, "cat").number == 2
    assert [package.name for package in newest(versions).packages()] == ["cat-1.0-1.noarch"]


def old_version(versions: Versions) -> Path:
    folder = versions.folder / "versions" / "3"
    (folder / "repodata").mkdir(parents=True)
    old = {"href": "pool/ant.rpm", "algorithm": "sha256", "checksum": package("ant").checksum, "size_bytes": 7}
    record = {"version": 3, "token": 8, "packages": [{**old, "base_url": "https://example.org/"}]}
    (folder / "repository.json").write_text(json.dumps(record))
    (versions.folder / "current").symlink_to("versions/3")
    return folder


def test_a_version_of_a_release_before_is_read(versions: Versions) -> None:
    old_version(versions)
    held = newest(versions)
    assert (held.version.number, held.version.format, held.version.counts.packages) == (3, 0, 1)
    [found] = held.packages()
    assert (found.checksum, found.base_url, found.name) == (package("ant").checksum, "https://example.org/", "ant")
    store = Store(versions.root)
    assert set(store.referenced()) == {store.content_path(package("ant"))}


def test_a_version_of_a_release_before_is_followed_by_the_next_number(versions: Versions, tmp_path: Path) -> None:
    old_version(versions)
    assert save(versions, tmp_path, "bee", token=9).number == 4
    assert [held.version.number for held in versions.all()] == [3, 4]


def test_a_converted_version_is_read_in_the_present_format(versions: Versions, tmp_path: Path) -> None:
    folder = old_version(versions)
    made = msgspec.structs.replace(newest(versions).version, format=1, token=9)
    versions.convert(newest(versions), prepared(tmp_path / "prepared", "ant"), made)
    held = newest(versions)
    assert (held.version.number, held.version.format) == (3, 1)
    assert [package.location for package in held.packages()] == ["Packages/ant.rpm"]
    assert sorted(path.name for path in folder.iterdir()) == ["packages.jsonl.zst", "version.json"]


@pytest.mark.parametrize(
    ("kind", "href", "name"),
    [
        ("modules", "repodata/1d8f-modules.yaml.gz", "modules-{}.yaml.gz"),
        ("productid", "repodata/568d-productid.gz", "productid-{}.gz"),
        ("../../x", "repodata/x.xml", "metadata-{}.xml"),
        ("primary", "repodata/..", "primary-{}"),
        ("primary", "repodata/x.xml/../../version.json", "primary-{}.json"),
        ("Primary\n", "x" * 5000, "metadata-{}"),
        ("a" * 500, "x.%2e%2e", "metadata-{}"),
    ],
)
def test_no_text_of_a_repository_decides_where_its_metadata_is_kept(kind: str, href: str, name: str) -> None:
    entry = MetadataFile(type=kind, href=href, algorithm="sha256", checksum="ab" * 32)
    assert entry.own_name == name.format("ab" * 32)


@pytest.mark.parametrize("path", ["metadata/primary.xml.zst", "packages.jsonl.zst"])
@pytest.mark.parametrize("is_lost", [True, False])
def test_damage_to_a_file_of_a_version_is_found(versions: Versions, tmp_path: Path, path: str, is_lost: bool) -> None:
    folder = prepared(tmp_path / "prepared", "ant")
    (folder / "metadata").mkdir()
    (folder / "metadata" / "primary.xml.zst").write_bytes(b"text")
    versions.save(folder, version(), keep=2)
    held = newest(versions)
    assert held.damage() == []
    if is_lost:
        (held.folder / path).unlink()
    else:
        (held.folder / path).write_bytes(b"test")
    assert newest(versions).damage() == [path]


@pytest.mark.parametrize(
    "content", [None, b"", b"no zstd", zstd.compress(b'{"name": 1}\n'), zstd.compress(b"{" * 9)[:-3]]
)
def test_a_damaged_list_of_packages_is_told_and_is_not_an_empty_one(
    versions: Versions, tmp_path: Path, content: bytes | None
) -> None:
    save(versions, tmp_path, "ant")
    path = newest(versions).folder / "packages.jsonl.zst"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OperationError, match="of version 1 of repository 'a/zoo' cannot be read") as raised:
        list(newest(versions).packages())
    assert raised.value.code == "damaged-version"
