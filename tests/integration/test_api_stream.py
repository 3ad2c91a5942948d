"""Server-sent events of a real process on a real Kafka: replay, then live, each event once, whatever breaks."""

import asyncio
import gzip
import json
import random
import time
import zlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from msgspec import Raw
from pulp_accounts.passwords import hash_password
from pulp_accounts.users import Role, add_user
from pulp_events import admin
from pulp_events.cursor import Cursor
from pulp_events.events import Event, Resource
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support.api_process import LIMIT_S, ApiProcess, EventSource, add_admin, api_process
from tests.support.backends import Backend
from tests.support.events import accepted, finished, progress, started
from tests.support.issuer import AUDIENCE, Issuer, issuer
from tests.support.projection import execute
from tests.support.retention import delete_records
from tests.support.site import PASSWORD, V3

FROM_THE_START = "?since=2000-01-01T00:00:00Z"
Place = tuple[int, int]


class Streams:
    """A log, and an API on it."""

    def __init__(self, kafka: str, topics: Topics, log: KafkaLog, api: ApiProcess) -> None:
        self.kafka, self.topics, self.log, self.api = kafka, topics, log, api

    async def happens(self, count: int, *, payload: str = "") -> None:
        """Append this many events, over all partitions."""
        arguments = Raw(b'{"x": "%s"}' % payload.encode())
        events = [accepted(uuid4(), arguments=arguments) for _ in range(count)]
        await asyncio.gather(*(self.log.append(event, number % PARTITIONS) for number, event in enumerate(events)))

    async def append(self, events: Sequence[Event], partition: int) -> list[Place]:
        return [await self.log.append(event, partition) for event in events]

    def written(self) -> list[Place]:
        """Where every record of the log is, as another reader finds them."""
        ends = admin.end_offsets(self.kafka, self.topics.events, PARTITIONS)
        with Reader(self.kafka, self.topics.events, dict.fromkeys(range(PARTITIONS), 0)) as reader:
            return [(record.partition, record.offset) for _, records in reader.until(ends) for record in records]

    async def read(self, source: EventSource, count: int, query: str = FROM_THE_START) -> None:
        """Follow the stream from the source's place, until it has this many more messages."""
        wanted = len(source.messages) + count
        headers = {"Last-Event-ID": source.last_id} if source.last_id else {}
        async with asyncio.timeout(LIMIT_S), self.api.events(query, headers) as answer:
            async for data in answer.aiter_bytes():
                source.feed(data)
                if len(source.messages) >= wanted:
                    return
        raise AssertionError("the stream has ended")


@pytest.fixture
async def streams(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Streams]:
    await add_admin(database)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        yield Streams(backend.kafka, topics, log, api)
    await log.close()


def assert_is_the_log(streams: Streams, found: list[Place]) -> None:
    """Each record once, and each partition's in order."""
    assert sorted(found) == sorted(streams.written())
    for partition in range(PARTITIONS):
        offsets = [offset for number, offset in found if number == partition]
        assert offsets == sorted(offsets)


async def test_replay_then_live(streams: Streams) -> None:
    await streams.happens(500)
    source = EventSource()
    following = asyncio.create_task(streams.read(source, 1000))
    for _ in range(10):
        await streams.happens(50)
    await following
    assert_is_the_log(streams, [message.place for message in source.messages])
    assert {message.name for message in source.messages} == {"org.pulpproject.task.accepted.v1"}
    assert all(message.data["event"]["subject"] for message in source.messages)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_stream_that_is_cut_anywhere_goes_on_exactly_there(streams: Streams, encoding: str) -> None:
    """The connections together deliver the log: each event once."""
    chance = random.Random(20261124)
    await streams.happens(1500)
    writing = asyncio.create_task(write_on(streams))
    source, connections = EventSource(), 0
    async with asyncio.timeout(LIMIT_S):
        while len(source.messages) < 2500:
            connections += 1
            left = chance.randrange(1, 60_000)
            source.reconnect()
            headers = {"Last-Event-ID": source.last_id} if source.last_id else {}
            async with streams.api.events(FROM_THE_START, {**headers, "Accept-Encoding": encoding}) as answer:
                assert answer.headers.get("content-encoding", "identity") == encoding
                async for data in answer.aiter_bytes():
                    source.feed(data[:left])
                    left -= len(data)
                    if left <= 0 or len(source.messages) >= 2500:
                        break
    await writing
    assert connections >= 10
    assert_is_the_log(streams, [message.place for message in source.messages])


