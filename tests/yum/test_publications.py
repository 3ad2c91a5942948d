"""Clients read a repository while it is published again and again: none of them ever fails.

A client's read of repomd.xml is answered, then the repository is synced and published, and only then does the client
get an answer to its next request. So a publish always falls into the middle of a read, whatever the machine does.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from tests.support.repositories import Advisory, Repository, Rpm
from tests.support.repositories.serving import Asked, Reply, RepositoryServer
from tests.yum.createrepo_c_reads import unpacked
from tests.yum.ours import publication, run_publish, run_sync
from tests.yum.reference import dnf_reads

PUBLISHES = 50
"""For dnf."""
FEWER_PUBLISHES = 15
"""For the plain client, which runs everywhere."""
_REPO = "{http://linux.duke.edu/metadata/repo}"
_COMMON = "{http://linux.duke.edu/metadata/common}"
_STEADY = [Rpm(name) for name in ("bee", "cat")]


def _generation(number: int) -> Repository:
    """Each has another version of package ant."""
    ant = Rpm("ant", version=f"1.{number}")
    return Repository(rpms=[ant, *_STEADY], advisories=[Advisory(id=f"A-{number}", packages=(ant,))])


class Site:
    """A served publication; `publish` is called in the middle of each read."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._feed = RepositoryServer()
        self._server = RepositoryServer(manner=self._answer)
        self._loop = asyncio.get_running_loop()
        self.published = 0

    @property
    def url(self) -> str:
        """The URL of the publication."""
        return self._server.url

    def __enter__(self) -> "Site":
        self._feed.__enter__()
        self._server.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.__exit__(None, None, None)
        self._feed.__exit__(None, None, None)

    async def publish(self) -> None:
        """Sync the next generation and publish it."""
        self._feed.tree = _generation(self.published).tree()
        synced = await run_sync(self._storage, self._feed.url)
        assert synced.state == "successful", synced
        published = await run_publish(self._storage)
        assert published.state == "successful", published
        assert published.result["publication"] == self.published + 1
        self.published += 1

    def _answer(self, server: RepositoryServer, asked: Asked) -> Reply:
        path = publication(self._storage) / asked.path
        if not path.is_file():
            return Reply(status=404)
        body = path.read_bytes()
        if asked.path == "repodata/repomd.xml":
            asyncio.run_coroutine_threadsafe(self.publish(), self._loop).result()
        return Reply(body=body)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with Site(tmp_path / "storage") as made:
        await made.publish()
        yield made


async def read_again_and_again(site: Site, times: int, read: Callable[[str], list[str]]) -> None:
    """In each read the reader sees one whole generation: the one before the publish in the middle."""
    for number in range(times):
        names = await asyncio.to_thread(read, site.url)
        assert sorted(names) == sorted(rpm.nevra for rpm in _generation(number).rpms)
    assert site.published == times + 1


@pytest.mark.timeout(1200)  # fifty syncs, publishes and runs of dnf
async def test_dnf_reads_and_downloads_amid_fifty_publishes(dnf: str, site: Site) -> None:
    def read(url: str) -> list[str]:
        said = dnf_reads("baseurl", url)
        assert said["error"] is None, said
        assert said["undownloaded"] == []
        return list(said["packages"])

    await read_again_and_again(site, PUBLISHES, read)


@pytest.mark.timeout(1200)
async def test_a_plain_client_reads_and_downloads_amid_publishes(site: Site) -> None:
    await read_again_and_again(site, FEWER_PUBLISHES, _read_plainly)


def _read_plainly(url: str) -> list[str]:
    """Read as every client does: repomd.xml, the metadata that it names, the packages; all of it verified."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        root = ElementTree.fromstring(_got(client, "repodata/repomd.xml"))
        documents = {}
        for entry in root.iter(f"{_REPO}data"):
            href = entry.find(f"{_REPO}location")
            assert href is not None
            content = _got(client, href.attrib["href"])
            assert _sha256(content) == entry.findtext(f"{_REPO}checksum")
            documents[entry.attrib["type"]] = unpacked(content)
        names = []
        for package in ElementTree.fromstring(documents["primary"]).iter(f"{_COMMON}package"):
            location, version = package.find(f"{_COMMON}location"), package.find(f"{_COMMON}version")
            assert location is not None
            assert version is not None
            assert _sha256(_got(client, location.attrib["href"])) == package.findtext(f"{_COMMON}checksum")
            name, arch = package.findtext(f"{_COMMON}name"), package.findtext(f"{_COMMON}arch")
            names.append("{0}-{epoch}:{ver}-{rel}.{1}".format(name, arch, **version.attrib))
        return names


def _got(client: httpx.Client, path: str) -> bytes:
    return client.get(path, timeout=60).raise_for_status().content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
