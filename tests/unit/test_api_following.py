"""Streams that are written to together: which of them gets what, and which goes on by itself."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_api.front.direct import Direct, framed
from pulp_api.streaming import sse
from pulp_api.streaming.following import Following, StreamFollower
from pulp_api.streaming.hub import Hub as EventHub
from pulp_api.streaming.outlets import SharedPart
from pulp_api.streaming.recent_events import Place, RecentEvents, RecentSpan
from pulp_api.streaming.streamed_events import Choice, StreamedEvent
from pulp_events.cursor import Cursor
from pulp_events.errors import ReadModelUnavailable
from pulp_events.filters import Filter, Origin

TASKS = [UUID(int=number) for number in range(4)]
PATIENCE_S = 30.0
EVERYTHING = Choice(Filter())


def event(offset: int, *, task: UUID = TASKS[0], size: int = 10) -> StreamedEvent:
    return StreamedEvent(
        partition=0,
        offset=offset,
        type="org.pulpproject.task.progress.v1",
        task_id=task,
        accepted=None,
        name=b"event: x\n",
        data=b"data: " + str(offset).encode().ljust(size) + b"\n\n",
        origin=Origin(operation="sync", resources=(f"repository:{task.int}",), actor="user:jo"),
        place=f"id: {offset}\n".encode(),
    )


class Client:
    """A follower's client, which reads everything unless told not to."""

    def __init__(self, choice: Choice = EVERYTHING) -> None:
        self.got: list[bytes] = []
        self.takes = True
        self.most_text_bytes = 64 * 1024
        self.follower = StreamFollower(choice, self)

    def write(self, part: SharedPart) -> bool:
        if self.takes:
            self.got.append(part.plain)
        return self.takes

    @property
    def offsets(self) -> list[int]:
        """The offsets of the events that it has received."""
        lines = b"".join(self.got).split(b"\n")
        return [int(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]


class Scene:
    """Followers at the end of a log."""

    def __init__(self) -> None:
        self.recent = RecentEvents((0,))
        self.error: Exception | None = None
        self.following = Following(self._tell)
        self.following.begin(self.recent)
        self.tasks: list[asyncio.Task[Place]] = []

    async def _tell(self, events: Sequence[StreamedEvent], choice: Choice) -> None:
        if self.error is not None:
            raise self.error

    async def follow(self, client: Client, most_s: float = PATIENCE_S) -> asyncio.Task[Place]:
        async def follow() -> Place:
            with self.following.following(client.follower, self.recent.end):
                await client.follower.until_released(most_s)
            return client.follower.place

        self.tasks.append(asyncio.create_task(follow()))
        await asyncio.sleep(0)
        return self.tasks[-1]

    def happens(self, events: Sequence[StreamedEvent]) -> None:
        self.recent.add(events)
        self.recent.show()
        self.following.go_on()

    async def settle(self) -> None:
        """Wait until everything has been written."""
        async with asyncio.timeout(PATIENCE_S):
            while self.following._writing is not None:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    made.following.close()
    await asyncio.gather(*made.tasks)


async def test_all_with_one_choice_get_the_same_bytes(scene: Scene) -> None:
    clients = [Client() for _ in range(120)]
    for client in clients:
        await scene.follow(client)
    scene.happens([event(0), event(1)])
    await scene.settle()
    scene.happens([event(2)])
    await scene.settle()
    assert [client.offsets for client in clients] == [[0, 1, 2]] * 120
    assert len({id(part) for client in clients for part in client.got}) == 2
    assert clients[0].got[0] == framed(b"id: 0\nevent: x\ndata: 0         \n\nid: 1\nevent: x\ndata: 1         \n\n")


async def test_a_client_that_cannot_take_more_goes_on_by_itself_from_where_it_is(scene: Scene) -> None:
    slow, fast = Client(), Client()
    waiting = await scene.follow(slow)
    await scene.follow(fast)
    scene.happens([event(0)])
    await scene.settle()
    slow.takes = False
    scene.happens([event(1)])
    assert (await waiting).offsets == (1,)
    scene.happens([event(2)])
    await scene.settle()
    assert (slow.offsets, fast.offsets) == ([0], [0, 1, 2])


async def test_one_that_comes_while_others_are_written_to_misses_nothing(scene: Scene) -> None:
    first, late = Client(), Client()
    await scene.follow(first)
    scene.happens([event(0)])  # not written yet
    await scene.follow(late)  # it starts after this event
    scene.happens([event(1)])
    await scene.settle()
    assert (first.offsets, late.offsets) == ([0, 1], [1])


async def test_each_gets_what_it_has_chosen(scene: Scene) -> None:
    of_task, of_repository, of_type, nothing = (
        Client(Choice(Filter(tasks=(TASKS[1],)))),
        Client(Choice(Filter(resources=("repository:2", "repository:3")))),
        Client(Choice(Filter(types=("progress",)))),
        Client(Choice(Filter(operations=("publish",)))),
    )
    for client in (of_task, of_repository, of_type, nothing):
        await scene.follow(client)
    scene.happens([event(number, task=TASKS[number % 4]) for number in range(8)])
    await scene.settle()
    assert (of_task.offsets, of_repository.offsets) == ([1, 5], [2, 3, 6, 7])
    assert (of_type.offsets, nothing.got) == (list(range(8)), [])
    scene.happens([event(8, task=TASKS[1])])
    await scene.settle()
    assert of_task.offsets == [1, 5, 8]
    assert nothing.follower.place.offsets == (9,)  # its pings name this place


async def test_what_is_written_at_once_is_bounded(scene: Scene) -> None:
    client = Client()
    await scene.follow(client)
    scene.happens([event(number, size=20_000) for number in range(10)])
    await scene.settle()
    assert client.offsets == list(range(10))
    assert max(map(len, client.got)) < 70_000


async def test_a_server_that_is_behind_catches_up_by_few_writes(scene: Scene) -> None:
    plain, compressed = Client(), Client()
    compressed.most_text_bytes = 256 * 1024
    for client in (plain, compressed):
        await scene.follow(client)
    for number in range(10):
        scene.happens([event(number, size=30_000)])
    await scene.settle()
    assert plain.offsets == compressed.offsets == list(range(10))
    assert (len(plain.got), len(compressed.got)) == (5, 2)


async def test_many_choices_that_select_nothing_let_others_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.streaming.following._AT_ONCE_S", 0)
    for number in range(50):
        await scene.follow(Client(Choice(Filter(tasks=(UUID(int=1000 + number),)))))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(others())
    scene.happens([event(0)])
    await scene.settle()
    running.cancel()
    assert turns >= 50


def test_what_was_made_is_forgotten_also_where_nothing_was_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.streaming.recent_events._MOST_MADE_BYTES", 10_000)
    recent = RecentEvents((0,))
    place = recent.end
    for number in range(30):
        recent.add([event(number)])
        recent.show()
        assert place.span is not None
        for task in range(10):
            assert not place.span.chunks(Choice(Filter(tasks=(UUID(int=1000 + task),))))
        place = place.span.end
    assert sum(map(len, recent._made._chunks.values())) <= 110


async def test_a_ping_never_takes_a_subscriber_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be released while its user's rights are being checked again."""
    monkeypatch.setattr(sse, "_RIGHTS_S", 0)
    monkeypatch.setattr(sse, "_PING_S", 0)
    client = Client()

    class Hub:
        async def items(self, start: Sequence[int], follower: StreamFollower) -> AsyncIterator[Any]:
            with scene.following.following(follower, scene.recent.end):
                scene.happens([event(0), event(1)])
                await scene.settle()
                yield []
            yield RecentSpan((), follower.place)

        async def tell_origins(self, events: Sequence[StreamedEvent], choice: Choice) -> None:
            """Nothing: the origins are known."""

    async def ended() -> None:
        for follower in list(scene.following._followers.get(EVERYTHING, ())):
            follower.release()

    cursor = Cursor("A" * 22, (0,))
    sent = [part async for part in sse.messages(cast(EventHub, Hub()), cursor, EVERYTHING, ended, outlet=client)]
    places = [int(each) for each in re.findall(rb"id: A{22}\.(\d+)", b"".join(sent))]
    assert client.offsets == [0, 1]
    assert places == [0, 2, 2]


async def test_those_at_different_places_each_get_what_they_lack(scene: Scene) -> None:
    clients = []
    for number in range(5):
        clients.append(Client())
        await scene.follow(clients[-1])
        scene.happens([event(number)])
    await scene.settle()
    assert [client.offsets for client in clients] == [list(range(first, 5)) for first in range(5)]


async def test_who_is_too_far_behind_reads_the_log(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    waiting = await scene.follow(client)
    monkeypatch.setattr("pulp_api.streaming.recent_events._MOST_EVENTS", 3)
    scene.happens([event(number) for number in range(5)])
    assert (await waiting).offsets == (0,)
    assert client.got == []


async def test_a_stream_whose_filter_cannot_be_judged_goes_on_by_itself(scene: Scene) -> None:
    client = Client(Choice(Filter(operations=("sync",))))
    waiting = await scene.follow(client)
    scene.error = ReadModelUnavailable("Postgres does not answer")
    scene.happens([event(0)])
    assert (await waiting).offsets == (0,)
    assert client.got == []


async def test_a_fault_lets_every_stream_go_on_by_itself_and_is_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [Client(), Client(Choice(Filter(types=("finished",))))]
    waiting = [await scene.follow(client) for client in clients]
    scene.error = ZeroDivisionError("a bug")
    scene.happens([event(0)])
    assert [(await each).offsets for each in waiting] == [(0,)] * 2
    assert "each goes on by itself" in caplog.text


async def test_a_stream_is_asked_regularly_whether_its_user_may_have_it(scene: Scene) -> None:
    client = Client()
    waiting = await scene.follow(client, most_s=0)
    assert (await waiting).offsets == (0,)
    scene.happens([event(0)])
    assert client.got == []


async def test_while_it_is_asked_a_stream_is_written_to_and_pinged_until_it_is_released(scene: Scene) -> None:
    client = Client()
    with scene.following.following(client.follower, scene.recent.end):
        assert not await client.follower.until_released(0)
        scene.happens([event(0)])
        await scene.settle()
        client.follower.ping(b"ping", 7.0)
        assert (client.offsets, client.got[-1], client.follower.sent_at_s) == ([0], framed(b"ping"), 7.0)
        client.takes = False
        client.follower.ping(b"ping", 8.0)
        assert (client.follower.is_written_to, await client.follower.until_released(PATIENCE_S)) == (False, True)
        client.takes = True
        scene.happens([event(1)])
        await scene.settle()
    assert (client.offsets, client.follower.place.offsets) == ([0], (1,))


RANDOM_EVENTS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.sampled_from([10, 30_000])), max_size=40)


