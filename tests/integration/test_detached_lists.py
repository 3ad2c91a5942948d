"""Lists and queues of the past once months are detached: the same answers as then, read from the archive."""

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import pytest
from pulp_api.archived import DetachedRecords
from pulp_events.cursor import Cursor
from pulp_events.events import Retry
from pulp_events.ids import new_id
from pulp_events.topics import Topics
from pulp_processor.rebuilding import history
from pulp_processor.settings import Settings

from tests.integration.test_api_as_of_lists import Life, Reading, difference, read, rebuild
from tests.support.archives import archived
from tests.support.events import accepted, attempt_failed, finished, started
from tests.support.projection import settings_of
from tests.support.site import Site, site

NOVEMBER: Final = datetime(2023, 11, 2, tzinfo=UTC)
EVENTS: Final = 60
EVERY: Final = 20


class Watched(DetachedRecords):
    """An archive that is never read on the thread of the event loop."""

    def _open(self, partition: int, start: int, end: int) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return super()._open(partition, start, end)


@dataclass
class Scene:
    """A life from November to January, what readers got during it, and its archive. All tasks have ended."""

    api: Site
    seed: int
    settings: Settings
    archive: Path
    readings: list[Reading]

    @property
    def archived(self) -> Settings:
        return replace(self.settings, archive=str(self.archive))

    def read_archive(self) -> None:
        """From now on the API has PULP_ARCHIVE."""
        self.api.service.archive = Watched(str(self.archive))

    async def answers(self) -> dict[str, list[Any]]:
        """The answers for the moments of the readings: by positions, by a cursor, by the time, and by the last event,
        whose moment differs from that of the reading if a clock was set back.
        """
        topic_id = self.api.client._transport.app.state.hub.topic_id  # type: ignore[attr-defined]
        moments = [each.positions for each in self.readings]
        first, second, third = self.readings
        moments += [str(Cursor.at(topic_id, first.stops)), first.time.isoformat()]
        moments += [str(second.event), third.time.isoformat()]
        return {moment: await read(self.api, moment) for moment in moments}

    async def compare(self, before: dict[str, list[Any]]) -> None:
        for moment, told in (await self.answers()).items():
            assert difference(kept(told), kept(before[moment])) == "", (self.seed, moment)


def kept(told: Any) -> Any:
    """Without `unblocked_at` of tasks that had ended after a failed attempt: for a detached month it is not looked up
    (docs/operate/history.md).
    """
    if isinstance(told, list | tuple):
        return [kept(each) for each in told]
    if isinstance(told, dict):
        is_left_out = bool(told.get("failed_attempts")) and told.get("finished_at") is not None
        return {key: kept(value) for key, value in told.items() if not (is_left_out and key == "unblocked_at")}
    return told


class LifeOfMonths(Life):
    """Each event comes up to two days after the one before, now and then with a clock that was set back."""

    def __init__(self, api: Site, seed: int) -> None:
        super().__init__(api, seed)
        self.now = NOVEMBER

    async def _add(self, made: Any, task_id: UUID) -> None:
        hours = -1.0 if self.random.random() < 0.1 else self.random.uniform(0, 48)
        self.now += timedelta(hours=hours)
        self.api.log.next_at(round(self.now.timestamp() * 1000))
        await super()._add(made, task_id)

    async def fail_once(self) -> UUID:
        """A task whose first attempt fails. It counts as ended, so that no other step takes it."""
        task_id = new_id()
        self.tasks[task_id] = ()
        self.ended.append(task_id)
        await self._add(accepted(task_id, retry=Retry(retries=3)), task_id)
        await self._add(started(task_id), task_id)
        await self._add(attempt_failed(task_id), task_id)
        return task_id

    async def try_again(self, task_id: UUID) -> None:
        again = new_id()
        await self._add(started(task_id, attempt_id=again, attempt=2), task_id)
        await self._add(finished(task_id, attempt_id=again), task_id)

    async def end_all(self) -> None:
        while self.running:
            await self._finish([])
        while waiting := [task for task in self.tasks if task not in self.ended]:
            await self._cancel(waiting)


async def lived(api: Site, seed: int) -> list[Reading]:
    life, found = LifeOfMonths(api, seed), list[Reading]()
    failed = await life.fail_once()
    for number in range(EVENTS):
        await life.step()
        if number % EVERY == EVERY - 1:
            ends = await api.log.end_offsets()
            latest = max(each.timestamp_ms for records in api.log.records for each in records)
            time = datetime.fromtimestamp(latest / 1000, UTC)
            told = await read(api)
            found.append(Reading(told[0], time, life.last, ends, told))
    await life.try_again(failed)
    await life.end_all()
    return found


@pytest.fixture(params=[Random().randrange(10**6)])
async def scene(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with site(database) as api:
        readings = await lived(api, request.param)
        archive = tmp_path / "archive"
        for partition, records in enumerate(api.log.records):
            archived(str(archive), records, partition, end=len(records), span=7)
        yield Scene(api, request.param, settings_of("127.0.0.1:1", database, Topics.named()), archive, readings)


def whole_months(readings: list[Reading]) -> datetime:
    """The start of the month of the second reading: the months before it are detached, and it is not."""
    return readings[1].time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


async def test_what_was_read_is_read_again_from_the_archive(scene: Scene) -> None:
    """Months that are kept, months that were dropped, and after a rebuild."""
    before = await scene.answers()
    for each in scene.readings:
        assert difference(before[each.positions], each.told) == "", (scene.seed, each.positions)
    scene.read_archive()
    end = whole_months(scene.readings)
    assert (await history.detach(scene.archived, end)).detached
    await scene.compare(before)
    await history.detach(scene.archived, end, drops=True)
    await scene.compare(before)
    await rebuild(scene.api)
    await scene.compare(before)
