"""Task groups in the v2 dialect: groups that a submission names, and groups of single tasks."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from pulp_accounts.users import Role
from pulp_api.settings import LISTED_S
from pulp_events.events import CancelRequested, Outcome, Resource

from tests.support.events import finished, started
from tests.support.site import V2, Site

STATES = ("accepted", "finished", "running", "canceled", "waiting", "skipped", "suspended", "error")


def group_href(group_id: object) -> str:
    return f"{V2}/task_groups/{group_id}/"


async def summary(api: Site, group_id: object) -> Any:
    answer = await api.client.get(f"{group_href(group_id)}state_summary/")
    assert answer.status_code == 200
    return answer.json()


async def test_a_group_shows_its_tasks_in_order_with_its_own_address(api: Site) -> None:
    group = uuid4()
    made = [await api.task(group_id=group) for _ in range(3)]
    await api.task()
    reports = (await api.client.get(group_href(group))).json()
    assert [report["task_id"] for report in reports] == [str(task_id) for task_id in made]
    for report in reports:
        assert (report["_href"], report["call_request_group_id"]) == (group_href(group), str(group))


async def test_a_task_without_a_group_is_one_of_its_own(api: Site) -> None:
    task_id = await api.task()
    report = (await api.client.get(f"{V2}/tasks/{task_id}/")).json()
    [told] = (await api.client.get(group_href(report["call_request_group_id"]))).json()
    assert told["call_request_id"] == str(task_id)
    # Yet it is in no group, for the client of 2.21, whose list leaves out the members of groups.
    body = {"criteria": {"filters": {"group_id": None}}}
    found = (await api.client.post(f"{V2}/tasks/search/", json=body)).json()
    assert [each["task_id"] for each in found] == [str(task_id)]


async def test_a_long_group_is_whole_and_explained_too(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.v2.listing.CHUNK_SIZE", 2)
    group, zoo = uuid4(), Resource("repository", "zoo")
    made = [str(await api.task(group_id=group, resources=(zoo,))) for _ in range(5)]
    reports = (await api.client.get(group_href(group))).json()
    assert [report["task_id"] for report in reports] == made
    assert {report["_href"] for report in reports} == {group_href(group)}
    assert [report["response"] for report in reports] == ["accepted", *["postponed"] * 4]
    for report in reports[1:]:
        assert [reason["task_id"] for reason in report["reasons"]] == [made[0]]


async def test_the_list_names_the_groups_of_the_tasks_that_are_listed(api: Site) -> None:
    api.service.listed_s = LISTED_S  # the events of a site are older
    assert (await api.client.get(f"{V2}/task_groups/")).json() == []
    first, second = uuid4(), uuid4()
    await api.task(group_id=first)
    alone = await api.task()
    await api.task(group_id=second)
    await api.task(group_id=first)
    ended = await api.task(group_id=uuid4())
    await api.add(started(ended), api.partition_of(ended))
    await api.add(finished(ended), api.partition_of(ended))
    groups = (await api.client.get(f"{V2}/task_groups/")).json()
    assert [each["task_group_id"] for each in groups] == [str(first), str(alone), str(second)]
    for each in groups:
        assert each == {
            "task_group_id": each["task_group_id"],
            "call_request_group_id": each["task_group_id"],
            "_href": group_href(each["task_group_id"]),
        }
        assert (await api.client.get(each["_href"])).status_code == 200
    page = (await api.client.get(f"{V2}/task_groups/", params={"limit": 1, "skip": 1})).json()
    assert page == groups[1:2]
    assert (await api.client.get(f"{V2}/task_groups/", params={"state": "running"})).status_code == 400


async def test_a_list_of_too_many_groups_says_how_to_page(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.v2.task_groups.MOST_LISTED", 2)
    for _ in range(3):
        await api.task()
    answer = await api.client.get(f"{V2}/task_groups/")
    assert answer.status_code == 400
    assert "page by 'limit' and 'skip'" in answer.json()["error_message"]
    assert len((await api.client.get(f"{V2}/task_groups/", params={"limit": 2})).json()) == 2


async def test_the_summary_counts_each_state(api: Site) -> None:
    group = uuid4()
    made = [await api.task(group_id=group) for _ in range(6)]
    for task_id in made[1:]:
        await api.add(started(task_id), api.partition_of(task_id))
    for task_id, outcome in zip(made[2:], Outcome, strict=True):
        await api.add(finished(task_id, outcome=outcome), api.partition_of(task_id))
    one_each = {word: 1 for word in STATES if word not in ("accepted", "suspended")}
    assert await summary(api, group) == {"total": 6, "accepted": 0, "suspended": 0, **one_each}
    assert await summary(api, made[0]) == {"total": 0, **dict.fromkeys(STATES, 0)}  # it is in another group
    assert await summary(api, uuid4()) == {"total": 0, **dict.fromkeys(STATES, 0)}
    assert await summary(api, "nonsense") == {"total": 0, **dict.fromkeys(STATES, 0)}


async def test_a_group_is_cancelled_as_far_as_it_can_be(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.3)  # nothing ends these tasks
    group = uuid4()
    ended, running, waiting = [await api.task(group_id=group) for _ in range(3)]
    await api.add(started(ended), api.partition_of(ended))
    await api.add(finished(ended), api.partition_of(ended))
    await api.add(started(running, cancellable=False), api.partition_of(running))
    answer = await api.client.delete(group_href(group))
    assert answer.status_code == 202
    assert [report["task_id"] for report in answer.json()] == [str(waiting)]
    assert answer.json()[0]["spawned_tasks"][0]["task_id"] == str(waiting)
    assert cancelled(api) == [waiting]


async def test_a_group_of_which_nothing_can_be_cancelled_is_501_and_an_unknown_one_404(api: Site) -> None:
    task_id = await api.task()
    await api.add(started(task_id, cancellable=False), api.partition_of(task_id))
    answer = await api.client.delete(group_href(task_id))
    message = f"Cancel Not Implemented for TaskGroup: {task_id}"
    assert (answer.status_code, answer.json()["error_message"], answer.json()["args"]) == (501, message, [str(task_id)])
    for unknown in (uuid4(), "nonsense"):
        answer = await api.client.delete(group_href(unknown))
        assert (answer.status_code, answer.json()["resources"]) == (404, {"task_group": str(unknown)})
    assert cancelled(api) == []


async def test_who_may_not_cancel_a_task_may_not_cancel_its_group(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    task_id = await api.task()
    answer = await api.as_user("jo").delete(group_href(task_id))
    assert (answer.status_code, answer.json()["auth_error_code"]) == (401, "permission_denied")
    assert cancelled(api) == []


def cancelled(api: Site) -> list[UUID]:
    """The tasks for which somebody requested a cancel."""
    return [event.task_id for event in api.log.events if isinstance(event.data, CancelRequested)]
