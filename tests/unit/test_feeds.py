"""Feeds in practice: odd URLs, mirrors and metalinks, servers that fail for a while, files that change meanwhile."""

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pulp_operations.feeds import UNCHANGED, Differs, Feed, FeedDown, Fetched, may_have_changed
from pulp_operations.records import TreeFile, Validators
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchFailed, FetchRefused, patience

from tests.support.feeds import BODY, Kept, SimulatedClock, feed, metadata_file, package
from tests.support.mirror import Answer, Connector, Mirror, Names, fetcher, mirror, ok, redirect

REPOMD = b"<repomd>the one</repomd>"
OTHER = b"<repomd>another one</repomd>"
NOT_FOUND = ok(b"", status="404 Not Found")
BUSY = ok(b"", status="503 Busy")
USUAL_PAUSES_S = patience.PAUSES_S


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.0,) * 6)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def in_turn(*answers: Answer) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Gives these answers in turn, and repeats the last one for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, bytes):
            writer.write(found)
            await writer.drain()
        else:
            await found(writer)

    return answer


def cut(sent: bytes, whole: bytes = BODY, *headers: str, status: str = "200 OK") -> bytes:
    """An answer that ends before its stated length."""
    return ok(sent, *headers, length=len(whole), status=status)


def rest(have: int, whole: bytes = BODY, sent: bytes | None = None) -> bytes:
    """An answer with the file from `have` on, or with a part of that."""
    told = f"Content-Range: bytes {have}-{len(whole) - 1}/{len(whole)}"
    body = whole[have:] if sent is None else sent
    return ok(body, told, length=len(whole) - have, status="206 Partial Content")


def header(head: str, name: str) -> str | None:
    found = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith(f"{name.lower()}: ")]
    return found[0] if found else None


def metalink(*bases: str, current: bytes = REPOMD, older: bytes | None = None) -> bytes:
    urls = "".join(
        f'<url type="http" preference="{100 - rank}">{base}repodata/repomd.xml</url>' for rank, base in enumerate(bases)
    )
    digest = "<verification><hash type='sha256'>{}</hash></verification>"
    alternates = (
        "" if older is None else f"<alternates><alternate>{digest.format(sha256(older))}</alternate></alternates>"
    )
    text = f"<file name='repomd.xml'>{digest.format(sha256(current))}{alternates}<resources>{urls}</resources></file>"
    return ok(f"<metalink version='3.0'><files>{text}</files></metalink>".encode())


@asynccontextmanager
async def fed(folder: Path, answers: Mapping[str, Answer] | None = None) -> AsyncIterator[tuple[Mirror, Feed]]:
    """A server with a repomd.xml, and a feed that has read it."""
    given: dict[str, Answer] = {"/repodata/repomd.xml": ok(REPOMD), **(answers or {})}
    async with mirror(given) as server, feed(server.url(), folder) as source:
        await source.repomd()
        yield server, source


# repomd.xml


async def test_an_idle_feed_costs_one_request(tmp_path: Path) -> None:
    headers = ['ETag: "1"', "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT", "Date: Tue, 02 Jan 2024 00:00:00 GMT"]
    answer = in_turn(ok(REPOMD, *headers), ok(b"", status="304 Not Modified"))
    async with mirror({"/zoo/repodata/repomd.xml": answer}) as server:
        async with feed(server.url("/zoo"), tmp_path) as source:
            first = await source.repomd()
        assert isinstance(first, Fetched)
        async with feed(server.url("/zoo"), tmp_path) as source:
            assert await source.repomd(first.validators, sha256(REPOMD)) is UNCHANGED
    assert len(server.heads) == 2
    assert header(server.heads[1], "If-None-Match") == '"1"'
    assert header(server.heads[1], "If-Modified-Since") == "Mon, 01 Jan 2024 00:00:00 GMT"


