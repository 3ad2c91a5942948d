"""Task groups of the v3 dialect: their counters, their tasks, and what a client that waits for one needs."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from pulp_accounts.users import Role
from pulp_events.events import Outcome
from pulp_events.ids import new_id

from tests.support.events import ATTEMPT, accepted, cancel_requested, finished, started
from tests.support.site import V3, Site

COUNTERS = ("waiting", "skipped", "running", "completed", "canceled", "failed", "canceling")
FIELDS = [
    *("pulp_href", "prn", "description", "all_tasks_dispatched", *COUNTERS, "group_progress_reports", "tasks"),
]
CANCEL = {"state": "canceled"}


async def in_every_state(api: Site, group: UUID) -> dict[str, UUID]:
    """A task of the group for each state, oldest first."""
    found = {}
    for word in COUNTERS:
        task_id = await api.task("sync", group_id=group)
        partition = api.partition_of(task_id)
        if word in ("running", "completed", "failed"):
            await api.add(started(task_id), partition)
        if word in ("canceling", "canceled"):
            await api.add(cancel_requested(task_id), partition)
        if word in ("completed", "failed", "canceled", "skipped"):
            outcome = Outcome({"completed": "successful", "canceled": "cancelled"}.get(word, word))
            attempt = ATTEMPT if word in ("completed", "failed") else None
            await api.add(finished(task_id, outcome=outcome, attempt_id=attempt), partition)
        found[word] = task_id
    return found


async def read(api: Site, group: UUID, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/task-groups/{group}/", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_group_counts_its_tasks_by_state_and_names_them(api: Site) -> None:
    group = uuid4()
    made = await in_every_state(api, group)
    await api.task("sync", group_id=uuid4())
    found = await read(api, group)
    assert list(found) == FIELDS
    assert {word: found[word] for word in COUNTERS} == dict.fromkeys(COUNTERS, 1)
    assert found["pulp_href"] == f"{V3}/task-groups/{group}/"
    assert found["prn"] == f"prn:core.taskgroup:{group}"
    assert (found["description"], found["all_tasks_dispatched"]) == ("sync", True)
    assert [task["pulp_href"] for task in found["tasks"]] == [f"{V3}/tasks/{made[word]}/" for word in COUNTERS]
    assert [task["state"] for task in found["tasks"]] == list(COUNTERS)
    task = (await api.client.get(found["tasks"][0]["pulp_href"])).json()
    assert task["task_group"] == found["pulp_href"]
    assert await read(api, group, fields="running,failed") == {"running": 1, "failed": 1}


async def test_the_list_has_the_groups_and_pages_them(api: Site) -> None:
    groups = sorted((uuid4() for _ in range(5)), key=str, reverse=True)
    for group in groups:
        await api.task("sync", group_id=group)
        await api.task("publish", group_id=group)
    await api.task("sync")
    page = (await api.client.get(f"{V3}/task-groups/", params={"limit": 2})).json()
    seen = []
    while True:
        assert page["count"] == 5
        assert all(row["waiting"] == 2 and len(row["tasks"]) == 2 for row in page["results"])
        seen += [row["pulp_href"] for row in page["results"]]
        if page["next"] is None:
            break
        page = (await api.client.get(page["next"])).json()
    assert seen == [f"{V3}/task-groups/{group}/" for group in groups]
    by_prn = {"prn__in": f"prn:core.taskgroup:{groups[3]}"}
    assert (await api.client.get(f"{V3}/task-groups/", params=by_prn)).json()["count"] == 1
    bogus = await api.client.get(f"{V3}/task-groups/", params={"bogus": "1"})
    assert (bogus.status_code, bogus.json()) == (400, {"errors": ["Invalid Filter: 'bogus'"]})


async def test_a_list_shows_only_the_first_tasks_of_a_large_group(api: Site) -> None:
    group = uuid4()
    for _ in range(21):
        await api.task("sync", group_id=group)
    [row] = (await api.client.get(f"{V3}/task-groups/")).json()["results"]
    assert (row["waiting"], len(row["tasks"]), row["omitted"]) == (21, 20, ["tasks"])
    found = await read(api, group)
    assert len(found["tasks"]) == 21
    assert "omitted" not in found


async def test_a_group_shows_what_was_submitted_a_moment_before(api: Site) -> None:
    group = uuid4()
    for number in range(1, 6):
        await api.submit({"operation": "publish", "arguments": {"repo_id": "zoo"}, "group_id": str(group)})
        assert (await read(api, group))["waiting"] == number


@pytest.mark.parametrize(
    ("path", "detail"), [(str(uuid4()), "No TaskGroup matches the given query."), ("x", "Not found.")]
)
async def test_a_group_that_is_not_there(api: Site, path: str, detail: str) -> None:
    for answer in (
        await api.client.get(f"{V3}/task-groups/{path}/"),
        await api.client.patch(f"{V3}/task-groups/{path}/", json=CANCEL),
    ):
        assert (answer.status_code, answer.json()) == (404, {"detail": detail})


async def test_cancelling_a_group_cancels_what_waits_or_runs(api: Site) -> None:
    group = uuid4()
    for _ in range(40):
        await api.task("sync", group_id=group)
    other = await api.task("sync", group_id=uuid4())
    answer = await api.client.patch(f"{V3}/task-groups/{group}/", json=CANCEL)
    assert (answer.status_code, answer.json()["waiting"], answer.json()["canceling"]) == (200, 0, 40)
    assert (await api.client.get(f"{V3}/tasks/{other}/")).json()["state"] == "waiting"
    again = await api.client.patch(f"{V3}/task-groups/{group}/", json=CANCEL)
    assert (again.status_code, again.json()["canceling"]) == (200, 40)


async def test_a_group_with_a_task_that_cannot_be_cancelled_is_answered_409(api: Site) -> None:
    group = uuid4()
    stubborn, other = await api.task("publish", group_id=group), await api.task("sync", group_id=group)
    await api.add(started(stubborn, cancellable=False), api.partition_of(stubborn))
    answer = await api.client.patch(f"{V3}/task-groups/{group}/", json=CANCEL)
    assert (answer.status_code, answer.json()["running"], answer.json()["canceling"]) == (409, 1, 1)
    assert (await api.client.get(f"{V3}/tasks/{other}/")).json()["state"] == "canceling"


async def test_a_body_that_does_not_cancel_is_refused(api: Site) -> None:
    group = uuid4()
    await api.task("sync", group_id=group)
    for body, expected in (
        ({}, {"state": ["This field is required."]}),
        ({"state": "running"}, {"state": ["The only acceptable value for 'state' is 'canceled'."]}),
    ):
        answer = await api.client.patch(f"{V3}/task-groups/{group}/", json=body)
        assert (answer.status_code, answer.json()) == (400, expected)
    form = await api.client.patch(f"{V3}/task-groups/{group}/", data=CANCEL)
    assert form.status_code == 200


async def test_who_may_cancel_a_group(api: Site) -> None:
    group = uuid4()
    await api.task("sync", group_id=group)
    for name, role, status in (
        ("vi", Role.VIEWER, 403),
        ("su", Role.SUBMITTER, 403),  # the task belongs to another user
        ("op", Role.OPERATOR, 200),
    ):
        await api.add_user(name, role)
        answer = await api.as_user(name).patch(f"{V3}/task-groups/{group}/", json=CANCEL)
        assert answer.status_code == status, name


async def test_tasks_of_others_do_not_keep_ones_own_from_being_cancelled(api: Site) -> None:
    group = uuid4()
    for name in ("su", "kim"):
        await api.add_user(name, Role.SUBMITTER)
    made = {}
    for name in ("kim", "su"):
        made[name] = new_id()
        task = replace(accepted(made[name], group_id=group), actor=f"user:{name}")
        await api.add(task, api.partition_of(made[name]))
    answer = await api.as_user("su").patch(f"{V3}/task-groups/{group}/", json=CANCEL)
    assert (answer.status_code, answer.json()["waiting"], answer.json()["canceling"]) == (409, 1, 1)
    for name, state in (("su", "canceling"), ("kim", "waiting")):
        assert (await api.client.get(f"{V3}/tasks/{made[name]}/")).json()["state"] == state


async def test_each_task_of_a_group_that_did_not_succeed_tells_a_client_why(api: Site) -> None:
    """A client that waits for a group reads `description` or `reason` of each task that failed or was cancelled."""
    made = await in_every_state(api, uuid4())
    for word in ("failed", "canceled"):
        task = (await api.client.get(f"{V3}/tasks/{made[word]}/")).json()
        assert task["state"] == word
        assert task["error"].get("description") or task["error"].get("reason")


async def test_a_client_that_waits_for_a_skipped_task_ends_and_reads_why(api: Site) -> None:
    """Clients of Pulp end at completed, failed and canceled; lists, filters and counters know `skipped`."""
    made = await in_every_state(api, uuid4())
    task = (await api.client.get(f"{V3}/tasks/{made['skipped']}/")).json()
    assert task["state"] == "failed"
    [row] = (await api.client.get(f"{V3}/tasks/", params={"state": "skipped"})).json()["results"]
    assert (row["pulp_href"], row["state"]) == (task["pulp_href"], "skipped")
