"""A read of a task from a real process, which waits for the task's end or its next change."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pulp_events.codec import key_of
from pulp_events.events import Event, Unparking
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.api_process import LIMIT_S, ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.events import accepted, finished, progress, started, unparked
from tests.support.projection import project, settings_of
from tests.support.site import V3

TASK = uuid4()
PATH = f"{V3}/tasks/{TASK}/"


class Place:
    """An API whose projection advances only when the test says so."""

    def __init__(self, backend: Backend, database: str, topics: Topics, log: KafkaLog, api: ApiProcess) -> None:
        self._settings, self._log, self.api = settings_of(backend.kafka, database, topics), log, api

    async def is_written(self, value: bytes) -> None:
        """Append a record about the task."""
        await self._log.append_record(self._log.topic, key_of(TASK), value, 1)

    async def happens(self, *events: Event) -> None:
        for event in events:
            await self._log.append(event, 1)
        await project(self._settings, await self._log.end_offsets())


@pytest.fixture
async def place(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Place]:
    await add_admin(database)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    settings = {"PULP_API_STREAMS_PER_ADDRESS": "2"}
    async with api_process(backend.kafka, database, topics, tmp_path, settings=settings) as api:
        made = Place(backend, database, topics, log, api)
        await made.happens(accepted(TASK), started(TASK))
        yield made
    await log.close()


async def asked(client: httpx.AsyncClient, query: str) -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.get(f"{PATH}?{query}"))


async def test_the_answer_comes_with_the_end_and_not_before(place: Place) -> None:
    async with asyncio.timeout(LIMIT_S), place.api.client() as client:
        waiting = await asked(client, "wait=60s&until=final")
        await place.happens(progress(TASK), progress(TASK, sequence=2))
        short = await client.get(f"{PATH}?wait=100ms")
        assert (short.status_code, short.json()["state"]) == (200, "running")
        assert not waiting.done()
        await place.happens(finished(TASK))
        answer = await waiting
        assert (answer.status_code, answer.json()["state"]) == (200, "completed")
        again = await client.get(f"{PATH}?wait=60s")  # it has ended already
        assert again.json()["state"] == "completed"


async def test_an_end_that_was_held_until_its_task_was_unparked(place: Place) -> None:
    """A record that is not an event parks the task, so its end waits."""
    async with asyncio.timeout(LIMIT_S), place.api.client() as client:
        question = "wait=60s&until=final"
        waiting = [await asked(client, question) for _ in range(2)]
        # Until both wait, as no more are allowed. The checking request may have taken the place of one of them.
        while (await client.get(f"{PATH}?wait=1ms")).status_code != 429 or any(each.done() for each in waiting):
            waiting = [await asked(client, question) if each.done() else each for each in waiting]
        await place.is_written(b"no event")
        await place.happens(finished(TASK))
        assert (await client.get(PATH)).json()["state"] == "running"
        await place.happens(unparked(TASK, offset=2, action=Unparking.DISCARD))
        async with asyncio.timeout(LIMIT_S / 3):
            answers = await asyncio.gather(*waiting)
        assert [answer.json()["state"] for answer in answers] == ["completed"] * 2


async def test_the_next_change(place: Place) -> None:
    async with asyncio.timeout(LIMIT_S), place.api.client() as client:
        first = version = (await client.get(PATH)).json()["version"]
        waiting = await asked(client, "wait=60s&until=change")
        while not waiting.done():  # it may not have begun to wait: an earlier change does not count for it
            version += 1
            await place.happens(progress(TASK, sequence=version))
            await asyncio.wait([waiting], timeout=0.2)
        assert first < (await waiting).json()["version"] <= version


async def test_a_client_that_has_gone_waits_no_more(place: Place) -> None:
    """A client that gives up before its `wait` ends, and requests again and again, must not be refused for that."""
    async with asyncio.timeout(LIMIT_S):
        async with place.api.client() as client:
            for _ in range(2):
                with pytest.raises(httpx.ReadTimeout):
                    await client.get(f"{PATH}?wait=60s", timeout=1)
        async with asyncio.timeout(20), place.api.client() as client:
            while (answer := await client.get(f"{PATH}?wait=1ms")).status_code != 200:
                assert answer.status_code == 429, answer.text
                await asyncio.sleep(0.2)


async def test_what_nobody_can_wait_for(place: Place) -> None:
    async with place.api.client() as client:
        for query, told in (
            ("wait=forever", "a duration such as 30s is expected, at most 60 seconds"),
            ("wait=61s", "at most 60 seconds"),
            ("wait=0s", "a duration"),
            ("wait=5s&until=started", "final or change is expected"),
            ("until=final", "until goes with wait"),
            ("wait=5s&as_of=1:0", "leave out wait"),
        ):
            answer = await client.get(f"{PATH}?{query}")
            assert (answer.status_code, told in answer.text) == (400, True), answer.text
        missing = await client.get(f"{V3}/tasks/{uuid4()}/?wait=60s")
        assert missing.status_code == 404
