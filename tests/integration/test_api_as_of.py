"""A task as of a time, and as of each event of its history."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pulp_api import freshness
from pulp_api.respond import instant
from pulp_events.cursor import Cursor
from pulp_events.events import Outcome
from pulp_events.ids import new_id
from pulp_projections.reading.as_of import task_as_of
from pulp_projections.reading.moments import PastEvents

from tests.support.events import accepted, cancel_requested, finished, progress, started
from tests.support.site import START_MS, V2, V3, Site, site

# The log's clock advances by a second with each event: the first one comes one second after the start.
SECOND = {word: START_MS // 1000 + number for number, word in enumerate(("", "accepted", "started", "half", "whole"))}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    async with site(database) as made:
        yield made


async def told(api: Site) -> UUID:
    """A task that started, progressed twice, was asked to cancel, and ended; all in partition 2."""
    task_id = new_id()
    for event in (
        accepted(task_id, operation="sync"),
        started(task_id, cancellable=True),
        progress(task_id, sequence=1, value={"left": 1}),
        progress(task_id, sequence=2, value={"left": 0}),
        progress(task_id, sequence=2, value={"left": 9}),  # has no effect: the sequence does not rise
        cancel_requested(task_id),
        finished(task_id, outcome=Outcome.CANCELLED),
    ):
        await api.add(event, 2)
    return task_id


@pytest.mark.parametrize(
    ("offset", "state", "left", "version"),
    [
        (0, "waiting", None, 1),
        (1, "running", None, 2),
        (2, "running", 1, 3),
        (3, "running", 0, 4),
        (4, "running", 0, 4),
        (5, "canceling", 0, 5),
        (6, "canceled", 0, 6),
    ],
)
async def test_just_after_each_event(api: Site, offset: int, state: str, left: int | None, version: int) -> None:
    task_id = await told(api)
    answer = await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": f"2:{offset}"})
    task = answer.json()
    assert (task["state"], task["progress"].get("left"), task["version"]) == (state, left, version)


async def test_the_newest_is_what_is_read_without_it(api: Site) -> None:
    task_id = await told(api)
    child = await api.task("sync", parent_id=task_id)
    now = await api.client.get(f"{V3}/tasks/{task_id}/")
    then = await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": instant(datetime.now(UTC))})
    assert now.json() == then.json()
    assert now.json()["child_tasks"] == [f"{V3}/tasks/{child}/"]


@pytest.mark.parametrize(("moment", "state"), [("accepted", "waiting"), ("started", "running"), ("half", "running")])
async def test_at_a_time(api: Site, moment: str, state: str) -> None:
    task_id = await told(api)
    at = datetime.fromtimestamp(SECOND[moment], UTC)
    v2 = await api.client.get(f"{V2}/tasks/{task_id}/", params={"as_of": at.isoformat()})
    v3 = await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": at.isoformat().replace("+00:00", "Z")})
    assert (v2.json()["state"], v3.json()["state"]) == (state, state)
    assert v3.json()["pulp_last_updated"] == at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


async def test_what_has_not_come_yet_is_not_shown_as_if_it_had(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "LEAST_S", 0.2)
    task_id = await told(api)
    for path in (f"{V2}/tasks/{task_id}/", f"{V3}/tasks/{task_id}/", f"{V3}/tasks/{task_id}/progress/"):
        for moment, why in (
            ("2:99", "the projection has not reached 2:99 within 0.2 s: it is at 2:6"),
            ("2:99,0:0", "the projection has not reached 2:99, 0:0 within 0.2 s: it is at 2:6, the start of 0"),
            ("2999-01-01T00:00:00Z", "as_of=2999-01-01T00:00:00Z has not come yet, it is 2"),
        ):
            answer = await api.client.get(path, params={"as_of": moment})
            assert (answer.status_code, why in answer.text) == (504, True), answer.text


async def test_before_it_was_there(api: Site) -> None:
    task_id = await told(api)
    for root in (V2, V3):
        answer = await api.client.get(f"{root}/tasks/{task_id}/", params={"as_of": "2001-01-01T00:00:00Z"})
        assert answer.status_code == 404


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00", "1:2:3", ":", "2026-13-01T00:00:00Z", "1:-1"])
async def test_what_is_no_moment(api: Site, text: str) -> None:
    task_id = await told(api)
    answer = await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": text})
    assert (answer.status_code, text in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("seed", range(3))
async def test_a_time_means_for_one_task_what_it_means_for_all(api: Site, seed: int) -> None:
    """Compared with the moment of lists, which is searched for in the whole history; clocks run backwards."""
    random = Random(seed)
    parents = [(new_id(), random.randrange(2)) for _ in range(3)]
    events = []
    for parent, partition in parents:
        children = [(new_id(), random.randrange(3)) for _ in range(3)]
        events.append([(accepted(parent), partition), (started(parent), partition), (finished(parent), partition)])
        events += [[(accepted(child, parent_id=parent), place), (started(child), place)] for child, place in children]
    now_ms = START_MS
    while events:
        each = random.choice(events)
        now_ms += random.choice([500, 1000, 60_000, -3000, -1_800_000])
        api.log.next_at(now_ms)
        await api.add(*each.pop(0))
        events = [rest for rest in events if rest]
    times = [record.timestamp_ms for records in api.log.records for record in records]
    async with api.connect() as connection:
        for time_ms in [*times, *(each + random.choice([-1, 1, 250]) for each in times), min(times) - 1]:
            then = datetime.fromtimestamp(time_ms / 1000, UTC)
            stops = await PastEvents(connection).stops_of(then)
            for parent, _ in parents:
                assert await task_as_of(connection, parent, then) == await task_as_of(connection, parent, stops), then


async def test_one_task_takes_every_form_of_a_moment(api: Site) -> None:
    task_id = await told(api)
    for partition in (0, 3):
        await api.add(accepted(new_id(), operation="sync"), partition)

    async def state(as_of: str) -> str:
        answer = await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": as_of})
        return str(answer.json().get("state", answer.text))

    assert await state("2:1") == "running"
    assert await state("0:0,2:1") == "running"  # the Pulp-Position of a list
    assert isinstance(api.client._transport, httpx.ASGITransport)
    app = api.client._transport.app
    assert isinstance(app, FastAPI)
    cursor = Cursor(app.state.hub.topic_id, (0, 0, 1, 0))
    assert await state(str(cursor)) == "waiting"
    progress_then = await api.client.get(f"{V3}/tasks/{task_id}/progress/", params={"as_of": "2:2,3:0"})
    assert progress_then.json() == {"left": 1}
    assert "there is no partition 9" in await state("9:1")
    other = Cursor("AAAAAAAAAAAAAAAAAAAAAA", (0, 0, 1, 0))
    assert (await api.client.get(f"{V3}/tasks/{task_id}/", params={"as_of": str(other)})).status_code == 410