async def test_a_server_without_validators_is_compared_by_content(tmp_path: Path) -> None:
    async with mirror({"/repodata/repomd.xml": ok(REPOMD)}) as server, feed(server.url(), tmp_path) as source:
        assert await source.repomd(None, sha256(REPOMD)) is UNCHANGED
        assert await source.repomd(None, sha256(OTHER)) == Fetched(REPOMD, Validators())
    assert "if-" not in server.heads[0].lower()


async def test_a_feed_that_changed_says_so(tmp_path: Path) -> None:
    answer = in_turn(ok(REPOMD), ok(REPOMD), ok(OTHER), BUSY)
    async with mirror({"/repodata/repomd.xml": answer}) as server, feed(server.url(), tmp_path) as source:
        await source.repomd()
        assert not await source.changed()
        assert await source.changed()
        assert not await source.changed()  # the server is busy: unknown


async def test_a_feed_without_many_packages_is_not_asked_for_each_whether_it_has_changed(tmp_path: Path) -> None:
    async with fed(tmp_path) as (server, source):
        for _ in range(1000):
            assert not await source.changed()
    assert len(server.heads) < 100


async def test_the_query_of_a_feed_goes_with_each_request(tmp_path: Path) -> None:
    answers = {"/zoo/repodata/repomd.xml": ok(REPOMD), "/zoo/a.rpm": ok(BODY)}
    async with mirror(answers) as server, feed(server.url("/zoo?AbC"), tmp_path) as source:
        await source.repomd()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert server.asked() == ["/zoo/repodata/repomd.xml?AbC", "/zoo/a.rpm?AbC"]


# Mirrors


async def test_a_list_of_mirrors_in_its_order(tmp_path: Path) -> None:
    kept = Kept()
    async with (
        mirror({}) as bad,
        mirror({"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": ok(BODY)}) as good,
        mirror({"/mirrorlist": ok(f"{bad.url()}\n{good.url()}\n".encode())}) as server,
        feed(server.url("/mirrorlist?repo=zoo"), tmp_path) as source,
    ):
        assert isinstance(await source.repomd(), Fetched)
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}
    assert server.asked() == ["/mirrorlist?repo=zoo"]
    assert bad.asked() == ["/repodata/repomd.xml"]  # the mirror that had repomd.xml is asked first for the rest


async def test_a_list_under_another_name_is_known_by_its_content(tmp_path: Path) -> None:
    async with (
        mirror({"/repodata/repomd.xml": ok(REPOMD)}) as good,
        mirror({"/zoo": ok(good.url().encode())}) as server,
        feed(server.url("/zoo"), tmp_path) as source,
    ):
        assert isinstance(await source.repomd(), Fetched)
    assert server.asked() == ["/zoo/repodata/repomd.xml", "/zoo"]


async def test_a_folder_that_is_called_like_a_list(tmp_path: Path) -> None:
    answers = {"/mirrorlist/": ok(b"<html></html>"), "/mirrorlist/repodata/repomd.xml": ok(REPOMD)}
    async with mirror(answers) as server, feed(server.url("/mirrorlist/"), tmp_path) as source:
        assert isinstance(await source.repomd(), Fetched)


async def test_neither_a_folder_nor_a_list(tmp_path: Path) -> None:
    async with mirror({"/zoo": ok(b"hello")}) as server, feed(server.url("/zoo"), tmp_path) as source:
        with pytest.raises(FetchFailed, match=r"/zoo/repodata/repomd.xml: the server answered 404"):
            await source.repomd()


async def test_a_mirror_without_the_repomd_of_the_metalink_is_left(tmp_path: Path) -> None:
    async with (
        mirror({"/repodata/repomd.xml": ok(OTHER)}) as wrong,
        mirror({"/repodata/repomd.xml": ok(REPOMD)}) as right,
        mirror({"/metalink": metalink(wrong.url(), right.url())}) as server,
        feed(server.url("/metalink"), tmp_path) as source,
    ):
        received = await source.repomd()
    assert isinstance(received, Fetched)
    assert received.content == REPOMD


