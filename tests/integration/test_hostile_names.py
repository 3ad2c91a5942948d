"""No name that a feed gives becomes a name of ours: whatever names it uses, the storage has the same kinds of files."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

import pytest
from pulp_operations import publish, repair, sync
from pulp_worker.testing import OperationOutcome

from tests.support.hostile_yum import plain_metadata, repomd
from tests.support.mirror import Mirror, mirror, ok
from tests.support.stored import Stored

OURS = re.compile(
    r"content/sha256/[0-9a-f]{2}/[0-9a-f]{64}\.(rpm|file)"
    r"|repositories/zoo/current"
    r"|repositories/zoo/versions/1/(version\.json|packages\.jsonl\.zst|metadata/[a-z]+\.xml\.zst"
    r"|received/(repomd\.xml(\.asc)?|treeinfo|[A-Za-z][A-Za-z0-9._-]{0,30}-[0-9a-f]{64}(\.[a-z][a-z0-9]{0,7}){0,2}))"
    r"|fences/(zoo|orphans\.removed)|published/zoo"
)
PUBLISHED = re.compile(
    r"publications/zoo/\d+/(\.publication\.json|repodata/repomd\.xml|repodata/[0-9a-f]{64}-[A-Za-z0-9._-]{1,60}"
    r"|Packages/([0-9a-f]{64}/)?[A-Za-z0-9._+~^-]{1,200}\.rpm)"
)
SEGMENT = "x" * 255
NAMES = [
    "repository.json",
    "version.json",
    "packages.jsonl.zst",
    "current",
    "received",
    "received/repomd.xml",
    "repodata/repomd.xml.asc",
    "repodata/primary.xml/x.xml",
    f"repodata/{SEGMENT}",
    f"repodata/{'y' * 1900}.xml",
    "/".join("d" * 900),
    "../../../../../etc/cron.d/x",
    "/etc/passwd",
    "a/../../../b.xml",
    "repodata/%2e%2e/%2e%2e/version.json",
    "repodata/..%2fversion.json",
    "repodata/<b>click</b>.xml",
    "repodata/a b\u00fc.xml",
    ".publication.json",
    "repodata/x.tar.gz.exe",
    "CON",
]
NO_NAMES = ["", ".", "..", "/", "a\nb.xml", "a\x7fb.xml", "file:///etc/passwd", "repodata/\u2028.xml", "\u202e.xml"]
TYPES = ["../../../x", "a" * 300, "repomd", "repository.json", "<b>", "Modules", ".", "a/b", "treeinfo", "x y"]


class Answers(dict[str, Any]):
    """Finds a file however its name is escaped."""

    def get(self, path: str, default: Any = None) -> Any:
        path = unquote(path)
        return next((answer for name, answer in self.items() if unquote(name) == path), default)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "storage")


@pytest.fixture
async def feed() -> AsyncIterator[Mirror]:
    async with mirror({}) as served:
        served.answers = Answers()
        yield served


def entry(kind: str, href: str, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return (
        f'<data type={quoteattr(kind)}><checksum type="sha256">{digest}</checksum>'
        f"<location href={quoteattr(href)}/><timestamp>1</timestamp></data>"
    )


def served_at(href: str) -> str:
    """Its path on a server whose repository is in /."""
    parts: list[str] = []
    for part in href.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def offer(feed: Mirror, folder: Path, names: Mapping[str, str], *more: tuple[str, str], primary: bytes = b"") -> None:
    """Serve a small repository, some of whose files have other names (type → href); `more` are types and hrefs."""
    contents = plain_metadata(folder)
    contents["primary"] = primary or contents["primary"]
    entries = []
    for kind, content in contents.items():
        href = names.get(kind, f"repodata/{kind}.xml")
        entries.append(entry(kind, href, content))
        feed.answers[served_at(href)] = ok(content)
    for number, (kind, href) in enumerate(more):
        content = b"data %d" % number
        entries.append(entry(kind, href, content))
        feed.answers[served_at(href)] = ok(content)
    feed.answers["/repodata/repomd.xml"] = ok(repomd(*entries))
    for path in (folder / "Packages").iterdir():
        feed.answers[f"/Packages/{path.name}"] = ok(path.read_bytes())


def check(stored: Stored, tmp_path: Path, pattern: "re.Pattern[str]" = OURS) -> None:
    """Every file has one of our names, and nothing is anywhere else."""
    files = [
        str(path.relative_to(stored.root)) for path in stored.root.rglob("*") if not path.is_dir() or path.is_symlink()
    ]
    assert [name for name in files if not pattern.fullmatch(name)] == []
    nothing_elsewhere(stored, tmp_path)


def nothing_elsewhere(stored: Stored, tmp_path: Path) -> None:
    assert {path.name for path in tmp_path.iterdir()} <= {"storage", "served"}
    assert {path.name for path in stored.root.iterdir()} <= {
        *("content", "repositories", "publications", "published", "fences", "scratch", "partial")
    }


def well(outcome: OperationOutcome) -> Any:
    assert outcome.state == "successful", (outcome.error_code, outcome.error_description, outcome.traceback)
    return outcome.result


async def published(stored: Stored, tmp_path: Path) -> int:
    """Publish with our metadata and with the feed's; returns how many packages there are."""
    packages: int = well(await stored.run(publish, repo_id="zoo"))["packages"]
    check(stored, tmp_path, re.compile(f"{OURS.pattern}|{PUBLISHED.pattern}"))
    mirrored = await stored.run(publish, repo_id="zoo", metadata="mirror")
    assert (mirrored.state, mirrored.error_code) in (
        ("successful", None),
        ("failed", "not-mirrorable"),
        ("failed", "bad-publication"),  # two packages would be at one path
    )
    nothing_elsewhere(stored, tmp_path)
    assert well(await stored.run(repair, repo_id="zoo"))["damaged"] == 0
    return packages


