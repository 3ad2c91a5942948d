"""Whole syncs from realistic feeds: by mirrors, with a credential, from a server that dies meanwhile."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from backports import zstd
from pulp_operations import sync
from pulp_worker import OperationError
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import patience

from tests.support.mirror import Answer, mirror, ok
from tests.support.yum import Runner, small_repository

PACKAGES = {f"Packages/p{number}.rpm": f"p{number}" for number in range(40)}
SECRET = "TOP-SECRET-TEXT"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.0,) * 6)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "storage")


@pytest.fixture
def served(tmp_path: Path) -> Callable[[str], dict[str, Answer]]:
    """The files of a repository below a path, as answers."""
    folder = tmp_path / "served"
    small_repository(folder, PACKAGES)

    def answers(below: str) -> dict[str, Answer]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {f"{below}{path.relative_to(folder)}": ok(path.read_bytes()) for path in files}

    return answers


def with_credentials(runner: Runner, folder: Path, text: str) -> None:
    path = folder / "feeds.toml"
    path.write_text(text)
    path.chmod(0o600)
    runner.fetching = fetch_settings({"PULP_FETCH_ALLOW": "loopback", "PULP_FEED_CREDENTIALS": str(path)})


def everything_kept(runner: Runner, result: Any) -> bytes:
    files = [path.read_bytes() for path in runner.storage.rglob("*") if path.is_file()]
    return b"".join([msgspec.json.encode([runner.reports, result]), *files])


async def test_a_credential_is_sent_with_each_request_and_kept_nowhere(
    runner: Runner, tmp_path: Path, served: Callable[[str], dict[str, Answer]]
) -> None:
    async with mirror(served("/zoo/")) as server:
        login = f'user = "jo"\npassword = "{SECRET}"\nquery = "{SECRET}"\n'
        with_credentials(runner, tmp_path, f'[zoo]\nurls = ["{server.url("/zoo/")}"]\n{login}')
        result = await runner.run(sync, repo_id="zoo", feed=server.url("/zoo/"), credential="zoo")
    assert result["packages"] == len(PACKAGES)
    encoded = base64.b64encode(f"jo:{SECRET}".encode()).decode()
    assert [head for head in server.heads if encoded not in head or f"?{SECRET} " not in head] == []
    kept = everything_kept(runner, result)
    assert SECRET.encode() not in kept
    assert encoded.encode() not in kept


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("unicorn", "unknown-credential", "no credential is called 'unicorn'"),
        ("other", "fetch-refused", "credential 'other' is not for this URL"),
        ("damaged", "bad-credential", r"feeds\.toml: credential 'damaged': 'urls' is empty"),
    ],
)
async def test_a_credential_that_cannot_be_used_sends_nothing(
    runner: Runner, tmp_path: Path, name: str, code: str, words: str
) -> None:
    text = f'[other]\nurls = ["https://cdn.example/"]\nquery = "{SECRET}"\n[damaged]\nurls = []\nquery = "{SECRET}"\n'
    with_credentials(runner, tmp_path, text)
    async with mirror({}) as server:
        with pytest.raises(OperationError, match=words) as raised:
            await runner.run(sync, repo_id="zoo", feed=server.url(), credential=name)
    assert raised.value.code == code
    assert SECRET not in str(raised.value)
    assert server.heads == []


async def test_a_secret_is_refused_in_the_feed_itself(runner: Runner) -> None:
    for feed in (f"https://jo:{SECRET}@cdn.example/", f"https://cdn.example/?token={SECRET}"):
        with pytest.raises(ValueError, match="is refused") as raised:
            await runner.run(sync, repo_id="zoo", feed=feed)
        assert SECRET not in str(raised.value)


async def test_a_server_that_dies_meanwhile_ends_the_sync(
    runner: Runner, served: Callable[[str], dict[str, Answer]]
) -> None:
    answers = served("/")
    busy = ok(b"", status="503 Busy")
    async with mirror({path: busy if path.endswith(".rpm") else answer for path, answer in answers.items()}) as server:
        with pytest.raises(
            OperationError, match=r"does not answer any more|the server answered 503|packages could not"
        ):
            await runner.run(sync, repo_id="zoo", feed=server.url())
    asked = [path for path in server.asked() if path.endswith(".rpm")]
    assert len(asked) <= 4 * 7  # the files in progress when it died, and their retries
    assert len(set(asked)) < len(PACKAGES)


async def test_a_sync_by_mirrors_goes_on_where_one_of_them_dies(
    runner: Runner, served: Callable[[str], dict[str, Answer]]
) -> None:
    answers = served("/zoo/")
    busy = ok(b"", status="503 Busy")
    dying = {path: busy if path.endswith(".rpm") else answer for path, answer in answers.items()}
    async with mirror(dying) as first, mirror(answers) as second:
        urls = f"{first.url('/zoo')}\n{second.url('/zoo')}\n"
        async with mirror({"/mirrorlist": ok(urls.encode())}) as server:
            result = await runner.run(sync, repo_id="zoo", feed=server.url("/mirrorlist"))
            again = await runner.run(sync, repo_id="zoo", feed=server.url("/mirrorlist"))
    assert (result["packages"], result["fetched"]) == (len(PACKAGES), len(PACKAGES))
    assert again["unchanged"] is True
    assert len([path for path in first.asked() if path.endswith(".rpm")]) < len(PACKAGES)


async def test_an_idle_sync_by_a_metalink_costs_one_request(
    runner: Runner, served: Callable[[str], dict[str, Answer]]
) -> None:
    answers = served("/zoo/")
    repomd = answers["/zoo/repodata/repomd.xml"]
    assert isinstance(repomd, bytes)
    digest = hashlib.sha256(repomd.partition(b"\r\n\r\n")[2]).hexdigest()
    async with mirror(answers) as zoo:
        url = f'<url preference="100">{zoo.url("/zoo/repodata/repomd.xml")}</url>'
        file = f'<file name="repomd.xml"><hash type="sha256">{digest}</hash>{url}</file>'
        async with mirror({"/metalink": ok(f"<metalink>{file}</metalink>".encode())}) as server:
            first = await runner.run(sync, repo_id="zoo", feed=server.url("/metalink?repo=zoo"))
            asked = len(zoo.heads)
            again = await runner.run(sync, repo_id="zoo", feed=server.url("/metalink?repo=zoo"))
    assert (first["packages"], again["unchanged"], again["version"]) == (len(PACKAGES), True, first["version"])
    assert (len(zoo.heads), len(server.heads)) == (asked, 2)


async def test_packages_outside_of_the_folder_and_with_odd_names(runner: Runner, tmp_path: Path) -> None:
    locations = {
        "../../../blobstore/a.rpm": "/blobstore/a.rpm",
        "/pool/b.rpm": "/al/guid/x86/pool/b.rpm",
        "c++-1.rpm": "/al/guid/x86/c%2B%2B-1.rpm",
        "d e.rpm": "/al/guid/x86/d%20e.rpm",
        "f%20g.rpm": "/al/guid/x86/f%2520g.rpm",
        "\u00fcber.rpm": "/al/guid/x86/%C3%BCber.rpm",
    }
    folder = tmp_path / "made"
    names = {f"Packages/p{number}.rpm": f"p{number}" for number in range(len(locations))}
    small_repository(folder, names)
    packages = [(folder / name).read_bytes() for name in names]
    metadata = moved(folder, dict(zip(names, locations, strict=True)))
    answers: dict[str, Answer] = {f"/al/guid/x86/{path}": ok(content) for path, content in metadata.items()}
    answers |= {place: ok(packages[number]) for number, place in enumerate(locations.values())}
    async with mirror(answers) as server:
        result = await runner.run(sync, repo_id="zoo", feed=server.url("/al/guid/x86"))
    assert result["packages"] == len(locations)
    assert sorted(path for path in server.asked() if path.endswith(".rpm")) == sorted(locations.values())


def moved(folder: Path, locations: dict[str, str]) -> dict[str, bytes]:
    """The metadata of a repository whose packages lie elsewhere: path → content."""
    [packed] = folder.glob("repodata/primary.xml.*")
    primary = zstd.decompress(packed.read_bytes())
    for location, elsewhere in locations.items():
        primary = primary.replace(f'href="{location}"'.encode(), f'href="{elsewhere}"'.encode())
    digest = hashlib.sha256(primary).hexdigest()
    repomd = (
        f'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">{digest}'
        '</checksum><location href="repodata/primary.xml"/></data></repomd>'
    )
    return {"repodata/repomd.xml": repomd.encode(), "repodata/primary.xml": primary}