async def write_on(streams: Streams) -> None:
    for _ in range(20):
        await streams.happens(50)


async def test_a_stream_from_now_on_resumes_also_if_it_saw_nothing(streams: Streams) -> None:
    await streams.happens(10)
    source = EventSource()
    async with asyncio.timeout(LIMIT_S), streams.api.events() as answer:
        async for data in answer.aiter_bytes():
            source.feed(data)
            break
    assert (source.messages, source.last_id != "") == ([], True)
    await streams.happens(7)
    # Reads, and so a stream without a cursor, begin at the projection's position, which is the start here.
    await streams.read(source, 17, "")
    assert_is_the_log(streams, [message.place for message in source.messages])


async def test_filters(streams: Streams) -> None:
    mine, other = uuid4(), uuid4()
    story = [accepted(mine), started(mine), *(progress(mine, sequence=n) for n in range(1, 4)), finished(mine)]
    places = await streams.append(story, 1)
    places += await streams.append([accepted(other), started(other), finished(other)], 1)
    grouped = uuid4()
    zoo = (Resource("repository", "zoo"),)
    places += await streams.append([accepted(grouped, resources=zoo, group_id=UUID(int=0x47)), started(grouped)], 1)
    await streams.happens(20)

    async def found(query: str, count: int) -> list[Place]:
        source = EventSource()
        await streams.read(source, count, FROM_THE_START + query)
        return [message.place for message in source.messages]

    assert await found(f"&task={mine}", 6) == places[:6]
    assert await found(f"&task=/pulp/api/v3/tasks/{mine}/", 6) == places[:6]
    assert await found(f"&task={mine}&type=progress", 3) == places[2:5]
    types = "&type=started&type=org.pulpproject.task.finished.v1"
    assert await found(f"&task={mine}{types}", 2) == [places[1], places[5]]
    assert len(await found("&type=accepted", 23)) == 23
    assert await found(f"&task={mine}&task={other}&type=finished", 2) == [places[5], places[8]]
    assert await found(f"&operation=sync&actor=user:admin&task={mine}", 6) == places[:6]
    assert await found("&group=00000000-0000-0000-0000-000000000047&resource=repository:zoo", 2) == places[9:]
    await resumes_behind_a_filter(streams, mine)


async def test_where_a_stream_begins_and_how_its_events_are_named(streams: Streams) -> None:
    await streams.happens(8)
    for since in ("beginning", "2000-01-01T00:00:00+00:00"):
        source = EventSource()
        await streams.read(source, 8, f"?since={since}&names=message")
        assert_is_the_log(streams, [message.place for message in source.messages])
        assert {message.name for message in source.messages} == {"message"}
    place, rest = source.messages[2].id, [message.place for message in source.messages[3:]]
    source = EventSource()
    await streams.read(source, 5, f"?since={place}")
    assert [message.place for message in source.messages] == rest
    for offset, since in ((2, "now"), (3, "2999-01-01T00:00:00Z")):  # a time in the future means the same
        source = EventSource()
        async with asyncio.timeout(LIMIT_S), streams.api.events(f"?since={since}") as answer:
            pieces = answer.aiter_bytes()
            source.feed(await anext(pieces))
            await streams.happens(4)
            while len(source.messages) < 4:
                source.feed(await anext(pieces))
        expected = [(partition, offset) for partition in range(PARTITIONS)]
        assert sorted(message.place for message in source.messages) == expected


