"""Months that are detached from the history: answers that need them say so, all other answers stay the same, and
nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_api import as_of
from pulp_api.archived import DetachedRecords
from pulp_api.service import MOST_ARCHIVED_PASTS
from pulp_api.task_reader import TaskReader
from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveDamaged
from pulp_events.events import CancelRequested, Event
from pulp_events.ids import new_id
from pulp_events.topics import Topics
from pulp_processor.rebuilding import activation, heal, history, rebuild, verify
from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.settings import Settings
from pulp_projections.reading import archived_folds, archived_pages
from pulp_transparency.history import History

from tests.conftest import PARTITIONS
from tests.support import documented
from tests.support.archives import archived, files_of
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import accepted, event, finished, progress, started
from tests.support.killed_rebuild import Command, run_killed
from tests.support.months import log_with_times
from tests.support.projection import execute, rows, settings_of, stories
from tests.support.site import V3, Site, site

ROOT: Final = Path(__file__).parents[2]
NOVEMBER: Final = datetime(2023, 11, 10, 12, tzinfo=UTC)
DECEMBER: Final = datetime(2023, 12, 5, 12, tzinfo=UTC)
JANUARY: Final = datetime(2024, 1, 3, 12, tzinfo=UTC)
ENDS_OF_NOVEMBER: Final = datetime(2023, 12, 1, tzinfo=UTC)
MOMENTS: Final = {
    "November": ENDS_OF_NOVEMBER - timedelta(seconds=2),
    "December": DECEMBER + timedelta(hours=1),
    "January": JANUARY + timedelta(hours=1),
}


@dataclass
class Scene:
    """Tasks of three months, and an archive of all of their events."""

    api: Site
    settings: Settings
    archive: Path
    old: UUID
    """Accepted and ended in November; a cancel that came too late in November, and one in January."""
    across: UUID
    """Accepted in November and ended in December."""
    new: UUID
    """A task with events only in December."""
    open: UUID
    """Accepted in January, and running."""

    @property
    def archived(self) -> Settings:
        return replace(self.settings, archive=str(self.archive))

    def read_archive(self) -> None:
        """From now on the API has PULP_ARCHIVE."""
        service = self.api.service
        service.archive = DetachedRecords(str(self.archive))
        service.tasks = TaskReader(service.freshness, service.archive)

    async def ask(self, path: str, **params: Any) -> tuple[int, Any]:
        answer = await self.api.as_user("ada").get(f"{V3}/{path}", params=params)
        return answer.status_code, answer.json()

    async def pages(self, **params: Any) -> list[list[Any]]:
        """The audit, page by page."""
        found, cursor = [], dict[str, str]()
        while True:
            status, page = await self.ask("audit/", limit=2, **params, **cursor)
            assert status == 200, page
            found.append(page["results"])
            if page["next"] is None:
                return found
            cursor = {"cursor": page["cursor"]}

    async def answers(self) -> dict[str, tuple[int, Any]]:
        """The answers to a client that do not depend on the present moment."""
        found = {}
        for name in ("old", "across", "new", "open"):
            task = getattr(self, name)
            found[f"history of {name}"] = await self.ask(f"tasks/{task}/history/")
            found[f"details of {name}"] = await self.ask(f"tasks/{task}/")
            for month, moment in MOMENTS.items():
                found[f"{name} as of {month}"] = await self.ask(f"tasks/{task}/", as_of=moment.isoformat())
            found[f"audit of {name}"] = await self.ask("audit/", task=str(task))
        for moment in (NOVEMBER, DECEMBER, JANUARY):
            found[f"audit since {moment:%B}"] = await self.ask(
                "audit/", since=moment.replace(day=1, hour=0).isoformat()
            )
        status, page = await self.ask("audit/", until=ENDS_OF_NOVEMBER.isoformat())
        page.pop("cursor", None)  # how far it read, which depends on what is there, unlike the rest of the answer
        found["audit of November"] = status, page
        found["list"] = await self.ask("tasks/")
        for month, moment in MOMENTS.items():
            for path in ("tasks/", "queues/", "resources/"):
                found[f"{path} as of {month}"] = await self.ask(path, as_of=moment.isoformat())
        return found


@pytest.fixture
async def scene(database: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with site(database) as api:
        await api.add_user("ada", Role.AUDITOR)
        tasks = [new_id() for _ in range(4)]
        old, across, new, running = tasks

        async def tell(time: datetime, partition: int, *events: Event) -> None:
            for number, each in enumerate(events):
                api.log.next_at(round(time.timestamp() * 1000) + number * 1000)
                await api.add(each, partition)

        late = event(CancelRequested(), task_id=old, actor="user:kim")
        await tell(NOVEMBER, 1, accepted(old), started(old), progress(old), finished(old), late)
        await tell(ENDS_OF_NOVEMBER - timedelta(seconds=2), 1, accepted(across), started(across), finished(across))
        await tell(DECEMBER, 2, accepted(new), started(new), finished(new))
        later = event(CancelRequested(), task_id=old, actor="user:kim")
        await tell(JANUARY, 1, later, accepted(running), started(running))
        archive = tmp_path / "archive"
        topics = Topics.named()
        for partition, records in enumerate(api.log.records):
            archived(str(archive), records, partition, end=len(records), span=4)
        settings = settings_of("127.0.0.1:1", database, topics)
        yield Scene(api, settings, archive, *tasks)


NEED_NOVEMBER: Final = frozenset(
    {
        *(f"history of {name}" for name in ("old", "across")),
        *(f"{name} as of {month}" for name in ("old", "across") for month in MOMENTS),
        *(f"audit of {name}" for name in ("old", "across")),
        *("audit since November", "audit of November"),
        *(f"{path} as of {month}" for path in ("tasks/", "queues/", "resources/") for month in MOMENTS),
    }
)
"""The answers that events of November are part of."""


async def states(scene: Scene) -> dict[str, str]:
    """Part → its state, of the months of the story."""
    return {
        part.name: part.state
        for part in await history.parts(scene.settings)
        if part.until is not None and part.until <= datetime(2024, 2, 1, tzinfo=UTC)
    }


async def test_answers_are_what_they_were_or_say_what_is_missing(scene: Scene) -> None:
    before = await scene.answers()
    assert {status for status, _ in before.values()} == {200, 404}
    assert await states(scene) == {"2023-11": "attached", "2023-12": "attached", "2024-01": "attached"}
    done = await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    assert [(part.name, part.events) for part in done.detached] == [("2023-11", 7)]
    assert await states(scene) == {"2023-11": "detached", "2023-12": "attached", "2024-01": "attached"}
    assert len(await rows(scene.settings.postgres, "task_events")) == sum(map(len, scene.api.log.records)) - 7
    after = await scene.answers()
    assert {name for name in after if after[name] != before[name]} == NEED_NOVEMBER
    for name in NEED_NOVEMBER:
        status, body = after[name]
        assert status == 410, (name, body)
        assert "pulp-tasks history attach 2023-11" in str(body), (name, body)
    assert [part.name for part in await history.attach(scene.settings, ["2023-11"])] == ["2023-11"]
    assert await scene.answers() == before
    assert await states(scene) == {"2023-11": "attached", "2023-12": "attached", "2024-01": "attached"}


async def test_the_page_of_the_audit_shows_what_the_command_prints(scene: Scene, tmp_path: Path) -> None:
    env = environment(
        tmp_path, PULP_KAFKA="127.0.0.1:1", PULP_POSTGRES=scene.settings.postgres, PULP_ARCHIVE=str(scene.archive)
    )

    async def run(*arguments: str) -> str:
        done = await asyncio.to_thread(pulp_tasks, *arguments, env=env)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    told = (await run("history", "list")).splitlines()
    shown = (ROOT / "docs" / "audit.md").read_text().split("## Where are the events of old months?")[1]
    page = shown.split("```text\n")[1].split("```")[0].splitlines()
    assert [_masked(line) for line in told if line[:4] in ("PART", "2023", "2024")] == [_masked(line) for line in page]
    documented.check("history list", json.loads(await run("--output", "json", "history", "list")))
    planned = json.loads(await run("--output", "json", "history", "detach", "--before", "2024-01", "--dry-run"))
    documented.check("history detach", planned)
    assert [part["part"] for part in planned["detached"]] == ["2023-12"]
    documented.check("history attach", json.loads(await run("--output", "json", "history", "attach", "2023-11")))
    assert set((await states(scene)).values()) == {"attached"}


def _masked(line: str) -> list[str]:
    """Its words, without the bytes on disk."""
    return [word for number, word in enumerate(line.split()) if number != 4]


async def test_with_the_archive_answers_are_what_they_were(scene: Scene) -> None:
    """Even for months whose rows were dropped."""
    before = await scene.answers()
    pages = await scene.pages()
    scene.read_archive()
    assert await scene.answers() == before
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    december_too = datetime(2024, 1, 1, tzinfo=UTC)
    for drops in (False, True, True):
        assert await scene.answers() == before
        assert await scene.pages() == pages
        await history.detach(scene.archived, december_too, drops=drops)


async def test_a_page_looks_at_so_many_records_and_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event comes once and in the same order, although pages are shorter."""
    before = [entry for page in await scene.pages() for entry in page]
    scene.read_archive()
    await history.detach(scene.archived, datetime(2024, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(archived_pages, "MOST_SCANNED", 1)
    found = await scene.pages()
    assert [entry for page in found for entry in page] == before
    assert [] in await scene.pages(actor="worker:nobody")


async def test_a_damaged_archive_is_no_answer(scene: Scene) -> None:
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    scene.read_archive()
    file = files_of(scene.archive, 1)[0]
    file.write_bytes(file.read_bytes()[:-1])
    for path in (f"tasks/{scene.old}/history/", "audit/"):
        status, body = await scene.ask(path)
        assert (status, "cannot be read now" in str(body)) == (503, True), body
    assert (await scene.ask(f"tasks/{scene.new}/history/"))[0] == 200


async def test_an_archive_that_lacks_what_it_had_is_no_answer(scene: Scene, tmp_path: Path) -> None:
    """For example, one that is mounted elsewhere and is empty here: no answer silently lacks events."""
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    scene.archive = tmp_path / "elsewhere"
    scene.read_archive()
    then = {"as_of": (ENDS_OF_NOVEMBER - timedelta(seconds=1)).isoformat()}
    asked = [(f"tasks/{scene.old}/history/", {}), ("audit/", {}), ("tasks/", then), ("queues/", then)]
    for path, params in asked:
        status, body = await scene.ask(path, **params)
        assert (status, "cannot be read now" in str(body)) == (503, True), body


async def test_a_list_of_the_past_reads_only_so_much_of_the_archive(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal says what to do; a single task can be read as of any moment."""
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    scene.read_archive()
    then = (ENDS_OF_NOVEMBER - timedelta(seconds=1)).isoformat()
    assert (await scene.ask("tasks/", as_of=then))[0] == 200
    for limit, told in (("MOST_RECORDS", "pulp-tasks history attach 2023-11"), ("MOST_BYTES", "choose a moment")):
        with monkeypatch.context() as patch:
            patch.setattr(archived_folds, limit, 3)
            for path in ("tasks/", "queues/"):
                status, body = await scene.ask(path, as_of=then)
                assert (status, told in str(body)) == (422, True), body
            assert (await scene.ask(f"tasks/{scene.across}/", as_of=then))[0] == 200


async def test_few_lists_of_the_past_read_the_archive_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a connection to Postgres meanwhile, and everything else needs some too."""
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    scene.read_archive()
    then = (ENDS_OF_NOVEMBER - timedelta(seconds=1)).isoformat()
    monkeypatch.setattr(as_of, "WAIT_S", 0.1)
    turns = scene.api.service.archived_pasts
    for _ in range(MOST_ARCHIVED_PASTS):
        await turns.acquire()
    for path in ("tasks/", "queues/"):
        status, body = await scene.ask(path, as_of=then)
        assert (status, "try again later" in str(body)) == (503, True), body
    assert (await scene.ask("tasks/"))[0] == 200
    turns.release()
    assert [(await scene.ask(path, as_of=then))[0] for path in ("tasks/", "queues/", "tasks/")] == [200] * 3


async def test_a_month_that_is_needed_or_not_archived_stays(scene: Scene) -> None:
    before = await scene.answers()
    end = datetime(2024, 2, 1, tzinfo=UTC)
    with pytest.raises(RebuildRefused, match="no archive is named"):
        await history.detach(scene.settings, ENDS_OF_NOVEMBER)
    with pytest.raises(RebuildRefused, match="still to come"):
        await history.detach(scene.archived, datetime.now(UTC) + timedelta(days=40))
    short = scene.archive.with_name("short")
    archived(str(short), scene.api.log.records[1][:3], 1, end=3, span=4)
    with pytest.raises(
        RebuildRefused, match=r"2023-11 is not in the archive: of partition 1 the archive ends before 3, and 6 is"
    ):
        await history.detach(replace(scene.settings, archive=str(short)), ENDS_OF_NOVEMBER)
    with pytest.raises(RebuildRefused, match=rf"2024-01 stays in the history: tasks have not ended.*{scene.open}"):
        await history.detach(scene.archived, end, is_dry=True)
    await scene.api.execute("update generation_1.task_events set event = '{}' where task_id = %s", scene.new)
    with pytest.raises(RebuildRefused, match="2023-12 stays in the history: the archive does not have the event 2:0"):
        await history.detach(scene.archived, datetime(2024, 1, 1, tzinfo=UTC), is_dry=True)
    file = files_of(scene.archive, 1)[0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArchiveDamaged):
        await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    await scene.api.execute("insert into generations (generation, status) values (2, 'retired')")
    await scene.api.execute("create schema generation_2 create table positions (partition int, next_offset bigint)")
    with pytest.raises(RebuildRefused, match=r"other generations: 2 \(retired\).*pulp-tasks rebuild prune"):
        await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    assert (await scene.answers())["history of old"] == before["history of old"]
    assert set((await states(scene)).values()) == {"attached"}


async def test_a_month_whose_task_is_parked_stays(scene: Scene) -> None:
    await scene.api.execute(
        "insert into generation_1.dead_letters (partition, record_offset, broker_time, reason, headers, sent, task_id,"
        " standing) values (1, 99, now(), 'unknown', '[]', true, %s, 'parks')",
        scene.old,
    )
    with pytest.raises(RebuildRefused, match=rf"2023-11 stays in the history: dead letters wait.*{scene.old}"):
        await history.detach(scene.archived, ENDS_OF_NOVEMBER)


async def test_what_a_clock_dates_back_later_is_in_the_history(scene: Scene) -> None:
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    task = new_id()
    for each in (accepted(task), started(task), finished(task)):
        scene.api.log.next_at(round(NOVEMBER.timestamp() * 1000))
        await scene.api.add(each, 3)
    status, body = await scene.ask(f"tasks/{task}/history/")
    assert (status, len(body["results"])) == (200, 3)
    await history.attach(scene.settings, ["2023-11"])
    assert await scene.ask(f"tasks/{task}/history/") == (status, body)
    found = await scene.api.execute(
        "select distinct tableoid::regclass::text from generation_1.task_events where broker_time < %s",
        ENDS_OF_NOVEMBER,
    )
    assert found == [("generation_1.task_events_2023_11",)]


async def test_dropped_rows_are_those_that_the_archive_has(scene: Scene) -> None:
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    planned = await history.detach(scene.archived, datetime(2024, 1, 1, tzinfo=UTC), drops=True, is_dry=True)
    assert ([part.name for part in planned.detached], [part.name for part in planned.dropped]) == (
        ["2023-12"],
        ["2023-11", "2023-12"],
    )
    assert (await states(scene))["2023-11"] == "detached"
    await history.detach(scene.archived, datetime(2024, 1, 1, tzinfo=UTC), drops=True)
    assert await states(scene) == {"2023-11": "dropped", "2023-12": "dropped", "2024-01": "attached"}
    status, body = await scene.ask(f"tasks/{scene.old}/history/")
    assert (status, "the archive has those of 2023-11" in str(body)) == (410, True)
    with pytest.raises(RebuildRefused, match="the rows of 2023-11 were dropped"):
        await history.attach(scene.settings, ["2023-11"])


async def test_rows_that_the_archive_has_lost_since_are_not_dropped(scene: Scene) -> None:
    """Then they are the last copy."""
    await history.detach(scene.archived, ENDS_OF_NOVEMBER)
    file = files_of(scene.archive, 1)[0]
    whole = file.read_bytes()
    for left in (None, whole[:-1]):
        file.unlink() if left is None else file.write_bytes(left)
        for is_dry in (True, False):
            with pytest.raises(ArchiveDamaged, match=r"is missing|was altered"):
                await history.detach(scene.archived, ENDS_OF_NOVEMBER, drops=True, is_dry=is_dry)
        assert (await states(scene))["2023-11"] == "detached"
    file.write_bytes(whole)
    await history.detach(scene.archived, ENDS_OF_NOVEMBER, drops=True)
    assert (await states(scene))["2023-11"] == "dropped"


async def test_readers_do_not_wait_for_long_and_batches_go_on(scene: Scene) -> None:
    """Somebody reads the history in a long transaction: the command gives up, and has changed nothing."""
    async with await AsyncConnection.connect(scene.settings.postgres) as reader:
        await reader.execute("select from task_events limit 1")
        detaching = asyncio.create_task(history.detach(scene.archived, ENDS_OF_NOVEMBER))
        while not detaching.done():
            async with asyncio.timeout(2):
                assert (await scene.ask(f"tasks/{scene.old}/history/"))[0] == 200
        with pytest.raises(RebuildRefused, match="readers or batches kept the history locked"):
            await detaching
    assert (await states(scene))["2023-11"] == "attached"
    task = await scene.api.task()
    assert (await scene.ask(f"tasks/{task}/history/"))[0] == 200


async def test_a_killed_command_leaves_whole_months(scene: Scene, tmp_path: Path) -> None:
    everything = await rows(scene.settings.postgres, "task_events")
    assert await asyncio.to_thread(run_killed, Command("detach", scene.archived, 1, tmp_path / "phases"))
    assert await states(scene) == {"2023-11": "detached", "2023-12": "attached", "2024-01": "attached"}
    left = [row for row in everything if row["broker_time"] >= ENDS_OF_NOVEMBER]
    assert await rows(scene.settings.postgres, "task_events") == left
    assert not await asyncio.to_thread(run_killed, Command("detach", scene.archived, 2, tmp_path / "phases"))
    assert await states(scene) == {"2023-11": "detached", "2023-12": "detached", "2024-01": "attached"}
    await history.attach(scene.settings, ["2023-12", "2023-11"])
    assert await rows(scene.settings.postgres, "task_events") == everything


@pytest.fixture
async def log_of_months(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Settings:
    """Stories in Kafka whose first half came two months ago, projected, and in an archive."""
    now, told = datetime.now(UTC), stories(7, PARTITIONS)
    half = len(told) // PARTITIONS // 2
    came = [now - timedelta(days=62) if number % (half * 2) < half else now for number in range(len(told))]
    timed = [(each, partition, time) for (each, partition), time in zip(told, came, strict=True)]
    settings = await log_with_times(backend, database, topics, tmp_path / "archive", timed)
    await execute(
        database, "update generation_1.tasks set state = 'failed' where not is_final(state)"
    )  # so none is open
    return settings


async def test_a_rebuild_leaves_detached_months_out(log_of_months: Settings) -> None:
    """It finds no difference; nor do `verify`, healing and the comparison of the history with the log."""
    settings = log_of_months
    before = await rows(settings.postgres, "task_events")
    this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    done = await history.detach(settings, this_month)
    kept = [row for row in before if row["broker_time"] >= this_month]
    assert 0 < len(kept) < len(before)
    assert sum(part.events for part in done.detached) == len(before) - len(kept)
    assert await rows(settings.postgres, "task_events") == kept
    difference = (await verify.verify(settings)).differences
    assert {*difference} <= {"tasks.state", "task_counts.tasks"}  # of the tasks that were ended by hand
    assert await rebuild.start(settings) == 2
    assert await rows(settings.postgres, "task_events", 2) == kept
    names = await execute(settings.postgres, "select name from history_parts(2)")
    assert f"task_events_{this_month - timedelta(days=45):%Y_%m}" not in {name for (name,) in names}
    await activation.activate(settings, unverified=True)
    assert (await verify.verify(settings)).is_equal
    healed = await heal.look(settings, before[0]["task_id"])
    assert [each for each in healed.differences if each.table == "task_events"] == []
    with psycopg.connect(settings.postgres) as connection:
        compared = History(connection)
        archive = Archive.open(str(settings.archive))
        for partition in range(PARTITIONS):
            records = (each for batch in archive.read(partition) for each in batch)
            assert compared.compare(partition, records)[0] is None
