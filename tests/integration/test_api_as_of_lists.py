"""Lists and queues as of a moment equal those that a reader saw at that moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import pytest
from pulp_accounts.users import Role
from pulp_api import freshness
from pulp_api.v2 import listing
from pulp_events.cursor import Cursor
from pulp_events.events import Access, Outcome, Resource, Retry
from pulp_events.ids import new_id
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_processor.rebuilding.fill import InactiveGeneration
from pulp_projections.generations import create_indexes, create_tables, show
from pulp_projections.reading import as_of
from pulp_projections.writing.projector import Projector

from tests.support.assigned import assign
from tests.support.backends import Backend
from tests.support.events import (
    accepted,
    attempt_failed,
    cancel_requested,
    event,
    finished,
    progress,
    purged,
    started,
)
from tests.support.kafka_site_log import kafka_site_log
from tests.support.site import PARTITIONS, START_MS, V2, V3, Site, site

ZOO, FARM = Resource(type="repository", id="zoo"), Resource(type="repository", id="farm")
SHARED_ZOO = Resource(type="repository", id="zoo", access=Access.SHARED)
USES: Final = ((), (ZOO,), (SHARED_ZOO,), (FARM,), (FARM, SHARED_ZOO))
LISTS: Final[tuple[Mapping[str, str], ...]] = (
    {},
    {"state": "running"},
    {"state__in": "waiting,completed", "ordering": "-started_at"},
    {"name": "sync", "limit": "3", "offset": "2"},
    {"reserved_resources": "prn:repository:zoo"},
    {"q": 'state="completed" OR name="publish"', "ordering": "pulp_created"},
    {"purged": "true"},
    {"finished_at__isnull": "true", "fields": "pulp_href,state,progress,unblocked_at"},
)
LISTS_OF_V2: Final[tuple[Mapping[str, str], ...]] = (
    {"state": "running"},
    {"operation": "sync", "state": "finished"},
    {"resource": "repository:zoo"},
    {"worker": "w2", "skip": "1"},
    {},
)
NOT_RECORDED: Final = ("parked", "unserved", "workers", "slots", "free_slots")
OF_NOW: Final = ("response", "reasons", "dependency_failures")
"""The fields of a v2 report about what a task waits for, which lists of the past leave out."""


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    async with site(database) as made:
        yield made


class Reading(NamedTuple):
    """What a reader got, and when."""

    positions: str
    time: datetime
    event: Position
    stops: dict[int, int]
    told: list[Any]


class Life:
    """Tasks that are accepted, run and end at random, with what the dispatcher writes about them."""

    def __init__(self, api: Site, seed: int) -> None:
        self.api, self.random = api, Random(seed)
        self.tasks: dict[UUID, tuple[Resource, ...]] = {}
        self.running: dict[UUID, UUID] = {}
        self.ended: list[UUID] = []
        self.last = Position(0, 0)

    async def step(self) -> None:
        """Append the next event."""
        waiting = [task for task in self.tasks if task not in self.running and task not in self.ended]
        choices: list[Callable[[list[UUID]], Awaitable[None]]] = [self._accept]
        choices += [self._start, self._cancel] if waiting else []
        choices += [self._progress, self._finish, self._finish] if self.running else []
        choices += [self._purge] if len(self.ended) > 2 else []
        await self.random.choice(choices)(waiting)

    async def _add(self, made: Any, task_id: UUID) -> None:
        self.last = await self.api.add(made, self.api.partition_of(task_id, *self.tasks[task_id]))

    async def _accept(self, _: list[UUID]) -> None:
        task_id, choice = new_id(), self.random
        self.tasks[task_id] = choice.choice(USES)
        old = choice.sample(sorted(self.tasks, key=str), k=min(2, len(self.tasks) - 1))
        made = accepted(
            task_id,
            operation=choice.choice(("sync", "publish")),
            resources=self.tasks[task_id],
            queue=choice.choice(("default", "slow")),
            tags=("pulp:repository:zoo",) if choice.random() < 0.3 else (),
            parent_id=choice.choice([None, *old]),
            depends_on=tuple(each for each in old if each != task_id and choice.random() < 0.2),
        )
        await self._add(made, task_id)

    async def _start(self, waiting: list[UUID]) -> None:
        task_id = self.random.choice(waiting)
        held = [use for other in self.running for use in self.tasks[other]]
        if any(use.key == other.key and Access.EXCLUSIVE in (use.access, other.access)
               for use in self.tasks[task_id] for other in held):  # fmt: skip
            return await self._accept(waiting)
        attempt_id, worker = new_id(), self.random.choice(("w1", "w2"))
        uses = {use.key: use.access is Access.EXCLUSIVE for use in self.tasks[task_id]}
        async with self.api.connect() as connection:
            await assign(connection, task_id, worker=worker, attempt_id=attempt_id, uses=uses)
        self.running[task_id] = attempt_id
        return await self._add(started(task_id, attempt_id=attempt_id, worker=worker), task_id)

    async def _progress(self, _: list[UUID]) -> None:
        task_id, attempt_id = self.random.choice(list(self.running.items()))
        await self._add(progress(task_id, attempt_id=attempt_id, sequence=self.random.randint(1, 9)), task_id)

    async def _finish(self, _: list[UUID]) -> None:
        task_id, attempt_id = self.random.choice(list(self.running.items()))
        outcome = self.random.choice((Outcome.SUCCESSFUL, Outcome.FAILED))
        await self.api.execute(
            "with c as (delete from claims where task_id = %s returning hold_id)"
            " delete from holds using c where holds.hold_id = c.hold_id",
            task_id,
        )
        del self.running[task_id]
        self.ended.append(task_id)
        await self._add(finished(task_id, attempt_id=attempt_id, outcome=outcome), task_id)

    async def _cancel(self, waiting: list[UUID]) -> None:
        task_id = self.random.choice(waiting)
        await self._add(cancel_requested(task_id), task_id)
        self.ended.append(task_id)
        await self._add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), task_id)

    async def _purge(self, _: list[UUID]) -> None:
        task_id = self.random.choice(self.ended)
        await self._add(purged(task_id), task_id)


async def read(api: Site, as_of: str | None = None) -> list[Any]:
    """All that a reader requests; the positions first."""
    then = {} if as_of is None else {"as_of": as_of}
    told: list[Any] = []
    for params in LISTS:
        answer = await api.client.get(f"{V3}/tasks/", params={**params, **then})
        assert answer.status_code == 200, answer.text
        told = told or [answer.headers.get("pulp-position")]
        told.append((answer.json()["count"], answer.json()["results"]))
    for params in LISTS_OF_V2:
        answer = await api.client.get(f"{V2}/tasks/", params={**params, **then})
        assert answer.status_code == 200, answer.text
        told.append([{key: value for key, value in row.items() if key not in OF_NOW} for row in answer.json()])
    for row in (await get(api, "queues/", **then))["results"]:
        told.append({**{key: value for key, value in row.items() if key not in NOT_RECORDED}, **since_when(row)})
    for row in (await get(api, "resources/", **then))["results"]:
        told.append({**row, **since_when(row), "held_by": holders(row)})
    for resource in ("repository:zoo", "repository:farm"):
        line = await get(api, "resources/line/", resource=resource, **then)
        waiting = [{key: value for key, value in row.items() if key != "wait_seconds"} for row in line["tasks"]]
        told.append({**line, "tasks": waiting, "held_by": holders(line)})
    return told


async def get(api: Site, path: str, **params: str) -> Any:
    answer = await api.client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def since_when(row: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds count to the moment of the reading, which differs."""
    return {"oldest_wait_seconds": row["oldest_wait_seconds"] is not None}