async def test_no_mirror_has_the_repomd_of_the_metalink(tmp_path: Path) -> None:
    async with (
        mirror({"/repodata/repomd.xml": ok(OTHER)}) as wrong,
        mirror({"/metalink": metalink(wrong.url())}) as server,
        feed(server.url("/metalink"), tmp_path) as source,
    ):
        with pytest.raises(FetchFailed, match=r"no mirror has a repomd\.xml that the metalink names"):
            await source.repomd()


async def test_an_older_state_of_the_metalink_is_better_than_none(tmp_path: Path) -> None:
    async with (
        mirror({"/repodata/repomd.xml": ok(OTHER)}) as late,
        mirror({"/repodata/repomd.xml": ok(REPOMD)}) as right,
        mirror({"/metalink": metalink(late.url(), right.url(), older=OTHER)}) as server,
    ):
        async with feed(server.url("/metalink"), tmp_path) as source:
            assert await source.repomd() == Fetched(REPOMD, Validators())
        right.answers.clear()
        async with feed(server.url("/metalink"), tmp_path) as source:
            assert await source.repomd() == Fetched(OTHER, Validators())


async def test_a_metalink_that_names_the_same_repomd_is_enough(tmp_path: Path) -> None:
    answers = {"/metalink": metalink("http://127.0.0.1:1/")}
    async with mirror(answers) as server, feed(server.url("/metalink"), tmp_path) as source:
        assert await source.repomd(None, sha256(REPOMD)) is UNCHANGED
    assert server.asked() == ["/metalink"]


async def test_a_mirror_with_a_damaged_package_is_left_for_the_next(tmp_path: Path) -> None:
    damaged = BODY.replace(b"rpm", b"RPM")
    async with (
        mirror({"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": ok(damaged)}) as first,
        mirror({"/a.rpm": ok(BODY)}) as second,
        mirror({"/mirrorlist": ok(f"{first.url()}\n{second.url()}".encode())}) as server,
        feed(server.url("/mirrorlist"), tmp_path) as source,
    ):
        await source.repomd()
        kept = Kept()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}


async def test_a_dead_mirror_does_not_make_anybody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (3600.0,) * 6)
    async with (
        asyncio.timeout(60),
        mirror({"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": BUSY, "/b.rpm": BUSY}) as first,
        mirror({"/a.rpm": ok(BODY), "/b.rpm": ok(BODY)}) as second,
        mirror({"/mirrorlist": ok(f"{first.url()}\n{second.url()}".encode())}) as server,
        feed(server.url("/mirrorlist"), tmp_path) as source,
    ):
        await source.repomd()
        kept = Kept()
        for name in ("a", "b"):
            await source.package(package(f"{name}.rpm"), tmp_path / "p" / name, kept)
    assert set(kept.files) == {"a", "b"}
    assert first.asked() == ["/repodata/repomd.xml", "/a.rpm"]


async def test_a_mirror_leads_nowhere_that_the_rules_forbid(tmp_path: Path) -> None:
    public = "93.184.216.34"
    names = Names(mirrors_example=[[public]], inner_example=[["169.254.169.254"]])
    text = b"http://169.254.169.254/\nhttp://inner.example/\nhttp://127.0.0.1/\n"
    async with mirror({"/mirrorlist": ok(text)}) as server:
        connector = Connector(server.port)
        client = fetcher(fetch_settings({}), names=names, connector=connector)
        async with feed("http://mirrors.example/mirrorlist", tmp_path, client) as source:
            with pytest.raises(FetchRefused):
                await source.repomd()
    assert {address for address, _ in connector.connections} == {public}


@pytest.mark.parametrize(
    ("href", "base_url"),
    [("http://169.254.169.254/a.rpm", ""), ("a.rpm", "http://169.254.169.254"), ("//169.254.169.254/a.rpm", "")],
)
async def test_metadata_lead_nowhere_that_the_rules_forbid(tmp_path: Path, href: str, base_url: str) -> None:
    async with mirror({"/repodata/repomd.xml": ok(REPOMD)}) as server:
        connector = Connector(server.port)
        client = fetcher(fetch_settings({}), names=Names(zoo_example=[["93.184.216.34"]]), connector=connector)
        async with feed("http://zoo.example/", tmp_path, client) as source:
            await source.repomd()
            with pytest.raises(FetchFailed):
                await source.package(package(href, base_url=base_url), tmp_path / "p" / "a", Kept())
    assert {address for address, _ in connector.connections} == {"93.184.216.34"}