@given(RANDOM_EVENTS, st.data())
def test_whoever_is_anywhere_gets_what_it_lacks_and_then_what_all_get(
    happened: list[tuple[bool, int, int]], data: st.DataObject
) -> None:
    """Compared with a plain list of all events. Streams may be behind the end in one partition and before it in
    another."""
    recent, ends, log = RecentEvents((0, 0, 0)), [0, 0, 0], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulp_api.streaming.recent_events._MOST_EVENTS", 15)
        for is_shown, partition, size in happened:
            log.append(event(ends[partition], size=size))
            log[-1].partition = partition
            ends[partition] += 1
            recent.add([log[-1]])
            if is_shown:
                recent.show()
        recent.show()
    assert recent.end.offsets == tuple(ends)
    offsets = [data.draw(st.integers(0, end + 1)) for end in ends]
    wanted = [each for each in log if each.offset >= offsets[each.partition]]
    near = recent.near(offsets)
    if near is None:
        assert len(log) > 15
        return
    found, place = near
    if all(offset <= end for offset, end in zip(offsets, ends, strict=True)):
        behind = list(found)
        assert all(offset <= other for offset, other in zip(offsets, place.offsets, strict=True))
        while place is not recent.end:
            assert place.span is not None
            assert sum(len(each.data) for each in place.span.events[1:]) <= 64 * 1024
            behind += place.span.events
            place = place.span.end
        assert behind == wanted
    else:
        assert (found, place) == (wanted, recent.end)