def holders(row: Mapping[str, Any]) -> list[Any]:
    """The holders, without the time of the assignment, which is in no event."""
    return [(each["task"], each["state"], each["worker_name"], each["access"]) for each in row["held_by"]]


def difference(now: Any, then: Any, path: str = "") -> str:
    """Where two answers differ first; empty if they do not."""
    if isinstance(now, list | tuple) and isinstance(then, list | tuple) and len(now) == len(then):
        pairs = [(f"{path}[{number}]", *both) for number, both in enumerate(zip(now, then, strict=True))]
    elif isinstance(now, dict) and isinstance(then, dict) and now.keys() == then.keys():
        pairs = [(f"{path}.{key}", now[key], then[key]) for key in now]
    else:
        return "" if now == then else f"{path}: {now!r}, and it was {then!r}"
    return next((found for where, one, other in pairs if (found := difference(one, other, where))), "")


async def readings_of(api: Site, seed: int, *, events: int, every: int) -> list[Reading]:
    """A life, and what readers got during it."""
    life, found = Life(api, seed), list[Reading]()
    for number in range(events):
        await life.step()
        if number % every == every - 1:
            ends = await api.log.end_offsets()
            last_ms = max(record.timestamp_ms for records in api.log.records for record in records)
            time = datetime.fromtimestamp(last_ms / 1000, UTC)
            told = await read(api)
            found.append(Reading(told[0], time, life.last, ends, told))
    return found