@pytest.mark.parametrize("href", NAMES)
async def test_whatever_a_feed_calls_its_metadata(stored: Stored, feed: Mirror, tmp_path: Path, href: str) -> None:
    offer(feed, tmp_path / "served", {"primary": href})
    assert well(await stored.run(sync, repo_id="zoo", feed=feed.url()))["packages"] == 2
    check(stored, tmp_path)


async def test_whatever_a_feed_calls_metadata_that_nobody_knows(stored: Stored, feed: Mirror, tmp_path: Path) -> None:
    offer(feed, tmp_path / "served", {}, *((f"own{number}", href) for number, href in enumerate([*NAMES, *NO_NAMES])))
    result = well(await stored.run(sync, repo_id="zoo", feed=feed.url()))
    assert (result["packages"], result["notes_total"]) == (2, len(NO_NAMES)), "\n".join(result["notes"])
    check(stored, tmp_path)
    assert await published(stored, tmp_path) == 2


@pytest.mark.parametrize("href", NO_NAMES)
async def test_a_location_that_is_none_is_told_in_words(
    stored: Stored, feed: Mirror, tmp_path: Path, href: str
) -> None:
    offer(feed, tmp_path / "served", {"primary": href})
    outcome = await stored.run(sync, repo_id="zoo", feed=feed.url())
    assert (outcome.state, outcome.error_code) == ("failed", "bad-repository")
    assert "primary metadata" in str(outcome.error_description)
    assert not (stored.root / "repositories").exists()


async def test_whatever_types_the_metadata_has(stored: Stored, feed: Mirror, tmp_path: Path) -> None:
    offer(feed, tmp_path / "served", {}, *((kind, f"repodata/{number}.xml") for number, kind in enumerate(TYPES)))
    well(await stored.run(sync, repo_id="zoo", feed=feed.url()))
    check(stored, tmp_path)
    assert await published(stored, tmp_path) == 2


@pytest.mark.parametrize(
    ("href", "name"),
    [
        *((href, "ant") for href in NAMES),
        *((href, "ant") for href in ("Packages", "Packages/bee.rpm/ant.rpm", "repodata", "repodata/repomd.xml/x")),
        *(("<b>.rpm", name) for name in ("../../../x", "a/b", "x" * 300, "<b>", "..")),
    ],
)
async def test_whatever_a_package_is_called(stored: Stored, feed: Mirror, tmp_path: Path, href: str, name: str) -> None:
    served = tmp_path / "served"
    primary = plain_metadata(served)["primary"].decode()
    primary = primary.replace('href="Packages/ant.rpm"', f"href={quoteattr(href)}")
    primary = primary.replace("<name>ant</name>", f"<name>{name.replace('<', '&lt;')}</name>")
    offer(feed, served, {}, primary=primary.encode())
    feed.answers[served_at(href)] = ok((served / "Packages" / "ant.rpm").read_bytes())
    assert well(await stored.run(sync, repo_id="zoo", feed=feed.url()))["packages"] == 2
    check(stored, tmp_path)
    assert await published(stored, tmp_path) == 2


@pytest.mark.parametrize(
    "path", ["repository.json", "repodata/repomd.xml", "../../x", "Packages/bee.rpm", SEGMENT, "<b>"]
)
async def test_whatever_a_file_of_a_tree_is_called(stored: Stored, feed: Mirror, tmp_path: Path, path: str) -> None:
    offer(feed, tmp_path / "served", {})
    feed.answers["/.treeinfo"] = ok(f"[general]\nfamily = Zoo\n[images-x86_64]\nkernel = {path}\n".encode())
    feed.answers.setdefault(served_at(path), ok(b"image"))
    assert well(await stored.run(sync, repo_id="zoo", feed=feed.url()))["packages"] == 2
    check(stored, tmp_path)
    result = well(await stored.run(publish, repo_id="zoo"))
    assert result["packages"] == 2
    nothing_elsewhere(stored, tmp_path)
    assert (await stored.run(repair, repo_id="zoo")).state == "successful"
