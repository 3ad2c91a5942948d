"""Cancelling in the Pulp 2 dialect: the answer says what the request did, whatever the projection knows."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from pulp_events.events import CancelRequested, Event, Outcome

from tests.support.events import ATTEMPT, accepted, finished, started
from tests.support.site import ASKED, V2, V3, Site


async def cancel(api: Site, task_id: object) -> httpx.Response:
    return await api.client.delete(f"{V2}/tasks/{task_id}/")


async def state_of(api: Site, task_id: UUID) -> Any:
    answer = await api.client.get(f"{V2}/tasks/{task_id}/")
    return answer.json()["state"]


def missing(task_id: object) -> dict[str, Any]:
    """The body without which the original client dies."""
    message, resources = f"Missing resource(s): resource_id={task_id}", {"resource_id": str(task_id)}
    return {
        "_href": f"/pulp/api/v2/tasks/{task_id}/",
        "http_status": 404,
        "http_request_method": "DELETE",
        "error_message": message,
        "exception": None,
        "traceback": None,
        "error": {"code": "PLP0009", "description": message, "data": {"resources": resources}, "sub_errors": []},
        "resources": resources,
    }


def requests(api: Site) -> list[str]:
    """The users who requested a cancel."""
    return [event.actor for event in api.log.events if isinstance(event.data, CancelRequested)]


async def test_a_cancel_reads_canceled_as_soon_as_the_task_has_ended(api: Site) -> None:
    task_id = await api.task()
    partition = api.partition_of(task_id)
    await api.add(started(task_id), partition)
    cancelling = asyncio.create_task(cancel(api, task_id))
    await api.until(task_id, "cancelling")
    await api.add(finished(task_id, outcome=Outcome.CANCELLED), partition)
    answer = await cancelling
    report = answer.json()
    assert (answer.status_code, report["state"], report["call_request_id"]) == (202, "canceled", str(task_id))
    assert (report["_href"], answer.headers["pulp-position"]) == (f"/pulp/api/v2/tasks/{task_id}/", f"{partition}:2")
    assert requests(api) == ["user:admin"]


async def test_a_cancel_is_accepted_also_if_the_end_takes_longer(api: Site) -> None:
    task_id = await api.task()
    for _ in range(2):
        answer = await cancel(api, task_id)
        assert (answer.status_code, answer.json()["state"], answer.json()["cancelling"]) == (202, "waiting", True)
    assert requests(api) == ["user:admin"]


async def test_the_reason_of_a_cancel_is_in_the_history(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.2)  # nothing ends these tasks
    by_v2, by_v3, silent = await api.task(), await api.task(), await api.task()
    answers = [
        await api.client.delete(f"{V2}/tasks/{by_v2}/", params={"reason": "wrong feed"}),
        await api.client.patch(f"{V3}/tasks/{by_v3}/", json={"state": "canceled", "reason": "wrong feed"}),
        await cancel(api, silent),
    ]
    assert [answer.status_code for answer in answers] == [202, 200, 202]
    given = {event.task_id: event.data.reason for event in api.log.events if isinstance(event.data, CancelRequested)}
    assert given == {by_v2: "wrong feed", by_v3: "wrong feed", silent: None}
    last = (await api.client.get(f"{V3}/tasks/{by_v2}/history/")).json()["results"][-1]
    assert last["event"]["data"] == {"reason": "wrong feed", "request": msgspec.to_builtins(ASKED)}
    refused = [
        await api.client.delete(f"{V2}/tasks/{silent}/", params={"reason": "x" * 1025}),
        await api.client.patch(f"{V3}/tasks/{silent}/", json={"state": "canceled", "reason": 1}),
    ]
    assert [answer.status_code for answer in refused] == [400, 400]


async def test_a_task_that_cannot_be_cancelled_is_answered_501_in_the_guides_words(api: Site) -> None:
    task_id = await api.task()
    await api.add(started(task_id, cancellable=False), api.partition_of(task_id))
    answer = await cancel(api, task_id)
    assert answer.status_code == 501
    assert answer.json() == {
        "_href": f"/pulp/api/v2/tasks/{task_id}/",
        "http_status": 501,
        "http_request_method": "DELETE",
        "error_message": f"Cancel Not Implemented for Task: {task_id}",
        "exception": None,
        "traceback": None,
        "error": {
            "code": "PLP0014",
            "description": f"Cancel Not Implemented for Task: {task_id}",
            "data": {"args": [str(task_id)]},
            "sub_errors": [],
        },
        "args": [str(task_id)],
    }
    assert requests(api) == []


async def test_a_task_that_is_not_there_or_has_ended_is_none_to_cancel(api: Site) -> None:
    ended = []
    for outcome in Outcome:
        task_id = uuid4()
        await api.add(accepted(task_id))
        await api.add(started(task_id))
        await api.add(finished(task_id, outcome=outcome, attempt_id=ATTEMPT))
        ended.append(task_id)
    for none_to_cancel in (*ended, uuid4(), "nonsense"):
        answer = await cancel(api, none_to_cancel)
        assert (answer.status_code, answer.json()) == (404, missing(none_to_cancel))
    assert requests(api) == []


async def held_back(api: Site, task_id: UUID, *events: Event) -> httpx.Response:
    """The answer to a cancel that arrives before these events of its task are projected."""
    api.may_project.clear()
    for event in events:
        await api.log.append(event, api.partition_of(task_id))
    written = asyncio.Event()

    async def note() -> None:
        written.set()

    api.log.after_append = note
    cancelling = asyncio.create_task(cancel(api, task_id))
    async with asyncio.timeout(20):
        await written.wait()
    api.may_project.set()
    return await cancelling


async def test_a_cancel_never_rests_on_a_projection_that_lags(api: Site) -> None:
    task_id = await api.task()
    answer = await held_back(api, task_id, started(task_id, cancellable=False))
    message = answer.json()["error_message"]
    assert (answer.status_code, message) == (501, f"Cancel Not Implemented for Task: {task_id}")
    assert await state_of(api, task_id) == "running"


async def test_a_cancel_that_comes_after_the_end_is_too_late(api: Site) -> None:
    task_id = await api.task()
    answer = await held_back(api, task_id, started(task_id), finished(task_id))
    assert (answer.status_code, answer.json()) == (404, missing(task_id))
    assert await state_of(api, task_id) == "finished"


async def test_a_cancel_whose_effect_is_not_known_in_time_says_that_it_is_durable(api: Site) -> None:
    task_id = await api.task()
    api.may_project.clear()
    answer = await cancel(api, task_id)
    where = f"{api.partition_of(task_id)}:1"
    assert (answer.status_code, answer.headers["retry-after"]) == (504, "2")
    assert answer.headers["pulp-position"] == where
    assert f"is written at {where} and cannot be lost" in answer.json()["error_message"]
    api.may_project.set()
    await api.until(task_id, "cancelling")


async def test_a_cancel_says_that_it_is_durable_if_postgres_goes_away_behind_it(api: Site) -> None:
    task_id = await api.task()
    api.may_project.clear()  # the projector has its own way to go on without Postgres
    api.log.after_append = api.cut_postgres
    answer = await cancel(api, task_id)
    assert (answer.status_code, answer.headers["pulp-position"]) == (504, f"{api.partition_of(task_id)}:1")
    assert "cannot be lost" in answer.json()["error_message"]