# Servers that fail


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_retry_after_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (1.0,) * 6)
    clock = SimulatedClock()
    answer = in_turn(*[ok(b"", "Retry-After: 8", status=status)] * 3, ok(BODY))
    async with mirror({"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": answer}) as server:
        client = fetcher()
        client.patience = patience.Patience(3600, clock=clock)
        async with feed(server.url(), tmp_path, client) as source:
            await source.repomd()
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert clock.slept == [8.0] * 3


async def test_a_server_that_fails_for_some_seconds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", USUAL_PAUSES_S)
    clock = SimulatedClock()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(BUSY if clock.now_s() < 8 else ok(BODY))
        await writer.drain()

    async with mirror({"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": answer}) as server:
        client = fetcher()
        client.patience = patience.Patience(3600, clock=clock)
        async with feed(server.url(), tmp_path, client) as source:
            await source.repomd()
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert 8 <= sum(clock.slept) < 32


async def test_a_server_that_asks_for_an_hour_is_not_asked_again(tmp_path: Path) -> None:
    answers = {"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": ok(b"", "Retry-After: 3600", status="429 Slow")}
    async with mirror(answers) as server, feed(server.url(), tmp_path) as source:
        await source.repomd()
        with pytest.raises(FetchFailed, match="the server answered 429"):
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
        with pytest.raises(FeedDown):
            await source.package(package("b.rpm"), tmp_path / "p" / "b", Kept())
    assert server.asked() == ["/repodata/repomd.xml", "/a.rpm"]


async def test_a_dead_server_is_given_up_and_not_asked_for_each_package(tmp_path: Path) -> None:
    async with fed(tmp_path) as (server, source):
        server.answers.update({f"/{number}.rpm": BUSY for number in range(1000)})
        with pytest.raises(FetchFailed, match=r"/0\.rpm: the server answered 503"):
            await source.package(package("0.rpm"), tmp_path / "p" / "0", Kept())
        asked = len(server.heads)
        for number in range(1, 1000):
            with pytest.raises(FeedDown, match="does not answer any more"):
                await source.package(package(f"{number}.rpm"), tmp_path / "p" / str(number), Kept())
    assert len(server.heads) == asked == 8


async def test_one_package_that_fails_does_not_give_the_server_up(tmp_path: Path) -> None:
    answers = {"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": BUSY, "/b.rpm": ok(BODY)}
    async with mirror(answers) as server, feed(server.url(), tmp_path) as source:
        await source.repomd()
        for _ in range(3):
            await source.package(package("b.rpm"), tmp_path / "p" / "b", Kept())
        with pytest.raises(FetchFailed, match=r"/a\.rpm: the server answered 503"):
            await asyncio.gather(
                source.package(package("a.rpm"), tmp_path / "p" / "a", Kept()),
                *(source.package(package("b.rpm"), tmp_path / "p" / f"b{number}", Kept()) for number in range(3)),
            )


# Resuming


async def test_a_connection_that_ends_now_and_then_gets_there(tmp_path: Path) -> None:
    steps = [cut(BODY[:20])]
    steps += [rest(have, sent=BODY[have : have + 20]) for have in range(20, len(BODY) - 20, 20)]
    answer = in_turn(*steps, rest(len(BODY) - 20))
    async with fed(tmp_path, {"/a.rpm": answer}) as (server, source):
        kept = Kept()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}
    assert len(server.heads) > 20


