"""Publications that are signed with a key of the worker, and publications that keep the feed's metadata and
signature."""

import gzip
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import createrepo_c as cr
import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_operations import publish, sync
from pulp_operations.records import Package
from pulp_operations.store import Store
from pulp_worker import OperationError

from tests.support.versions import add_package, add_version, content_of, described
from tests.support.yum import Runner, small_repository

KEY = "zoo@example.org"
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="NOT CHECKED: there is no gpg on this machine")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


@pytest.fixture
def store(runner: Runner) -> Store:
    return Store(runner.storage)


def published(runner: Runner) -> Path:
    return runner.storage / "published" / "zoo"


def gpg(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gpg", "--homedir", str(home), "--batch", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """GnuPG's home folder with a key; its path is short, because it holds the agent's socket."""
    folder = Path(tempfile.mkdtemp(prefix="gpg-"))
    made = gpg(folder, "--passphrase", "", "--quick-gen-key", KEY, "ed25519", "sign", "never")
    assert made.returncode == 0, made.stderr
    subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "gpg-agent"], check=True)
    monkeypatch.setenv("PULP_YUM_GPG_HOME", str(folder))
    monkeypatch.setenv("PULP_YUM_GPG_KEY", KEY)
    yield folder
    subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "gpg-agent"], check=True)
    shutil.rmtree(folder)


def add_zoo(runner: Runner, store: Store) -> list[Package]:
    packages = [add_package(store, name) for name in ("ant", "bee")]
    add_version(runner, "zoo", packages)
    return packages


@needs_gpg
async def test_a_client_that_imports_the_published_key_finds_the_signature_good(
    runner: Runner, store: Store, home: Path, tmp_path: Path
) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    repodata = published(runner) / "repodata"
    client = Path(tempfile.mkdtemp(prefix="gpg-"))
    try:
        assert gpg(client, "--import", str(repodata / "repomd.xml.key")).returncode == 0
        found = gpg(client, "--verify", str(repodata / "repomd.xml.asc"), str(repodata / "repomd.xml"))
        assert (found.returncode, f'Good signature from "{KEY}"' in found.stderr) == (0, True)
    finally:
        shutil.rmtree(client)


def has_agent(home: Path) -> bool:
    ask = ["gpg-connect-agent", "--homedir", str(home), "--no-autostart", "GETINFO pid", "/bye"]
    return bool(subprocess.run(ask, check=True, capture_output=True).stdout)


def run_agent(home: Path) -> None:
    subprocess.run(["gpgconf", "--homedir", str(home), "--launch", "gpg-agent"], check=True)


@needs_gpg
async def test_no_agent_stays_and_one_that_was_there_does(runner: Runner, store: Store, home: Path) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    assert not has_agent(home)
    run_agent(home)
    (published(runner) / "repodata" / "repomd.xml").unlink()
    await runner.run(publish, repo_id="zoo")
    assert has_agent(home)


@needs_gpg
async def test_another_key_makes_another_publication(
    runner: Runner, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_zoo(runner, store)
    await runner.run(publish, repo_id="zoo")
    assert (await runner.run(publish, repo_id="zoo"))["unchanged"]
    monkeypatch.delenv("PULP_YUM_GPG_KEY")
    assert not (await runner.run(publish, repo_id="zoo"))["unchanged"]
    assert sorted(path.name for path in (published(runner) / "repodata").glob("repomd.xml*")) == ["repomd.xml"]


@needs_gpg
@pytest.mark.parametrize(
    ("key", "locked", "words"),
    [
        ("lion@example.org", False, "GnuPG has no such key"),
        (KEY, True, "cannot be signed with the key zoo@example.org"),
    ],
)
async def test_a_key_that_cannot_sign_is_named_and_nothing_is_published(
    runner: Runner, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch, key: str, locked: bool, words: str
) -> None:
    add_zoo(runner, store)
    monkeypatch.setenv("PULP_YUM_GPG_KEY", key)
    if locked:
        for secret in (home / "private-keys-v1.d").iterdir():
            secret.unlink()
    with pytest.raises(OperationError, match=words) as raised:
        await runner.run(publish, repo_id="zoo")
    assert raised.value.code == "signing-failed"
    assert not published(runner).exists()


async def test_a_worker_without_gnupg_says_so(
    runner: Runner, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_zoo(runner, store)
    monkeypatch.setenv("PULP_YUM_GPG_KEY", KEY)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationError, match="gpg is not installed: install GnuPG on the worker"):
        await runner.run(publish, repo_id="zoo")


def feed_metadata(packages: list[Package], folder: Path) -> dict[str, tuple[str, bytes]]:
    """Metadata as a feed has it: packages at their own hrefs, two of the files outside of repodata/."""
    kinds = {"primary": cr.PrimaryXmlFile, "filelists": cr.FilelistsXmlFile, "other": cr.OtherXmlFile}
    made = {}
    for kind, write in kinds.items():
        path = folder / kind
        file = write(str(path), cr.GZ_COMPRESSION)
        file.set_num_of_pkgs(len(packages))
        for package in packages:
            each = described(package)
            each.location_href = package.href
            file.add_pkg(each)
        file.close()
        made[kind] = (f"repodata/{kind}.xml.gz", path.read_bytes())
    return {
        **made,
        "primary_db": ("repodata/primary.sqlite.gz", gzip.compress(b"a database")),
        "modules": ("metadata/modules.yaml.gz", gzip.compress(b"---")),
    }


def repomd_of(received: dict[str, tuple[str, bytes]]) -> bytes:
    repomd = cr.Repomd()
    for kind, (href, content) in received.items():
        record = cr.RepomdRecord(kind)
        record.location_href, record.size = href, len(content)
        record.checksum, record.checksum_type = hashlib.sha256(content).hexdigest(), "sha256"
        repomd.set_record(record)
    return str(repomd.xml_dump()).encode()


def add_feed(
    runner: Runner,
    store: Store,
    tmp_path: Path,
    *,
    left_out: tuple[str, ...] = (),
    hrefs: dict[str, str] | None = None,
    **fields: Any,
) -> dict[str, bytes]:
    """A version as a sync with `metadata=mirror` leaves it; returns what a publication must have, by path."""
    names = hrefs or {"ant": "pool/a/ant.rpm", "bee": "pool/b%2Bb/./bee.rpm"}
    packages = [add_package(store, name, href=href) for name, href in names.items()]
    received = feed_metadata(packages, tmp_path)
    signed = {"repomd.xml": repomd_of(received), "repomd.xml.asc": b"a signature", "repomd.xml.key": b"a key"}
    kept = {kind: each for kind, each in received.items() if kind not in left_out}
    add_version(runner, "zoo", packages, kept, signed=signed, **fields)
    expected = {href: content for href, content in received.values()}
    return {**expected, **{f"repodata/{name}": content for name, content in signed.items()}}


async def test_mirrored_metadata_is_kept_byte_for_byte_with_its_signature(
    runner: Runner, store: Store, tmp_path: Path
) -> None:
    expected = add_feed(runner, store, tmp_path)
    result = await runner.run(publish, repo_id="zoo", metadata="mirror")
    assert (result["packages"], result["unchanged"], result["notes"]) == (2, False, [])
    found = {
        str(path.relative_to(published(runner).resolve())): path.read_bytes()
        for path in published(runner).resolve().rglob("*")
        if path.is_file() and path.name != ".publication.json"
    }
    packages = {"pool/a/ant.rpm": content_of("ant"), "pool/b+b/bee.rpm": content_of("bee")}
    assert found == {**expected, **packages}
    assert (await runner.run(publish, repo_id="zoo", metadata="mirror"))["unchanged"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mode": "additive"}, "its version is additive"),
        ({"left_out": ("primary_db",)}, "names primary_db metadata, which was not fetched"),
        ({"hrefs": {"ant": "../pool/ant.rpm"}}, "a package is outside of the repository's folder"),
        ({"hrefs": {"ant": "/pool/ant.rpm"}}, "a package is outside of the repository's folder"),
        ({"hrefs": {"ant": "%2e%2e/ant.rpm"}}, "a package is outside of the repository's folder"),
        ({"hrefs": {"ant": "pool/ant.rpm?x=1"}}, "a package is outside of the repository's folder"),
        ({"hrefs": {"ant": ".publication.json"}}, "a package is outside of the repository's folder"),
    ],
)
async def test_what_cannot_be_mirrored_whole_is_refused_in_words(
    runner: Runner, store: Store, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    add_feed(runner, store, tmp_path, **fields)
    with pytest.raises(OperationError, match=words) as raised:
        await runner.run(publish, repo_id="zoo", metadata="mirror")
    assert raised.value.code == "not-mirrorable"
    assert not published(runner).exists()
    assert (await runner.run(publish, repo_id="zoo"))["packages"] >= 1


async def test_a_list_of_names_and_the_metadata_of_the_feed_exclude_each_other(
    runner: Runner, store: Store, tmp_path: Path
) -> None:
    add_feed(runner, store, tmp_path)
    with pytest.raises(OperationError, match="only some of its packages") as raised:
        await runner.run(publish, repo_id="zoo", metadata="mirror", packages_url="http://127.0.0.1:9/list")
    assert raised.value.code == "not-mirrorable"


@pytest.mark.parametrize("hrefs", [{"ant": "a.rpm", "bee": "a.rpm"}, {"ant": "a.rpm", "bee": "a.rpm/bee.rpm"}])
async def test_two_packages_in_one_place_are_refused(
    runner: Runner, store: Store, tmp_path: Path, hrefs: dict[str, str]
) -> None:
    add_feed(runner, store, tmp_path, hrefs=hrefs)
    with pytest.raises(OperationError, match=r"bee-1\.0-1\.noarch has the path of another file"):
        await runner.run(publish, repo_id="zoo", metadata="mirror")


async def test_received_metadata_that_was_damaged_is_not_mirrored(runner: Runner, store: Store, tmp_path: Path) -> None:
    add_feed(runner, store, tmp_path)
    held = store.versions("zoo").newest()
    assert held is not None
    for pattern in ("repomd.xml", "modules-*"):
        [path] = (held.folder / "received").glob(pattern)
        kept = path.read_bytes()
        path.write_bytes(kept + b" ")
        with pytest.raises(OperationError, match="is not what the feed gave") as raised:
            await runner.run(publish, repo_id="zoo", metadata="mirror")
        assert raised.value.code == "damaged-version"
        path.write_bytes(kept)
    assert (await runner.run(publish, repo_id="zoo", metadata="mirror"))["packages"] == 2


async def test_mirrored_and_regenerated_publications_follow_each_other(
    runner: Runner, store: Store, tmp_path: Path
) -> None:
    expected = add_feed(runner, store, tmp_path)
    for metadata in ("mirror", "regenerate", "mirror"):
        result = await runner.run(publish, repo_id="zoo", metadata=metadata)
        assert not result["unchanged"]
        repomd = (published(runner) / "repodata" / "repomd.xml").read_bytes()
        assert (repomd == expected["repodata/repomd.xml"]) == (metadata == "mirror")
        has_signature = (published(runner) / "repodata" / "repomd.xml.asc").exists()
        assert has_signature == (metadata == "mirror")


async def test_a_mirrored_sync_and_publish_keep_what_the_feed_has(runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    locations = small_repository(folder, {"pool/a/ant.rpm": "ant", "bee.rpm": "bee"})
    (folder / "repodata" / "repomd.xml.asc").write_bytes(b"a signature")
    with DemoServer(folder) as server:
        await runner.run(sync, repo_id="zoo", feed=server.url, metadata="mirror")
    await runner.run(publish, repo_id="zoo", metadata="mirror")
    files = [*locations, *(str(path.relative_to(folder)) for path in (folder / "repodata").iterdir())]
    for path in files:
        assert (published(runner) / path).read_bytes() == (folder / path).read_bytes()


async def test_deltas_of_mirrored_metadata_are_said_to_lead_nowhere(
    runner: Runner, store: Store, tmp_path: Path
) -> None:
    package = add_package(store, "ant", href="ant.rpm")
    received = {**feed_metadata([package], tmp_path), "prestodelta": ("repodata/prestodelta.xml", b"<prestodelta/>")}
    add_version(runner, "zoo", [package], received, signed={"repomd.xml": repomd_of(received)})
    result = await runner.run(publish, repo_id="zoo", metadata="mirror")
    assert [note.what for note in result["notes"]] == ["prestodelta metadata"]
