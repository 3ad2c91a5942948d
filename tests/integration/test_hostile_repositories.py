"""Malicious repositories: each ends its task with a code and a message that repeats none of its text."""

import bz2
import gzip
import json
import lzma
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from backports import zstd
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, sync
from pulp_worker import OperationError
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchSettings, patience
from pulp_worker.isolation import IsolationSettings

from tests.support.hostile_yum import Change, entry, hostile, plain_metadata, repomd, with_repomd
from tests.support.yum import Runner, small_repository

SECRET = "TOP-SECRET-TEXT"
BOMB = b"<" + b" " * (64 << 20)
LAUGHS = '<!DOCTYPE lol [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
Entries = Mapping[str, str]
KEPT_SUFFIX = {"version.json": ".json", "repodata/repomd.xml.bak": ".xml", "metadata/primary.xml.zst": ".xml.zst"}
"""The suffix of a metadata file, by the repository's name for it; two words of letters at most."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", ())


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with DemoServer(folder) as server:
        yield server.url


async def refused(runner: Runner, url: str) -> OperationError:
    """The error of the sync; nothing of the sync stays, and the error repeats no fetched text."""
    with pytest.raises(OperationError) as raised:
        await runner.run(sync, repo_id="zoo", feed=url)
    assert not (runner.storage / "repositories").exists()
    assert list((runner.storage / "scratch").iterdir()) == []
    error = raised.value
    assert SECRET not in f"{error!r} {error.__cause__!r} {json.dumps(runner.reports)}"
    return error


def bad_repomds() -> dict[str, tuple[bytes | Change, str]]:
    """The contents of repomd.xml, or how it is changed, and the words of the error."""
    deep = b"<a>" * 5000 + b"</a>" * 5000
    data = f'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">{SECRET}'
    return {
        "no XML": (SECRET.encode() * 100, "repomd.xml is not XML: line 1"),
        "another document": (f"<{SECRET}/>".encode(), "not a table of contents"),
        "entities": (repomd(doctype=LAUGHS), "document type declaration"),
        "external entity": (
            repomd(f"<data>&x;{SECRET}</data>", doctype='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
            "document type declaration",
        ),
        "an unknown entity": (repomd(f"<data>&{SECRET};</data>"), "is not XML"),
        "deep": (deep, "nested more than 32 elements deep"),
        "no UTF-8": (repomd().replace(b"<repomd", b"<!-- \xff\xfe --><repomd"), "is not XML"),
        "an unknown encoding": (f'<?xml version="1.0" encoding="{SECRET}"?><a/>'.encode(), "is not XML"),
        "cut off": (data.encode(), "is not XML"),
        "empty": (b"", "is not XML"),
        "nothing": (repomd(), "names no primary metadata"),
    }


@pytest.mark.parametrize("name", bad_repomds())
async def test_a_table_of_contents_that_is_none(folder: Path, url: str, runner: Runner, name: str) -> None:
    content, words = bad_repomds()[name]
    assert isinstance(content, bytes)
    with_repomd(folder, lambda _: content)
    error = await refused(runner, url)
    assert error.code == "bad-repository"
    assert words in error.description


@pytest.mark.parametrize(
    "second", ["{outside}", "/dev/zero", "file:///dev/zero", "../../outside.xml", "repodata/x.xml"]
)
@pytest.mark.parametrize("is_last", [True, False])
async def test_an_entry_with_two_locations_is_refused(
    folder: Path, url: str, runner: Runner, second: str, is_last: bool
) -> None:
    outside = folder.parent / "outside.xml"
    outside.write_bytes(plain_metadata(folder)["primary"])

    def make(entries: Entries) -> bytes:
        primary = (folder / "repodata/primary.xml").read_bytes()
        hrefs = ["repodata/primary.xml", second.format(outside=outside)]
        twice = entry("primary", primary, *(hrefs if is_last else reversed(hrefs)))
        return repomd(twice, entries["filelists"], entries["other"])

    with_repomd(folder, make)
    error = await refused(runner, url)
    assert (error.code, "more than one location" in error.description) == ("bad-repository", True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda e: repomd(*e.values()).replace(b"<checksum", b"<checksum>x</checksum><checksum"), "than one checksum"),
        (lambda e: repomd(*e.values()).replace(b"sha256", SECRET.encode()), "its checksum type is none of"),
        (
            lambda e: repomd(*e.values()).replace(b'="sha256">', b'="sha256">' + SECRET.encode()),
            "its checksum is invalid",
        ),
    ],
)
async def test_entries_that_are_not_clear(folder: Path, url: str, runner: Runner, make: object, words: str) -> None:
    with_repomd(folder, make)  # type: ignore[arg-type]
    error = await refused(runner, url)
    assert (error.code, words in error.description) == ("bad-repository", True), error.description


@pytest.mark.parametrize(
    "href",
    [
        "/dev/zero",
        "../x.xml",
        "%2e%2e/x.xml",
        "a%00b",
        "a%0ab",
        "//host/x",
        "x" * 300,
        "a\\b",
        "http://127.0.0.1/x.xml",
        "https:x",
    ],
)
async def test_metadata_elsewhere_is_asked_for_there_and_never_a_file_here(
    folder: Path, url: str, runner: Runner, href: str
) -> None:
    def make(entries: Entries) -> bytes:
        return repomd(entry("primary", b"x", href), entries["filelists"], entries["other"])

    with_repomd(folder, make)
    assert (await refused(runner, url)).code == "fetch-failed"


@pytest.mark.parametrize("href", ["file:///dev/zero", "http://[", "repodata/", "a" * 100 + "/" + "b/" * 1000 + "c"])
async def test_metadata_that_has_no_url_is_refused(folder: Path, url: str, runner: Runner, href: str) -> None:
    def make(entries: Entries) -> bytes:
        return repomd(entry("primary", b"x", href), entries["filelists"], entries["other"])

    with_repomd(folder, make)
    error = await refused(runner, url)
    assert (error.code, "primary metadata" in error.description) == ("bad-repository", True)


@pytest.mark.parametrize("href", ["http://169.254.169.254/x.xml", "http://[::ffff:169.254.169.254]/x.xml"])
async def test_metadata_is_fetched_by_the_rules(folder: Path, url: str, runner: Runner, href: str) -> None:
    def make(entries: Entries) -> bytes:
        return repomd(entry("primary", b"x", href), entries["filelists"], entries["other"])

    with_repomd(folder, make)
    assert (await refused(runner, url)).code == "fetch-refused"


@pytest.mark.parametrize("href", ["version.json", "repodata/repomd.xml.bak", "current", "metadata/primary.xml.zst"])
async def test_the_repositorys_names_of_files_decide_nothing_here(
    folder: Path, url: str, runner: Runner, href: str
) -> None:
    def make(entries: Entries) -> bytes:
        primary = (folder / "repodata/primary.xml").read_bytes()
        (folder / href).parent.mkdir(parents=True, exist_ok=True)
        (folder / href).write_bytes(primary)
        return repomd(entry("primary", primary, href), entries["filelists"], entries["other"])

    with_repomd(folder, make)
    assert (await runner.run(sync, repo_id="zoo", feed=url))["packages"] == 2
    current = runner.storage / "repositories" / "zoo" / "current"
    kept = [str(path.relative_to(current)) for path in current.glob("**/*") if path.is_file()]
    assert sorted(re.sub("[0-9a-f]{64}", "CHECKSUM", path).removesuffix(".bak") for path in kept) == [
        *(f"metadata/{name}.xml.zst" for name in ("filelists", "other", "primary")),
        "packages.jsonl.zst",
        *(f"received/{name}-CHECKSUM.xml" for name in ("filelists", "other")),
        f"received/primary-CHECKSUM{KEPT_SUFFIX.get(href, '')}",
        "received/repomd.xml",
        "version.json",
    ]
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 2


@pytest.mark.parametrize(
    ("pack", "suffix"),
    [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (lzma.compress, ".xz"), (zstd.compress, ".zst")],
)
async def test_a_bomb_ends_its_task(folder: Path, url: str, runner: Runner, pack: Change, suffix: str) -> None:
    hostile(folder, {"filelists": pack(BOMB)}, suffix=suffix)
    error = await refused(runner, url)
    assert error.code == "limit-exceeded"
    assert "filelists metadata becomes larger than" in error.description


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"<a/>")[:-9], "it ends too early"),
        (gzip.compress(b"<a/>")[:-8] + b"12345678", "cannot be unpacked"),
        (lzma.compress(b"<a/>")[:-4], "cannot be unpacked"),
        (b"\x28\xb5\x2f\xfd" + SECRET.encode(), "cannot be unpacked"),
        (SECRET.encode(), "neither XML nor packed"),
        (b"\0" * 1000, "neither XML nor packed"),
        (b"", "it is not XML"),
    ],
)
async def test_what_cannot_be_unpacked(folder: Path, url: str, runner: Runner, content: bytes, words: str) -> None:
    hostile(folder, {"primary": content})
    error = await refused(runner, url)
    assert (error.code, words in error.description) == ("bad-repository", True), error.description


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
async def test_what_is_packed_in_several_members_is_read_whole(
    folder: Path, url: str, runner: Runner, pack: Change
) -> None:
    hostile(folder, {"primary": lambda content: pack(content[:500]) + pack(content[500:])})
    assert (await runner.run(sync, repo_id="zoo", feed=url))["packages"] == 2


def replaced(old: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced(b"<summary>", b"<summary>&" + SECRET.encode() + b";"), "it is not XML"),
        (replaced(b"<summary>", b"<summary>&#0;"), "it is not XML"),
        (
            lambda c: c.replace(b"?>", b"?>" + LAUGHS.encode(), 1).replace(b"<summary>", b"<summary>&b;"),
            "has a document type declaration",
        ),
        (lambda c: c.replace(b"<summary>", b"<summary>" + b"<a>" * 100_000), "it is not XML"),
        (replaced(b'type="sha256"', f'type="{SECRET}"'.encode()), "its checksum type is none of"),
        (replaced(b"Packages/ant.rpm", b"../../../../etc/passwd"), "fetch"),
        (replaced(b"Packages/ant.rpm", b"file:///etc/" + SECRET.encode()), "not http or https"),
        (replaced(b"Packages/ant.rpm", b"a%00b"), "fetch"),
        (replaced(b"Packages/ant.rpm", b"x" * 300), "fetch"),
        (replaced(b'<size package="', b'<size package="0" x="'), "has no size"),
        (replaced(b'<size package="', b'<size package="9'), "fetch"),
    ],
)
async def test_packages_that_are_none(folder: Path, url: str, runner: Runner, change: Change, words: str) -> None:
    hostile(folder, {"primary": change})
    error = await refused(runner, url)
    if words == "fetch":
        assert error.code == "fetch-failed"
    else:
        assert (error.code, words in error.description) == ("bad-repository", True), error.description


async def test_metadata_with_a_text_of_hundreds_of_megabytes_ends_its_task(
    folder: Path, url: str, runner: Runner
) -> None:
    runner.isolation = IsolationSettings(memory_bytes=128 << 20)
    runner.fetching = fetch_settings({"PULP_FETCH_ALLOW": "loopback", "PULP_FETCH_UNPACKED_RATIO": "100000"})
    text = b"<summary>" + b"x" * (200 << 20)
    hostile(folder, {"primary": lambda content: zstd.compress(content.replace(b"<summary>", text, 1))}, suffix=".zst")
    assert (folder / "repodata" / "primary.xml.zst").stat().st_size < 99_000
    error = await refused(runner, url)
    assert error.code == "limit-exceeded"
    assert "one part of it has over 64 MiB" in error.description


async def test_metadata_that_takes_all_memory_ends_its_task(folder: Path, url: str, runner: Runner) -> None:
    runner.isolation = IsolationSettings(memory_bytes=128 << 20)
    runner.fetching = fetch_settings({"PULP_FETCH_ALLOW": "loopback", "PULP_FETCH_UNPACKED_RATIO": "100000"})
    parts = b"<summary>" + b"<a/>" * (6 << 20)
    hostile(folder, {"primary": lambda content: zstd.compress(content.replace(b"<summary>", parts, 1))}, suffix=".zst")
    error = await refused(runner, url)
    assert error.code == "limit-exceeded"
    assert "more than the 128 MiB of memory that it may use" in error.description


async def test_a_checksum_that_the_workers_do_not_accept(
    folder: Path, url: str, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULP_YUM_CHECKSUM_TYPES", "sha512")
    hostile(folder, {})
    error = await refused(runner, url)
    assert (error.code, "add sha256 to PULP_YUM_CHECKSUM_TYPES (sha512)" in error.description) == (
        "checksum-refused",
        True,
    )
    assert "the entry of primary metadata in repomd.xml (line 1)" in error.description


async def test_errata_that_are_none(folder: Path, url: str, runner: Runner) -> None:
    hostile(folder, {"updateinfo": f"<updates><update><id>&{SECRET};</id></update></updates>".encode()})
    error = await refused(runner, url)
    assert (error.code, error.description) == ("bad-repository", "updateinfo metadata, line 1: it is not XML")


async def test_groups_that_are_none_cost_themselves(folder: Path, url: str, runner: Runner) -> None:
    hostile(folder, {"group": f"<comps><group><id>&{SECRET};</id></group></comps>".encode()})
    result = await runner.run(sync, repo_id="zoo", feed=url)
    assert (result["packages"], result["package_groups"], result["notes_total"]) == (2, 0, 1)
    assert result["notes"][0].startswith("group metadata: left out: ")
    assert SECRET not in json.dumps([result, runner.reports])
    assert (await runner.run(publish, repo_id="zoo"))["packages"] == 2


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("ftp://mirror.example/", "its URL is not http or https"),
        ("file:///etc/", "its URL is not http or https"),
        ("http://[", "its URL is not http or https"),
        ("http://169.254.169.254/latest/", "do not allow to fetch from there"),
        ("http://[::ffff:169.254.169.254]/", "do not allow to fetch from there"),
        ("http://jo:word@mirror.example/", "a URL with a user name or password is refused"),
        ("http://2130706433/", "do not allow to fetch from there"),
    ],
)
async def test_packages_elsewhere_are_fetched_by_the_rules(
    folder: Path, url: str, runner: Runner, base: str, words: str
) -> None:
    hostile(folder, {"primary": replaced(b"<location ", f'<location xml:base="{base}" '.encode())})
    error = await refused(runner, url)
    assert words in f"{error.description} {json.dumps(runner.reports[-1])}"
    assert "jo:word" not in json.dumps(runner.reports)


async def test_a_sync_whose_packages_all_fail_gives_up(
    folder: Path, url: str, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["pulp_operations.syncing.content"], "MOST_FAILURES", 2)
    small_repository(folder, {f"{name}.rpm": name for name in ("ant", "bee", "cat", "dog")})
    for path in list(folder.glob("*.rpm")):  # noqa: ASYNC240
        path.unlink()
    with pytest.raises(OperationError, match="2 packages could not be fetched: the sync gives up") as raised:
        await runner.run(sync, repo_id="zoo", feed=url, concurrency=1)
    assert (raised.value.code, runner.content["num_error"]) == ("fetch-failed", 2)


async def test_an_odd_name_of_a_package_is_not_told(folder: Path, url: str, runner: Runner) -> None:
    hostile(folder, {"primary": replaced(b"Packages/ant.rpm", f"call us: {SECRET}!".encode())})
    error = await refused(runner, url)
    assert error.code == "fetch-failed"
    [failed] = runner.content["error_details"]
    assert failed["name"].startswith("the package with checksum ")


async def test_a_list_is_not_told_line_by_line(folder: Path, url: str, runner: Runner) -> None:
    small_repository(folder, {"a.rpm": "ant", "b.rpm": "bee"})
    await runner.run(sync, repo_id="zoo", feed=url)
    (folder / "list").write_text(f"ant\n{SECRET}\n\nbee\nroot:x:0:0:{SECRET}\n")
    with pytest.raises(OperationError) as raised:
        await runner.run(publish, repo_id="zoo", packages_url=f"{url}list")
    assert raised.value.code == "unknown-packages"
    assert raised.value.description == "2 lines of the list name no package of the repository: lines 2, 5"


async def test_a_list_is_fetched_by_the_rules(folder: Path, url: str, runner: Runner) -> None:
    small_repository(folder, {"a.rpm": "ant"})
    await runner.run(sync, repo_id="zoo", feed=url)
    runner.fetching = FetchSettings()
    (folder / "list").write_text(SECRET)
    for address in (f"{url}list", "http://169.254.169.254/latest/meta-data/", "http://[::1]:9092/"):
        with pytest.raises(OperationError, match="do not allow to fetch from there") as raised:
            await runner.run(publish, repo_id="zoo", packages_url=address)
        assert (raised.value.code, SECRET in str(raised.value)) == ("fetch-refused", False)
    with pytest.raises(OperationError, match="do not allow to fetch from there"):
        await runner.run(sync, repo_id="zoo", feed=url)