class Cycle:
    """The part of uvicorn's answer that `Direct` sees."""

    def __init__(self) -> None:
        self.chunked_encoding = True
        self.scope = {"method": "GET", "path": "/events/"}
        self.disconnected = self.response_complete = False
        self.flow, self.transport = self, self
        self.write_paused = False
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def send(self, message: dict[str, Any]) -> None:
        self.written.append(message.get("body", b"head"))
        self.response_complete = message.get("more_body") is False


@pytest.mark.parametrize(
    ("change", "is_written"),
    [
        ({}, True),
        ({"write_paused": True}, False),
        ({"disconnected": True}, False),
        ({"response_complete": True}, False),
        ({"chunked_encoding": False}, False),
        ({"chunked_encoding": None}, False),  # the answer has not begun
    ],
)
def test_only_an_answer_in_chunks_that_its_client_takes_is_written_to(
    change: dict[str, bool | None], is_written: bool
) -> None:
    cycle = Cycle()
    for name, value in change.items():
        setattr(cycle, name, value)
    direct = Direct(cycle, nothing)  # type: ignore[arg-type]  # it has all that is looked at
    assert direct.write(framed(b"abc")) is is_written
    assert cycle.written == ([b"3\r\nabc\r\n"] if is_written else [])
    assert direct.size_bytes == (8 if is_written else 0)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""


