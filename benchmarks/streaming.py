"""`stream`: thousands of readers of event streams on one API; `tail`: how late one reader gets an event."""

import asyncio
import json
import sys
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

import aiokafka
from aiokafka import AIOKafkaConsumer
from confluent_kafka import KafkaError, Message, Producer
from pulp_deploy.local.ports import free_ports
from pulp_events.codec import HEADERS, encode, key_of, type_of
from pulp_events.events import Event
from pulp_events.kafka import client_settings
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader

from benchmarks.footprint import pss_mib
from benchmarks.http import Client
from benchmarks.load import EVENTS_PER_TASK, lives
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, at_most, never_above, percentile, ratio_at_most
from benchmarks.scene import LIMIT_S, PARTITIONS, Process, Scene, Servers, scene
from benchmarks.serving import PASSWORD, USER, client, serving
from benchmarks.stream_readers import by_partition

RATE: Final = 1000
_TICK_S: Final = 0.01
_PROCESSES: Final = 2
_EVENTS: Final = "/pulp/api/v3/events/?since=now"
_LIMITS: Final = {
    name: "4000"
    for name in ("PULP_API_CLIENTS", "PULP_API_CLIENTS_PER_ADDRESS", "PULP_API_STREAMS", "PULP_API_STREAMS_PER_ADDRESS")
}
_REPOSITORIES: Final = 300
Wanted = Callable[[Event], bool]
Place = tuple[int, int]


def _type(name: str) -> Wanted:
    return lambda event: type_of(event) == f"org.pulpproject.task.{name}.v1"


def _repository(number: int) -> Wanted:
    return lambda event: event.task_id.int % 500 == number  # as `lives` chooses it


_COARSE: Final[Mapping[str, Wanted]] = {
    f"{_EVENTS}&type=finished": _type("finished"),
    f"{_EVENTS}&type=progress&actor=user:admin": _type("progress"),
    f"{_EVENTS}&operation=sync": lambda event: True,
    f"{_EVENTS}&operation=publish": lambda event: False,
    f"{_EVENTS}&names=message": lambda event: True,
}
_FINE: Final[Mapping[str, Wanted]] = {
    f"{_EVENTS}&resource=repository:repo-{number}": _repository(number) for number in range(_REPOSITORIES)
}
_PATHS: Final[Mapping[str, Wanted]] = {_EVENTS: lambda event: True, **_COARSE, **_FINE}


def _everything(readers: int) -> list[str]:
    return [_EVENTS] * readers


def _mixed(readers: int) -> list[str]:
    """Half of them without a filter, a fifth with one of five, the others each with the repository of its own."""
    coarse, fine = readers // 5, readers * 3 // 10
    return [
        *_everything(readers - coarse - fine),
        *islice(cycle(_COARSE), coarse),
        *islice(cycle(_FINE), fine),
    ]