async def test_a_server_that_sends_a_byte_at_a_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST_SMALL_STEPS", 10)
    steps = [cut(BODY[:1]), *(rest(have, sent=BODY[have : have + 1]) for have in range(1, 500))]
    async with fed(tmp_path, {"/a.rpm": in_turn(*steps)}) as (server, source):
        with pytest.raises(FetchFailed, match="no answer over HTTP"):
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert len(server.heads) == 1 + 10 + 7


async def test_a_file_that_changed_meanwhile_is_not_spliced(tmp_path: Path) -> None:
    old = BODY.replace(b"rpm", b"RPM")
    answer = in_turn(cut(old[:100], BODY, 'ETag: "old"'), ok(BODY, 'ETag: "new"'))
    async with fed(tmp_path, {"/a.rpm": answer}) as (server, source):
        kept = Kept()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}
    assert (header(server.heads[2], "Range"), header(server.heads[2], "If-Range")) == ("bytes=100-", '"old"')
    assert len(server.heads) == 3


async def test_parts_of_different_files_are_found_and_fetched_anew(tmp_path: Path) -> None:
    old = BODY.replace(b"rpm", b"RPM")
    answer = in_turn(cut(old[:100], BODY, 'ETag: W/"weak"'), rest(100), ok(BODY))
    async with fed(tmp_path, {"/a.rpm": answer}) as (server, source):
        kept = Kept()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}
    assert header(server.heads[2], "If-Range") is None
    assert header(server.heads[3], "Range") is None
    assert header(server.heads[3], "Cache-Control") == "no-cache"


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"", status="416 Range Not Satisfiable"),
        ok(BODY[50:], f"Content-Range: bytes 50-{len(BODY) - 1}/{len(BODY)}", status="206 Partial Content"),
        ok(BODY[100:], f"Content-Range: bytes 100-{len(BODY) - 1}/{len(BODY) + 5}", status="206 Partial Content"),
    ],
)
async def test_another_part_than_was_asked_for(tmp_path: Path, answer: bytes) -> None:
    steps = in_turn(cut(BODY[:100]), answer, ok(BODY))
    async with fed(tmp_path, {"/a.rpm": steps}) as (_server, source):
        kept = Kept()
        await source.package(package("a.rpm"), tmp_path / "p" / "a", kept)
    assert kept.files == {"a": BODY}


async def test_what_an_earlier_task_has_left_is_gone_on_with(tmp_path: Path) -> None:
    partial = tmp_path / "p" / "a"
    partial.parent.mkdir()
    partial.write_bytes(BODY[:77])
    async with fed(tmp_path, {"/a.rpm": rest(77)}) as (server, source):
        kept = Kept()
        await source.package(package("a.rpm"), partial, kept)
    assert kept.files == {"a": BODY}
    assert header(server.heads[1], "Range") == "bytes=77-"


async def test_a_partial_file_of_another_task_is_left_alone(tmp_path: Path) -> None:
    partial = tmp_path / "p" / "a"
    partial.parent.mkdir()
    partial.write_bytes(BODY[:77])
    async with fed(tmp_path, {"/a.rpm": ok(BODY), "/b.rpm": ok(BODY)}) as (server, source):
        with partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(FetchFailed, match="is being fetched by another task"):
                await source.package(package("a.rpm"), partial, Kept())
        await source.package(package("b.rpm"), tmp_path / "p" / "b", Kept())  # the server is not to blame
    assert partial.read_bytes() == BODY[:77]
    assert server.asked() == ["/repodata/repomd.xml", "/b.rpm"]


async def test_a_partial_file_that_is_whole_is_only_verified(tmp_path: Path) -> None:
    partial = tmp_path / "p" / "a"
    partial.parent.mkdir()
    partial.write_bytes(BODY)
    async with fed(tmp_path) as (server, source):
        kept = Kept()
        await source.package(package("a.rpm"), partial, kept)
    assert kept.files == {"a": BODY}
    assert server.asked() == ["/repodata/repomd.xml"]