class Continued:
    """An application that leaves a stream behind."""

    def __init__(self) -> None:
        self.cycle = Cycle()
        self.direct = Direct(self.cycle, self)  # type: ignore[arg-type]  # as above
        self.has_returned = asyncio.Event()
        self.ends = 0
        self.error: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start"})
        self.direct.continue_with(self.stream, self.end)
        self.has_returned.set()

    async def stream(self) -> None:
        await self.direct.send(b"first")
        if self.error is not None:
            raise self.error
        if self.cycle.scope["path"] == "/forever/":
            await asyncio.Event().wait()

    def end(self) -> None:
        self.ends += 1

    async def run(self) -> None:
        await self.direct(self.cycle.scope, None, self.cycle.send)  # type: ignore[arg-type]  # nothing is received


async def test_what_an_application_leaves_behind_continues_its_answer() -> None:
    made = Continued()
    await made.run()
    assert made.cycle.written == [b"head", b"first", b""]
    assert (made.ends, made.direct.size_bytes, made.cycle.response_complete) == (1, 5, True)


async def test_a_client_that_goes_ends_what_continues_its_answer() -> None:
    made = Continued()
    made.cycle.scope["path"] = "/forever/"
    running = asyncio.create_task(made.run())
    await made.has_returned.wait()
    assert made.ends == 0
    made.direct.lost()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert (made.ends, made.cycle.response_complete) == (1, False)


async def test_a_client_that_has_gone_gets_nothing_more() -> None:
    made = Continued()
    made.direct.lost()
    await made.run()
    assert (made.cycle.written, made.ends) == ([b"head"], 1)


async def test_a_stream_that_breaks_is_told_and_left_incomplete(caplog: pytest.LogCaptureFixture) -> None:
    made = Continued()
    made.error = ZeroDivisionError("a bug")
    await made.run()
    assert (made.ends, made.cycle.response_complete) == (1, False)  # so the server closes the connection
    assert "a stream broke" in caplog.text
    assert "a bug" in caplog.text