async def rebuild(api: Site) -> None:
    """Fill a generation from the log, in one batch for each partition, and activate it in place of the first."""
    async with api.connect() as connection:
        await create_tables(connection, 2, PARTITIONS)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
    for partition, records in enumerate(api.log.records):
        projector = Projector(api.database, partition, InactiveGeneration(2))
        await projector.locate()
        if records:
            await projector.project(list(records))
        await projector.close()
    async with api.connect() as connection, connection.transaction():
        await create_indexes(connection, 2)
        await connection.execute("update active_generation set generation = 2")
        await show(connection, 2)


@pytest.fixture
async def on_kafka(backend: Backend, database: str, topics: Topics) -> AsyncIterator[Site]:
    """The same on a real log, whose broker says when each event came."""
    async with kafka_site_log(backend.kafka, topics.events) as log, site(database, log=log) as made:
        yield made


@pytest.mark.parametrize("seed", [Random().randrange(10**6)])
async def test_what_was_read_is_read_again_whatever_came_later(on_kafka: Site, seed: int) -> None:
    """It is read as of the answer's positions, as of a cursor, as of the time, and as of the last event."""
    api, choice = on_kafka, Random(seed)
    readings = await readings_of(api, seed, events=60, every=15)
    topic_id = api.client._transport.app.state.hub.topic_id  # type: ignore[attr-defined]
    for reading in readings:
        moments = (str(Cursor.at(topic_id, reading.stops)), reading.time.isoformat(), str(reading.event))
        for moment in (reading.positions, choice.choice(moments)):
            assert difference(await read(api, moment), reading.told) == "", (seed, moment)
    await rebuild(api)
    for reading in readings:
        assert difference(await read(api, reading.positions), reading.told) == "", (seed, reading.positions)


async def test_seconds_count_up_to_the_moment(api: Site) -> None:
    await api.task(resources=(ZOO,))
    await api.task()
    await api.task()
    then = datetime.fromtimestamp(START_MS / 1000 + 3, UTC).isoformat()
    [queue] = (await get(api, "queues/", as_of=then))["results"]
    assert (queue["waiting"], queue["oldest_wait_seconds"]) == (3, 2.0)
    assert [queue[name] for name in NOT_RECORDED] == [None] * len(NOT_RECORDED)
    assert (await get(api, "resources/line/", resource="repository:zoo", as_of=then))["tasks"][0]["wait_seconds"] == 2.0


async def test_a_task_between_two_attempts_is_blocked_then(api: Site) -> None:
    """It is runnable once its time has come, even before anything happens."""
    task_id = new_id()
    await api.add(accepted(task_id, retry=Retry(retries=3, max_backoff_seconds=60.0)))
    await api.add(started(task_id))
    await api.add(attempt_failed(task_id))  # at second 3: the next one comes at second 63
    told = {}
    for second in (2, 3, 62, 63):
        then = datetime.fromtimestamp(START_MS / 1000 + second, UTC).isoformat()
        [queue] = (await get(api, "queues/", as_of=then))["results"]
        told[second] = (queue["running"], queue["blocked"], queue["runnable"])
    assert told == {2: (1, 0, 0), 3: (0, 1, 0), 62: (0, 1, 0), 63: (0, 0, 1)}


async def test_the_clock_of_a_broker_ran_backwards(api: Site) -> None:
    """A time shows everything before a partition's first later event: no event is shown without those before it."""
    first, second, elsewhere = new_id(), new_id(), new_id()
    api.log.next_at(START_MS + 1000)
    await api.add(accepted(elsewhere), 1)
    api.log.next_at(START_MS + 10_000)
    await api.add(accepted(first), 0)
    api.log.next_at(START_MS + 5000)
    await api.add(started(first), 0)
    await api.add(accepted(second), 0)  # at 6 s

    async def shown(second: float) -> dict[str, str]:
        then = datetime.fromtimestamp(START_MS / 1000 + second, UTC).isoformat()
        rows = (await get(api, "tasks/", as_of=then))["results"]
        return {row["pulp_href"].split("/")[-2]: row["state"] for row in rows}

    assert await shown(7) == {str(elsewhere): "waiting"}
    assert await shown(10) == {str(elsewhere): "waiting", str(first): "running", str(second): "waiting"}
    then = datetime.fromtimestamp(START_MS / 1000 + 7, UTC).isoformat()
    assert (await api.client.get(f"{V3}/tasks/{first}/", params={"as_of": then})).status_code == 404