async def resumes_behind_a_filter(streams: Streams, task_id: UUID) -> None:
    source = EventSource()
    await streams.read(source, 6, f"{FROM_THE_START}&task={task_id}")
    [place] = await streams.append([progress(task_id, sequence=9)], 1)
    await streams.read(source, 1, f"?task={task_id}")
    assert source.messages[-1].place == place


async def test_a_record_that_is_no_event_is_told_and_ends_nothing(streams: Streams) -> None:
    await streams.append([accepted(uuid4())], 0)
    garbage = [RawRecord(b"k", b"garbage\n\ndata: x", (), 0), RawRecord(b"k", None, (), 0)]
    producer = raw_producer.make(streams.kafka)
    await asyncio.to_thread(raw_producer.append, producer, streams.topics.events, garbage)
    await streams.append([accepted(uuid4())], 0)
    source = EventSource()
    await streams.read(source, 4)
    names = [message.name.split(".")[-2:] for message in source.messages]
    assert names == [["accepted", "v1"], ["undecodable"], ["undecodable"], ["accepted", "v1"]]
    assert [message.data["event"] for message in source.messages[1:3]] == [None, None]
    assert all(message.data["error"] for message in source.messages[1:3])


async def test_a_subscriber_that_never_reads_hurts_nobody(streams: Streams) -> None:
    async with streams.api.events(headers={"Accept-Encoding": "identity"}):
        source = EventSource()
        following = asyncio.create_task(streams.read(source, 600))
        for _ in range(6):
            await streams.happens(100, payload="x" * 100_000)
        await following
        assert_is_the_log(streams, [message.place for message in source.messages])
        async with streams.api.client() as client:
            assert (await client.get(f"{V3}/readyz/")).json()["ready"] is True


def old_id(topic_id: str, offsets: list[int]) -> str:
    """An id as release 0.1 sent it, which a client may have kept."""
    return urlsafe_b64encode(json.dumps([topic_id, offsets]).encode()).decode().rstrip("=")


async def test_what_no_stream_can_begin_with(streams: Streams) -> None:
    await streams.happens(4)
    source = EventSource()
    await streams.read(source, 4)
    foreign = "A" * 22 + source.last_id[22:]
    behind = str(Cursor.parse(source.last_id)._replace(offsets=(0, 2, 0, 0)))  # the log ends at 1
    topic_id = admin.describe(streams.kafka, streams.topics.events).topic_id
    cut_off = str(Cursor.parse(source.last_id)._replace(offsets=(0, 1, 1, 1)))
    await asyncio.to_thread(delete_records, streams.kafka, streams.topics.events, {0: 1})  # all of this partition
    cases: list[tuple[str, dict[str, str], int]] = [
        ("since=yesterday", {}, 400),
        ("since=2026-11-24T12:00:00", {}, 400),
        ("task=nonsense", {}, 400),
        ("type=nonsense", {}, 400),
        ("from=start", {}, 400),
        ("operation=", {}, 400),
        ("resource=zoo", {}, 400),
        ("actor=jo", {}, 400),
        ("group=nonsense", {}, 400),
        ("names=nonsense", {}, 400),
        (f"since={behind}", {}, 410),
        (f"since={cut_off}", {}, 410),
        ("", {"Last-Event-ID": "nonsense"}, 400),
        ("", {"Last-Event-ID": foreign}, 410),
        ("last_event_id=nonsense", {}, 400),
        ("", {"Last-Event-ID": old_id("another topic", [0] * PARTITIONS)}, 410),
        ("", {"Last-Event-ID": old_id(topic_id, [0] * (PARTITIONS + 1))}, 410),
        ("", {"Last-Event-ID": behind}, 410),
        ("", {"Last-Event-ID": cut_off}, 410),
        ("", {}, 410),  # the read model is empty, so the first event comes next
        (f"last_event_id={cut_off}", {}, 410),
    ]
    async with streams.api.client() as client:
        for query, headers, status in cases:
            answer = await client.get(f"{V3}/events/?{query}", headers=headers)
            assert (answer.status_code, "detail" in answer.json()) == (status, True), (query, headers)
        refused = await client.get(f"{V3}/events/?since={cut_off}")
        assert refused.json()["detail"].startswith("event 0:0 comes next, and the log begins at 0:1: Kafka has deleted")
        for since in (source.last_id, "beginning", "now", "2000-01-01T00:00:00Z"):  # nothing is missing after these
            head = await client.head(f"{V3}/events/?since={since}")
            assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_a_graceful_stop_ends_the_streams_with_a_place_to_go_on(streams: Streams) -> None:
    await streams.happens(8)
    source = EventSource()
    rest = b""
    async with asyncio.timeout(LIMIT_S), streams.api.events(FROM_THE_START) as answer:
        pieces = answer.aiter_bytes()
        while len(source.messages) < 8:
            source.feed(await anext(pieces))
        assert await streams.api.stopped() == 0
        async for data in pieces:
            rest += data
    source.feed(rest)
    assert rest.startswith(b"retry: 1000\nid: ")
    assert len(source.messages) == 8