async def test_what_was_fetched_is_left_to_the_next_task(tmp_path: Path) -> None:
    answer = in_turn(cut(BODY[:100]), BUSY)
    partial = tmp_path / "p" / "a"
    async with fed(tmp_path, {"/a.rpm": answer}) as (_server, source):
        with pytest.raises(FetchFailed):
            await source.package(package("a.rpm"), partial, Kept())
    assert partial.read_bytes() == BODY[:100]


# What differs


@pytest.mark.parametrize("body", [BODY[:-1] + b"!", BODY + b"!", b"short"])
async def test_a_package_that_differs(tmp_path: Path, body: bytes) -> None:
    async with fed(tmp_path, {"/a.rpm": ok(body)}) as (_server, source):
        with pytest.raises(FetchFailed, match=r"^a\.rpm") as raised:
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert may_have_changed(raised.value) is isinstance(raised.value, Differs) is (len(body) >= len(BODY))


async def test_a_cache_with_an_old_file_is_passed_by(tmp_path: Path) -> None:
    answer = in_turn(ok(BODY.upper()), ok(BODY))
    async with fed(tmp_path, {"/repodata/p.xml": answer}) as (server, source):
        await source.metadata(metadata_file("repodata/p.xml", is_size_told=False), tmp_path / "primary")
    assert (tmp_path / "primary").read_bytes() == BODY
    assert header(server.heads[2], "Cache-Control") == "no-cache"


async def test_a_redirect_keeps_the_range(tmp_path: Path) -> None:
    async with mirror({"/a.rpm": in_turn(cut(BODY[:100]), rest(100))}) as other:
        answers = {"/repodata/repomd.xml": ok(REPOMD), "/a.rpm": redirect(other.url("/a.rpm"))}
        async with mirror(answers) as server, feed(server.url(), tmp_path) as source:
            await source.repomd()
            await source.package(package("a.rpm"), tmp_path / "p" / "a", Kept())
    assert header(other.heads[1], "Range") == "bytes=100-"


# Trees and signatures


async def test_signatures_and_trees_are_optional(tmp_path: Path) -> None:
    async with fed(tmp_path) as (server, source):
        signature = await source.signature()
        assert (signature.asc, signature.key) == (None, None)
        assert await source.treeinfo() is None
        server.answers["/repodata/repomd.xml.asc"] = ok(b"signed")
        server.answers["/treeinfo"] = ok(b"[general]")
        signature = await source.signature()
        assert (signature.asc, signature.key) == (b"signed", None)
        tree = await source.treeinfo()
        assert tree is not None
        assert (tree.name, tree.content) == ("treeinfo", b"[general]")


async def test_a_file_of_a_tree_without_a_checksum_gets_one(tmp_path: Path) -> None:
    async with fed(tmp_path, {"/images/boot.iso": ok(BODY)}) as (_server, source):
        kept = Kept()
        stored = await source.tree_file(TreeFile(path="images/boot.iso"), tmp_path / "p" / "boot", kept.stored)
    assert kept.files == {"boot": BODY}
    assert (stored.algorithm, stored.checksum, stored.size_bytes) == ("sha256", sha256(BODY), len(BODY))


async def test_parts_of_a_file_without_checksum_are_not_joined_blindly(tmp_path: Path) -> None:
    answer = in_turn(cut(BODY[:100].upper(), BODY), ok(BODY))
    async with fed(tmp_path, {"/boot.iso": answer}) as (server, source):
        kept = Kept()
        await source.tree_file(TreeFile(path="boot.iso"), tmp_path / "p" / "boot", kept.stored)
    assert kept.files == {"boot": BODY}
    assert header(server.heads[2], "Range") is None


# What is reported


async def test_an_odd_name_is_not_told(tmp_path: Path) -> None:
    async with fed(tmp_path) as (_server, source):
        with pytest.raises(FetchFailed) as raised:
            await source.package(package("<SECRET> x.rpm"), tmp_path / "p" / "a", Kept())
    assert "SECRET" not in str(raised.value)
    assert f"the package with checksum {sha256(BODY)}" in str(raised.value)