async def test_an_answer_that_has_nothing_to_tell_says_why(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "LEAST_S", 0.2)

    async def refused(as_of: str, path: str = f"{V3}/tasks/") -> tuple[int, str]:
        answer = await api.client.get(path, params={"as_of": as_of})
        body = answer.json()
        return answer.status_code, body.get("detail") or body["error_message"]

    assert (await refused("2001-01-01T00:00:00Z"))[0] == 404  # nothing at all yet
    old = await api.task("sync")
    for path in (f"{V2}/tasks/", f"{V3}/tasks/", f"{V3}/queues/", f"{V3}/resources/"):
        status, why = await refused("2001-01-01T00:00:00Z", path)
        assert (status, "the first event came at 2023-11-14T22:13:21.000Z" in why) == (404, True)
        status, why = await refused("0:999,1:0", path)
        assert (status, "has not reached" in why) == (504, True)
        answer = await api.client.get(path, params={"asof": "0:1"})  # it must not show the present state
        assert answer.status_code == 400
        status, why = await refused("2999-01-01T00:00:00Z", path)
        assert (status, "has not come yet" in why) == (504, True)
        for text in ("yesterday", "2026-01-01T00:00:00", "1:2:3", ":", "1:-1", "1:1,x", "9:1"):
            status, why = await refused(text, path)
            assert (status, text in why) == (400, True)
    await api.execute("delete from generation_1.task_events where task_id = %s", old)  # as an archived month
    await api.task("sync")
    status, why = await refused("2024-01-01T00:00:00Z")
    assert (status, "was archived" in why) == (410, True)


async def test_a_position_that_is_not_projected_yet_is_waited_for(api: Site) -> None:
    task_id = await api.task("sync")
    partition = api.partition_of(task_id)
    asked = asyncio.create_task(get(api, "tasks/", as_of=f"{partition}:1"))
    await asyncio.sleep(0)
    await api.add(started(task_id), partition)
    assert [row["state"] for row in (await asked)["results"]] == ["running"]


async def test_what_may_be_missing_of_a_time_is_not_shown_as_if_it_were_all(api: Site) -> None:
    """While the projection is behind, more events of that time may come, but not before a later event that is there."""
    task_id = await api.task("sync")
    partition = api.partition_of(task_id)
    api.may_project.clear()
    await api.add(started(task_id), partition)
    now = datetime.fromtimestamp(START_MS / 1000 + 2, UTC).isoformat()
    answer = await api.client.get(f"{V3}/tasks/", params={"as_of": now})
    assert (answer.status_code, "behind the log" in answer.json()["detail"]) == (504, True)
    api.may_project.set()
    api.log.appended.set()
    assert [row["state"] for row in (await get(api, "tasks/", as_of=now))["results"]] == ["running"]


async def test_no_answer_folds_more_than_it_may(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_of, "MOST_CHANGED", 2)
    tasks = [await api.task("sync" if number else "publish") for number in range(3)]
    then = datetime.fromtimestamp(START_MS / 1000 + 3, UTC).isoformat()
    for task_id in tasks:
        await api.add(started(task_id), api.partition_of(task_id))
    answer = await api.client.get(f"{V3}/tasks/", params={"as_of": then})
    assert (answer.status_code, "choose a moment" in answer.json()["detail"]) == (422, True)
    earlier = datetime.fromtimestamp(START_MS / 1000 + 2, UTC).isoformat()
    rows = (await get(api, "tasks/", as_of=earlier))["results"]
    assert [row["state"] for row in rows] == ["waiting", "waiting"]


async def test_a_long_list_of_version_2_is_of_one_moment(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is read in pieces, and tasks change between two of them."""
    monkeypatch.setattr(listing, "CHUNK_SIZE", 2)
    tasks = [await api.task("sync") for _ in range(7)]
    then = datetime.fromtimestamp(START_MS / 1000 + 7, UTC).isoformat()
    left, chunk = list(reversed(tasks)), listing._chunk

    async def chunk_after_a_change(*given: Any) -> Any:
        task_id = left.pop(0)
        await api.add(started(task_id), api.partition_of(task_id))
        return await chunk(*given)

    monkeypatch.setattr(listing, "_chunk", chunk_after_a_change)
    rows = (await api.client.get(f"{V2}/tasks/", params={"as_of": then, "state": "waiting"})).json()
    assert [row["task_id"] for row in rows] == [str(task_id) for task_id in tasks]
    assert len(left) < 5  # it has changed meanwhile


async def test_rights_are_those_of_now(database: str) -> None:
    async with site(database, is_scoped=True) as api:
        await api.add_user("jo", Role.VIEWER)
        await api.task("sync")
        own = new_id()
        made = event(accepted(own).data, task_id=own, actor="user:jo")
        await api.add(made, api.partition_of(own))
        then = datetime.fromtimestamp(START_MS / 1000 + 2, UTC).isoformat()
        async with api.as_user("jo") as jo:
            rows = (await jo.get(f"{V3}/tasks/", params={"as_of": then})).json()["results"]
            assert [row["pulp_href"].split("/")[-2] for row in rows] == [str(own)]
            [queue] = (await jo.get(f"{V3}/queues/", params={"as_of": then})).json()["results"]
            assert queue["waiting"] == 1