async def test_a_compressed_stream_is_one_whole_file(streams: Streams) -> None:
    """What was sent before its followers are written to, together with others, and at a stop, checksum included."""
    await streams.happens(300)
    data = b""
    async with asyncio.timeout(LIMIT_S), streams.api.events(FROM_THE_START, {"Accept-Encoding": "gzip, br"}) as answer:
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
        pieces = answer.aiter_raw()
        for _ in range(5):
            data += await anext(pieces)
            await streams.happens(20)
        await streams.happens(1)
        unpacked = b""
        while unpacked.count(b"\ndata: ") < 401:
            data += await anext(pieces)
            unpacked = zlib.decompressobj(wbits=31).decompress(data)
        assert await streams.api.stopped() == 0
        async for piece in pieces:
            data += piece
    source = EventSource()
    source.feed(gzip.decompress(data))
    assert_is_the_log(streams, [message.place for message in source.messages])
    assert len(data) < len(gzip.decompress(data)) / 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("delete from users where name = 'jo'", "user jo was removed"),
        (
            f"update users set password_hash = '{hash_password('another')}' where name = 'jo'",
            "another role or password",
        ),
        ("update users set role = 'operator' where name = 'jo'", "another role"),
    ],
)
async def test_a_stream_ends_once_its_user_may_not_have_it(
    streams: Streams, database: str, change: str, told: str
) -> None:
    await add(database, "jo", Role.VIEWER)
    async with (
        httpx.AsyncClient(base_url=streams.api.url, auth=("jo", PASSWORD), timeout=LIMIT_S, trust_env=False) as client,
        client.stream("GET", f"{V3}/events/") as answer,
        asyncio.timeout(LIMIT_S),
    ):
        chunks = answer.aiter_bytes()
        await anext(chunks)
        await execute(database, change)
        rest = b"".join([chunk async for chunk in chunks])  # until the server ends it
    last = rest.rpartition(b"event: failure")[2].decode()
    assert told in last
    async with streams.api.client() as client, client.stream("GET", f"{V3}/events/") as other:
        assert other.status_code == 200  # all other streams go on