async def stream(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Readers of all events; then others with mixed filters."""
    readers = sizes.of(2000, 40)
    found: dict[str, float] = {}
    for name, paths in (("everything", _everything(readers)), ("mixed", _mixed(readers))):
        async with serving(servers, env_of=lambda _: _LIMITS) as (made, port):
            [api] = [process for process in made.running if process.name == "api"]
            values = await _streamed(made, api, port, paths, sizes)
            found |= {f"{name}: {metric}": value for metric, value in values.items()}
    return found


async def stream_barely(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same bytes from a process that does nothing but write them, to the readers of all events."""
    async with scene(servers) as made:
        [port] = free_ports(1)
        bare = await made.run("bare", sys.executable, "-m", "benchmarks.bare_streams", str(port), **made.environment)
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        values = await _streamed(made, bare, port, _everything(sizes.of(2000, 40)), sizes)
        return {f"everything: {metric}": value for metric, value in values.items()}


async def _streamed(made: Scene, server: Process, port: int, paths: Sequence[str], sizes: Sizes) -> Mapping[str, float]:
    before_mib = pss_mib(server.process.pid)
    async with _readers(made, port, paths) as readers:
        used_s = server.cpu_s()
        began_s = time.monotonic()
        watching = asyncio.create_task(_most_mib(server))
        seconds = sizes.of(20, 3)
        happened = await _append(made, seconds * sizes.of(RATE, 100), sizes.of(RATE, 100))
        expected = {path: [place for place, event in happened if _PATHS[path](event)] for path in set(paths)}
        found = await asyncio.gather(
            *(each.result({path: len(of) for path, of in expected.items()}) for each in readers)
        )
        took_s = time.monotonic() - began_s
        watching.cancel()
        most_mib = max(pss_mib(server.process.pid), await watching)
        used_s = server.cpu_s() - used_s
    for each in found:
        for path, places in each["places"].items():  # of those that its readers asked for
            if by_partition(map(tuple, places)) != by_partition(expected[path]):
                each["unlike"].append(f"{path}: {len(places)} events, {len(expected[path])} were appended")
    unlike = [line for each in found for line in each["unlike"]]
    if unlike:
        print(*unlike[:20], sep="\n", file=sys.stderr)
    delays = sorted((delay, count) for each in found for delay, count in each["delays"])
    deliveries = sum(count for _, count in delays)
    return {
        "p50": _percentile(delays, 50),
        "p99": _percentile(delays, 99),
        "longest": float(delays[-1][0]),
        "streams that lack an event or have it twice": len(unlike),
        "more MiB": most_mib - before_mib,
        "server % of a core": 100 * used_s / took_s,
        "readers % of a core": 100 * sum(each["cpu_s"] for each in found) / took_s,
        "cpu a delivery": 1e6 * used_s / deliveries,
    }


async def tail(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """An event's way from its append to a stream, and to two consumers of Kafka; one event at a time."""
    async with (
        serving(servers) as (made, port),
        client(port) as listening,
        _aiokafka(made) as by_aiokafka,
        _librdkafka(made) as by_librdkafka,
    ):
        await listening.open_stream(_EVENTS)
        log = KafkaLog(servers.kafka, made.topics.events, PARTITIONS)
        await log.start()
        took_ms: dict[str, list[float]] = {OURS: [], "aiokafka": [], "librdkafka in a thread": []}
        for event in islice(lives(sizes.of(40, 4)), sizes.of(400, 40)):
            key = str(event.id).encode()
            began_s = time.perf_counter()
            _, *seen_s = await asyncio.gather(
                log.append(event, event.task_id.int % PARTITIONS),
                _on_stream(listening, key),
                _on_queue(by_aiokafka, key),
                _on_queue(by_librdkafka, key),
            )
            for found, at_s in zip(took_ms.values(), seen_s, strict=True):
                found.append((at_s - began_s) * 1000)
            await asyncio.sleep(_TICK_S)
        await log.close()
    warm = {name: found[10:] for name, found in took_ms.items()}
    return {name: {"p50": percentile(found, 50), "p99": percentile(found, 99)} for name, found in warm.items()}


async def _on_stream(listening: Client, key: bytes) -> float:
    async with asyncio.timeout(LIMIT_S):
        while key not in await listening.next_line():
            pass
    return time.perf_counter()


async def _on_queue(values: "asyncio.Queue[bytes]", key: bytes) -> float:
    async with asyncio.timeout(LIMIT_S):
        while key not in await values.get():
            pass
    return time.perf_counter()


@asynccontextmanager
async def _aiokafka(made: Scene) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """The records as the processor gets them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=made.servers.kafka, enable_auto_commit=False)
    values: asyncio.Queue[bytes] = asyncio.Queue()

    async def read() -> None:
        async for record in consumer:
            values.put_nowait(record.value)

    await consumer.start()
    consumer.assign([aiokafka.TopicPartition(made.topics.events, each) for each in range(PARTITIONS)])
    await consumer.seek_to_end()
    reading = asyncio.create_task(read())
    try:
        yield values
    finally:
        reading.cancel()
        await consumer.stop()


@asynccontextmanager
async def _librdkafka(made: Scene) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """The records as a thread gets them, which gives them to the event loop."""
    loop, stopping = asyncio.get_running_loop(), threading.Event()
    values: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with Reader(made.servers.kafka, made.topics.events, dict.fromkeys(range(PARTITIONS), 0)) as reader:
            while not stopping.is_set():
                for records in reader.poll(0.2).values():
                    for record in records:
                        loop.call_soon_threadsafe(values.put_nowait, record.value or b"")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield values
    finally:
        stopping.set()
        await asyncio.to_thread(thread.join)


def _percentile(delays: Sequence[tuple[int, int]], percent: float) -> float:
    """The percentile of delays, each with the number of events that had it."""
    left = sum(count for _, count in delays) * percent / 100
    for delay, count in delays:
        left -= count
        if left <= 0:
            return float(delay)
    raise ValueError("no event came")


async def _most_mib(server: Process) -> float:
    """The most memory of the server until it is cancelled."""
    most = 0.0
    try:
        while True:
            most = max(most, pss_mib(server.process.pid))
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        return most


async def _append(made: Scene, count: int, rate: int) -> list[tuple[Place, Event]]:
    """Append the events evenly; their places, in the order in which they were acknowledged."""
    events = list(islice(lives(count // EVENTS_PER_TASK + 1), count))
    happened: list[tuple[Place, Event]] = []
    producer = Producer(client_settings(made.servers.kafka, enable_idempotence=True, acks="all", linger_ms=1))

    def append(event: Event) -> None:
        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise RuntimeError(f"an event was not appended: {error}")
            happened.append(((message.partition() or 0, message.offset() or 0), event))

        partition = event.task_id.int % PARTITIONS
        key = key_of(event.task_id)
        producer.produce(made.topics.events, encode(event), key, partition, headers=HEADERS, on_delivery=acknowledged)

    began_s, done = time.monotonic(), 0
    while done < count:
        due = min(count, int((time.monotonic() - began_s) * rate) + 1)
        for event in events[done:due]:
            append(event)
        done = due
        producer.poll(0)
        await asyncio.sleep(_TICK_S)
    await asyncio.to_thread(producer.flush, 60)
    if len(happened) != count:
        raise RuntimeError(f"{count - len(happened)} of {count} events were not appended within a minute")
    return happened


@dataclass(frozen=True, slots=True)
class _Readers:
    """A process that reads some of the streams."""

    process: asyncio.subprocess.Process

    async def result(self, ends: Mapping[str, int]) -> dict[str, Any]:
        """What they have read, once all of it has come."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(ends).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return found


@asynccontextmanager
async def _readers(made: Scene, port: int, paths: Sequence[str]) -> AsyncIterator[list[_Readers]]:
    """Processes of readers, all connected."""
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    command = (sys.executable, "-m", "benchmarks.stream_readers", str(port), login)
    pipe = asyncio.subprocess.PIPE
    found = []
    for _ in range(_PROCESSES):
        environment = made.servers.environment()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, env=environment, limit=1 << 28
        )
        found.append(_Readers(process))
    try:
        for number, each in enumerate(found):
            assert each.process.stdin is not None
            assert each.process.stdout is not None
            each.process.stdin.write("".join(f"{path}\n" for path in paths[number::_PROCESSES]).encode() + b"\n")
            if await asyncio.wait_for(each.process.stdout.readline(), LIMIT_S) != b"ready\n":
                raise RuntimeError("the readers ended")
        await asyncio.sleep(1)  # the first pings and the like are over
        yield found
    finally:
        for each in found:
            if each.process.returncode is None:
                each.process.kill()
            await each.process.wait()


MEASURES = (
    Measure(
        name="tail",
        what="from the append of an event to a stream of the API, one at a time; beside it to bare consumers of Kafka",
        unit="ms",
        goal="",
        goals={"p50": ratio_at_most(1.5)},
        together=tail,
    ),
    Measure(
        name="stream",
        what="2,000 readers of event streams on one API at 1,000 events/s; beside it a process that does nothing else",
        unit="",
        goal="",
        goals={
            f"{name}: {metric}": goal
            for name in ("everything", "mixed")
            for metric, goal in (
                ("p99", at_most(250)),
                ("more MiB", at_most(100)),
                ("streams that lack an event or have it twice", never_above(0)),
            )
        },
        sides={OURS: stream, LIMIT: stream_barely},
    ),
)
