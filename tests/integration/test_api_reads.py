"""Reads that see earlier writes, and cancelling in the Pulp 3 dialect."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from pulp_events.events import CancelRequested, Outcome

from tests.support.events import ATTEMPT, accepted, finished, started
from tests.support.site import V2, V3, Site


async def cancel(api: Site, task_id: object) -> httpx.Response:
    return await api.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled"})


async def test_a_read_waits_for_the_position_that_it_asks_for(api: Site) -> None:
    api.may_project.clear()
    submitted = await api.client.delete(f"{V2}/content/orphans/")
    at_least = {"Pulp-Min-Position": submitted.headers["pulp-position"]}
    task_id = submitted.json()["task_id"]
    paths = (f"{V3}/tasks/", f"{V2}/tasks/", f"{V3}/tasks/{task_id}/", f"{V2}/tasks/{task_id}/")
    reads = [asyncio.create_task(api.client.get(path, headers=at_least)) for path in paths]
    search = asyncio.create_task(api.client.post(f"{V2}/tasks/search/", json={"criteria": {}}, headers=at_least))
    done, _ = await asyncio.wait([*reads, search], timeout=0.2)
    assert done == set()
    api.may_project.set()
    for answer in [*[await read for read in reads], await search]:
        assert (answer.status_code, task_id in answer.text) == (200, True)


async def test_a_position_that_is_not_reached_in_time_is_no_stale_answer(
    api: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.freshness.LEAST_S", 0.2)
    task_id = await api.task()
    for path in (f"{V3}/tasks/", f"{V3}/tasks/{task_id}/", f"{V2}/tasks/", f"{V2}/tasks/{task_id}/"):
        answer = await api.client.get(path, headers={"Pulp-Min-Position": "0:0,3:77"})
        assert (answer.status_code, answer.headers["retry-after"]) == (504, "2"), path
        assert "has not reached" in answer.text


async def test_positions_that_cannot_be(api: Site) -> None:
    for text in ("x", "1", "1:", ":1", "1:2:3", "-1:2", "1:-2", "4:0", "0:0,x", "0:" + "9" * 30, "0;0"):
        answer = await api.client.get(f"{V3}/tasks/", headers={"Pulp-Min-Position": text})
        assert answer.status_code == 400, text
        assert answer.json()["detail"].startswith("Pulp-Min-Position:")
    answer = await api.client.get(f"{V3}/tasks/", headers={"Pulp-Min-Position": ""})
    assert answer.status_code == 200


async def test_who_has_no_memory_sees_all_the_same_what_was_done_before(api: Site) -> None:
    """`cancel`, then `details`, by two processes that know nothing about each other."""
    task_id = await api.task()
    api.may_project.clear()
    await api.log.append(accepted(other := uuid4()), 0)
    cancelling = asyncio.create_task(api.client.delete(f"{V2}/tasks/{task_id}/"))
    details = [asyncio.create_task(api.client.get(f"{V3}/tasks/{other}/")) for _ in range(3)]
    unknown = asyncio.create_task(api.client.get(f"{V2}/tasks/{uuid4()}/"))
    await asyncio.sleep(0)
    api.may_project.set()
    for read in details:
        answer = await read
        assert (answer.status_code, answer.json()["state"]) == (200, "waiting")
        assert "pulp-lag" not in answer.headers
    assert (await unknown).status_code == 404
    assert (await cancelling).status_code == 202
    assert (await api.client.get(f"{V2}/tasks/{task_id}/")).json()["cancelling"] is True


async def test_an_answer_that_may_be_old_says_by_how_much(api: Site) -> None:
    task_id = await api.task()
    api.may_project.clear()
    for _ in range(3):
        await api.log.append(accepted(uuid4()), 1)
    answers = await asyncio.gather(
        api.client.get(f"{V3}/tasks/{task_id}/"),
        api.client.get(f"{V2}/tasks/{task_id}/"),
        api.client.get(f"{V3}/tasks/{task_id}/history/"),
        api.client.get(f"{V2}/tasks/{uuid4()}/"),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert [answer.headers["pulp-lag"] for answer in answers] == ["3"] * 4
    cancelling = await cancel(api, uuid4())  # the task may exist, but not be projected yet
    assert (cancelling.status_code, "events behind: 3" in cancelling.json()["detail"]) == (503, True)


async def test_a_list_answers_at_once_and_says_what_it_shows(api: Site) -> None:
    await api.add(accepted(uuid4()), 1)
    api.may_project.clear()
    await api.log.append(accepted(uuid4()), 1)
    answer = await api.client.get(f"{V3}/tasks/")
    assert (answer.json()["count"], answer.headers["pulp-position"]) == (1, "1:0")


async def test_a_cancel_answers_with_the_task(api: Site) -> None:
    task_id = await api.task()
    await api.add(started(task_id), api.partition_of(task_id))
    cancelling = asyncio.create_task(cancel(api, task_id))
    await api.until(task_id, "cancelling")
    await api.add(finished(task_id, outcome=Outcome.CANCELLED), api.partition_of(task_id))
    answer = await cancelling
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert answer.headers["pulp-position"] == f"{api.partition_of(task_id)}:2"
    again = await cancel(api, task_id)
    assert (again.status_code, again.json()) == (200, answer.json())


async def test_a_task_that_has_ended_or_cannot_be_cancelled_is_answered_409_with_the_task(api: Site) -> None:
    for outcome in (Outcome.SUCCESSFUL, Outcome.FAILED, Outcome.SKIPPED):
        task_id = uuid4()
        for event in (accepted(task_id), started(task_id), finished(task_id, outcome=outcome, attempt_id=ATTEMPT)):
            await api.add(event)
        answer = await cancel(api, task_id)
        assert answer.status_code == 409
        task = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()
        assert answer.json() == {"detail": f"Task {task_id} has already ended.", **task}
        assert next(iter(answer.json())) == "detail"  # clients print the beginning
    task_id = uuid4()
    await api.add(accepted(task_id))
    await api.add(started(task_id, cancellable=False))
    answer = await cancel(api, task_id)
    assert (answer.status_code, answer.json()["state"]) == (409, "running")
    assert answer.json()["detail"] == f"Cancel Not Implemented for Task: {task_id}"
    assert [event for event in api.log.events if isinstance(event.data, CancelRequested)] == []


async def test_bodies_that_are_no_cancel_are_answered_as_pulp_does(api: Site) -> None:
    task_id = await api.task()
    required, only = "This field is required.", "The only acceptable value for 'state' is 'canceled'."
    for body, expected in (
        (b"", {"state": [required]}),  # as Django REST framework reads it
        (b"{}", {"state": [required]}),
        (b"[]", {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
        (b'{"state": "running"}', {"state": [only]}),
        (b'{"state": null}', {"state": ["This field may not be null."]}),
    ):
        answer = await api.client.patch(f"{V3}/tasks/{task_id}/", content=body)
        assert (answer.status_code, answer.json()) == (400, expected), body
    for body in (b"{", b"\xff", b"[" * 5000):
        answer = await api.client.patch(f"{V3}/tasks/{task_id}/", content=body)
        assert (answer.status_code, answer.json()["detail"].startswith("JSON parse error - ")) == (400, True), body[:9]
    for unknown, detail in ((uuid4(), "No Task matches the given query."), ("x", "Not found.")):
        answer = await cancel(api, unknown)
        assert (answer.status_code, answer.json()) == (404, {"detail": detail})


async def test_a_cancel_that_races_with_the_end_is_answered_by_what_came_first(
    api: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 1.0)

    async def race(turns: int) -> tuple[UUID, httpx.Response]:
        task_id = uuid4()
        await api.add(accepted(task_id))
        await api.add(started(task_id))
        cancelling = asyncio.create_task(cancel(api, task_id))
        for _ in range(turns):
            await asyncio.sleep(0)
        await api.add(finished(task_id))
        return task_id, await cancelling

    for turns in range(0, 120, 8):
        task_id, answer = await race(turns)
        history = (await api.client.get(f"{V3}/tasks/{task_id}/history/")).json()["results"]
        effects = [entry["effect"] for entry in history if ".cancel-requested." in entry["type"]]
        assert answer.json()["state"] == "completed"  # in both orders: the task had ended before it learned of it
        assert (answer.status_code, effects) in [(200, ["applied"]), (409, ["final"]), (409, [])], turns
