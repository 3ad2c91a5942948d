"""Answers of an API process are bounded in bytes, however large the values of tasks are, and so is its memory."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import Raw
from pulp_events.events import Event
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.events import accepted, progress, started
from tests.support.projection import project, settings_of
from tests.support.site import V2, V3

TASKS = 240
WIDE_BYTES = 900_000
MOST_MIB = 250
MOST_REPLAYING_MIB = 320
"""Each of the streams holds a page, and what Kafka's client has read ahead; all that they get is 400 MiB more."""
MOST_ANSWER_BYTES = 4 * 1024 * 1024
AT_ONCE = 16
READS = [
    f"{V3}/tasks/",
    f"{V3}/tasks/?limit=10000",
    f"{V3}/tasks/?limit=240&fields=pulp_href",
    f"{V3}/tasks/?limit=240&exclude_fields=arguments",
    f"{V3}/tasks/?state=waiting&limit=240",
    f"{V2}/tasks/",
    f"{V2}/tasks/?limit=240",
    f"{V2}/tasks/search/?sort=[[%22state%22,%22ascending%22]]",
    f"{V3}/tasks/{{task}}/history/?limit=1000",
    f"{V3}/status/",
]


class Wide:
    """An API over tasks with large values."""

    def __init__(self, api: ApiProcess, ids: Sequence[UUID]) -> None:
        self.api, self.ids = api, ids

    def mib(self) -> float:
        """The memory that the process holds."""
        resident = int(Path(f"/proc/{self.api.process.pid}/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def get(self, client: httpx.AsyncClient, path: str) -> httpx.Response:
        answer = await client.get(path.replace("{task}", str(self.ids[0])))
        assert answer.status_code == 200, answer.text
        return answer

    async def list(self, path: str) -> Any:
        async with self.api.client() as client:
            return (await self.get(client, path)).json()


def events() -> list[tuple[Event, int]]:
    """Tasks whose arguments do not compress, or, for one in three, compress well; and one long progress."""
    source = random.Random(1)
    found: list[tuple[Event, int]] = []
    for number in range(TASKS):
        text = "x" * WIDE_BYTES if number % 3 == 0 else source.randbytes(WIDE_BYTES // 2).hex()
        found.append((accepted(uuid4(), arguments=Raw(b'{"x": "%s"}' % text.encode())), number % PARTITIONS))
    first = found[0][0].task_id
    attempt = uuid4()
    found.append((started(first, attempt_id=attempt), 0))
    for sequence in range(1, 21):
        said = {"text": "p" * WIDE_BYTES}
        found.append((progress(first, sequence=sequence, attempt_id=attempt, value=said), 0))
    return found


@pytest.fixture
async def wide(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Wide]:
    await add_admin(database)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    made = events()
    for event, partition in made:  # more at a time than the queue of unsent events takes
        await log.append(event, partition)
    ends = dict(await log.end_offsets())
    await log.close()
    await project(settings_of(backend.kafka, database, topics), ends)
    ids = list(dict.fromkeys(event.task_id for event, _ in made))
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        yield Wide(api, ids)


async def test_reads_of_large_tasks_stay_within_bytes_and_memory(wide: Wide) -> None:
    async with wide.api.client() as client:
        for path in READS:
            answer = await wide.get(client, path)
            assert len(answer.content) <= MOST_ANSWER_BYTES, path
            assert wide.mib() <= MOST_MIB, (path, wide.mib())


async def test_sixteen_clients_at_once_do_not_take_more(wide: Wide) -> None:
    most = 0.0

    async def reading() -> None:
        nonlocal most
        async with wide.api.client() as client:
            for path in READS:
                await wide.get(client, path)
                most = max(most, wide.mib())

    await asyncio.gather(*(reading() for _ in range(AT_ONCE)))
    assert most <= MOST_MIB


async def test_a_page_has_all_of_its_tasks_and_says_which_values_it_left_out(wide: Wide) -> None:
    page = await wide.list(f"{V3}/tasks/?limit=100&ordering=pulp_created")
    assert (page["count"], len(page["results"])) == (TASKS, 100)
    assert "offset=100" in page["next"]
    for task in page["results"][1:]:
        assert (task["arguments"], task["omitted"]) == (None, ["arguments"])
    first = next(task for task in page["results"] if str(wide.ids[0]) in task["pulp_href"])
    assert first["omitted"] == ["arguments", "progress", "progress_reports"]
    alone = await wide.list(first["pulp_href"])
    assert (len(alone["arguments"]["x"]), "omitted" in alone) == (WIDE_BYTES, False)
    assert len(alone["progress"]["text"]) == WIDE_BYTES


async def test_what_is_not_shown_is_not_read(wide: Wide) -> None:
    for query in ("fields=pulp_href,tags", "exclude_fields=arguments,progress,progress_reports", "minimal=true"):
        page = await wide.list(f"{V3}/tasks/?limit=240&{query}")
        assert len(page["results"]) == TASKS
        assert not [task for task in page["results"] if "omitted" in task], query
    reports = await wide.list(f"{V2}/tasks/")
    assert {UUID(report["task_id"]) for report in reports} == set(wide.ids)
    assert [report["task_id"] for report in reports if "omitted" in report] == [str(wide.ids[0])]


async def test_a_page_of_a_history_ends_by_its_bytes_and_goes_on_without_a_gap(wide: Wide) -> None:
    path: str | None = f"{V3}/tasks/{wide.ids[0]}/history/?limit=1000"
    offsets: list[int] = []
    pages = 0
    while path is not None:
        page = await wide.list(path)
        assert page["results"]
        offsets += [entry["offset"] for entry in page["results"]]
        path, pages = page["next"], pages + 1
    assert len(offsets) == page["count"] == len(set(offsets)) == 22
    assert offsets == sorted(offsets)
    assert pages > 1


async def test_replays_of_a_large_log_do_not_take_more(wide: Wide) -> None:
    most = 0.0

    async def reading(encoding: str) -> None:
        nonlocal most
        got = 0
        async with wide.api.events("?since=2000-01-01T00:00:00Z", {"Accept-Encoding": encoding}) as answer:
            async for data in answer.aiter_bytes():
                got += len(data)
                most = max(most, wide.mib())
                if got > 30 * WIDE_BYTES:
                    return

    await asyncio.gather(*(reading(("identity", "gzip")[number % 2]) for number in range(AT_ONCE)))
    assert most <= MOST_REPLAYING_MIB
