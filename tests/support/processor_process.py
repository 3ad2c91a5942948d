"""Processors as an operator runs them: processes of one installation."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pulp_events import admin
from pulp_events.codec import encode, key_of
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.support.command import environment
from tests.support.projection import execute, stories
from tests.support.truth import read_log, rows_are_what_records_say

LIMIT_S = 60
SHORT_SESSION = {"PULP_SESSION_TIMEOUT_S": "6"}
"""The shortest that a broker allows by default."""


@dataclass
class ProcessorProcess:
    """A process `pulp-tasks processor`, in a folder of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path
    folder: Path

    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    async def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        return await asyncio.to_thread(self.process.wait, LIMIT_S)

    async def stopped(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def said(self, text: str) -> str:
        """Its output, as soon as it contains the text; an error if the process ends without it."""
        async with asyncio.timeout(LIMIT_S):
            while text not in self.output():
                assert self.is_running() or text in self.output(), self.output()
                await asyncio.sleep(0.02)
        return self.output()

    async def up(self) -> "ProcessorProcess":
        """Wait until it is a member of the group and has its partitions."""
        await self.said("processor is up")
        return self


@dataclass
class Installation:
    """A log, a database, and the processors between them."""

    kafka: str
    database: str
    topics: Topics
    folder: Path
    partitions: int
    processors: list[ProcessorProcess] = field(default_factory=list)
    _seeds: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def group(self) -> str:
        """The processors' consumer group."""
        return f"{self.topics.events}.processor"

    def start(self, instance: str | None = None, **settings: str) -> ProcessorProcess:
        """Start a processor; it returns at once."""
        number = len(self.processors)
        folder = self.folder / f"processor-{number}"
        folder.mkdir()
        log = self.folder / f"processor-{number}.log"
        named = {} if instance is None else {"PULP_PROCESSOR_INSTANCE": instance}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pulp_deploy", "processor"],
                env=environment(self.folder, **{**self.environment(), **SHORT_SESSION, **named, **settings}),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processors.append(ProcessorProcess(process, log, folder))
        return self.processors[-1]

    def environment(self) -> dict[str, str]:
        """The environment that names the installation."""
        prefix = self.topics.events.removesuffix(".events")
        return {"PULP_KAFKA": self.kafka, "PULP_POSTGRES": self.database, "PULP_TOPIC_PREFIX": prefix}

    def ends(self) -> dict[int, int]:
        """The current end of the log."""
        return admin.end_offsets(self.kafka, self.topics.events, self.partitions)

    async def append(self, *records: RawRecord) -> dict[int, int]:
        """Append any bytes; return the log's new end."""
        producer = raw_producer.make(self.kafka)
        await asyncio.to_thread(raw_producer.append, producer, self.topics.events, records)
        return self.ends()

    async def happens(self, *, tasks: int = 50, length: int = 1000) -> dict[int, int]:
        """Append events of many tasks to every partition; return the log's new end."""
        found = stories(next(self._seeds), self.partitions, tasks=tasks, length=length)
        records = (RawRecord(key_of(event.task_id), encode(event), (), partition) for event, partition in found)
        return await self.append(*records)

    @asynccontextmanager
    async def growing(self) -> AsyncIterator[None]:
        """Append events all the time, so that a processor is never at the end however fast it is."""
        is_over = asyncio.Event()

        async def append() -> None:
            while not is_over.is_set():
                await self.happens(length=300)
            await self.happens(length=300)  # after whatever was committed meanwhile

        appending = asyncio.create_task(append())
        try:
            yield
        finally:
            is_over.set()
            await appending

    async def positions(self) -> dict[int, int]:
        """Partition → next offset, as committed."""
        return dict(await execute(self.database, "select partition, next_offset from positions order by partition"))

    async def reached(self, ends: dict[int, int]) -> None:
        """Returns when every partition is projected up to its end."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = await self.positions()
                if all(found[partition] >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.02)

    async def rows_are_right(self, ends: dict[int, int]) -> None:
        """Every record before the positions is projected once. No processor may run: a reactor goes on appending."""
        assert not any(each.is_running() for each in self.processors)
        at = await self.positions()
        assert all(at[partition] >= end for partition, end in ends.items())
        await rows_are_what_records_say(self.database, read_log(self.kafka, self.topics, at))


@contextmanager
def installation(kafka: str, database: str, topics: Topics, folder: Path, *, partitions: int) -> Iterator[Installation]:
    """An installation whose processors are killed at the end, whatever the test's outcome."""
    made = Installation(kafka, database, topics, folder, partitions)
    try:
        yield made
    finally:
        for each in made.processors:
            each.kill()