class Logins:
    """An API that knows an issuer and believes a proxy on this machine, with users whose names begin with `jo`."""

    def __init__(self, api: ApiProcess, database: str, idp: Issuer) -> None:
        self._api, self._database, self._idp = api, database, idp

    def client(self, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._api.url, timeout=LIMIT_S, trust_env=False, **more)

    async def by_token(self, name: str) -> httpx.AsyncClient:
        await add(self._database, name, Role.VIEWER)
        async with self.client(auth=(name, PASSWORD)) as client:
            made = (await client.post(f"{V3}/tokens/", json={"name": "ci"})).json()
        return self.client(headers={"Authorization": f"Bearer {made['token']}"})

    async def by_session(self, name: str) -> httpx.AsyncClient:
        await add(self._database, name, Role.VIEWER)
        client = self.client()
        assert (await client.post(f"{V3}/login/", auth=(name, PASSWORD))).status_code == 201
        return client

    async def by_issuer(self, name: str, lasts_s: int = 600) -> httpx.AsyncClient:
        token = self._idp.token(sub=name, exp=int(time.time()) + lasts_s)
        return self.client(headers={"Authorization": f"Bearer {token}"})

    async def by_proxy(self, name: str) -> httpx.AsyncClient:
        await add(self._database, name, Role.VIEWER)
        return self.client(headers={"X-Remote-User": name})


async def test_a_stream_ends_with_its_login_however_its_user_logged_in(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    """All at the same time, since each waits until the rights are checked again."""
    await add_admin(database)
    begun: dict[str, asyncio.Event] = {}

    async def last_of(name: str, client: httpx.AsyncClient) -> str:
        """The end of a stream that the server has ended."""
        async with client.stream("GET", f"{V3}/events/") as answer:
            assert answer.status_code == 200, await answer.aread()
            data = b""
            async for piece in answer.aiter_bytes():
                begun[name].set()
                data = (data + piece)[-2000:]
        return data.rpartition(b"event: failure")[2].decode()

    with issuer() as idp:
        settings = {
            "PULP_OIDC_ISSUER": idp.url,
            "PULP_OIDC_AUDIENCE": AUDIENCE,
            "PULP_OIDC_ROLES": "pulp-users=viewer",
            "PULP_OIDC_SKEW_S": "0",
            "PULP_API_REMOTE_USER_HEADER": "X-Remote-User",
            "PULP_API_REMOTE_USER_PROXIES": "127.0.0.1",
        }
        async with api_process(backend.kafka, database, topics, tmp_path, settings=settings) as api:
            logins = Logins(api, database, idp)
            clients: dict[str, httpx.AsyncClient] = {}
            for way in (logins.by_token, logins.by_session, logins.by_issuer, logins.by_proxy):
                for name in (f"jo-{way.__name__}-removed", f"kim-{way.__name__}"):
                    clients[name] = await way(name)
            clients["jo-token-revoked"] = await logins.by_token("jo-token-revoked")
            clients["jo-session-over"] = await logins.by_session("jo-session-over")
            clients["jo-jwt-expired"] = await logins.by_issuer("jo-jwt-expired", lasts_s=15)
            begun |= {name: asyncio.Event() for name in clients}
            async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
                for client in clients.values():
                    stack.push_async_callback(client.aclose)
                ends = {name: asyncio.create_task(last_of(name, client)) for name, client in clients.items()}
                for end in ends.values():
                    stack.callback(end.cancel)
                await asyncio.gather(*(each.wait() for each in begun.values()))
                await execute(database, "delete from users where right(name, 8) = '-removed'")
                revoked = clients["jo-token-revoked"]
                [token] = (await revoked.get(f"{V3}/tokens/")).json()["results"]
                assert (await revoked.delete(token["pulp_href"])).status_code == 200
                over = clients["jo-session-over"]
                csrf = {"X-CSRFToken": over.cookies["csrftoken"]}
                assert (await over.delete(f"{V3}/login/", headers=csrf)).status_code == 204
                for name, end in ends.items():
                    if name.startswith("jo"):
                        assert f"user {name} was removed, or" in await end
                assert [name for name, end in ends.items() if not end.done()] == [
                    name for name in clients if name.startswith("kim")
                ]


async def add(database: str, name: str, role: Role) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await add_user(connection, name, PASSWORD, role)
