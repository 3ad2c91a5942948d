"""Why a task waits and why it was skipped, as Pulp 2 says both."""

from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from pulp_events.events import Access, Outcome, Resource

from tests.integration.test_api_waiting import add_worker
from tests.support.assigned import assign
from tests.support.events import finished, started
from tests.support.site import V2, Site

ZOO = Resource(type="repository", id="zoo:animals")
ORPHANS = Resource(type="content_unit", id="orphans", access=Access.SHARED)


async def get(api: Site, task_id: UUID) -> dict[str, Any]:
    answer = await api.client.get(f"{V2}/tasks/{task_id}/")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reason(kind: str, identity: str, operation: str, task_id: UUID) -> dict[str, str]:
    return {"resource_type": kind, "resource_id": identity, "operation": operation, "task_id": str(task_id)}


async def test_a_task_that_waits_is_postponed_and_names_whom_it_waits_for(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1", 1, ("default",), ["sync"])
    holder = await api.task(resources=(ZOO,))
    waiting = await api.task(resources=(ZOO, ORPHANS))
    ahead = await get(api, waiting)
    assert (ahead["response"], ahead["reasons"]) == (
        "postponed",
        [reason("repository", "zoo:animals", "update", holder)],
    )
    [(instance_id,)] = await api.execute("select instance_id from workers")
    async with api.connect() as connection:
        await assign(connection, holder, instance_id=instance_id, uses={"repository:zoo:animals": True})
    await api.add(started(holder), api.partition_of(holder, ZOO))
    held = await get(api, waiting)
    assert held["response"] == "postponed"
    assert reason("repository", "zoo:animals", "update", holder) in held["reasons"]
    running = await get(api, holder)
    assert (running["response"], running["reasons"], running["dependency_failures"]) == ("accepted", [], {})
    for listed in (
        await api.client.get(f"{V2}/task_groups/{waiting}/"),
        await api.client.get(f"{V2}/tasks/", params={"id": str(waiting)}),
        await api.client.post(f"{V2}/tasks/search/", json={"criteria": {"filters": {"task_id": str(waiting)}}}),
        await api.client.get(
            f"{V2}/tasks/search/", params={"filters": f'{{"task_id": "{waiting}"}}', "field": "reasons"}
        ),
    ):
        [told] = listed.json()
        assert told["reasons"] == held["reasons"]


async def test_a_task_names_the_task_that_it_depends_on(api: Site) -> None:
    first = await api.task()
    second = await api.task(depends_on=(first,))
    assert (await get(api, second))["reasons"] == [reason("task", str(first), "update", first)]


async def test_a_skipped_task_names_the_dependencies_that_did_not_succeed(api: Site) -> None:
    good, bad = await api.task(), await api.task()
    skipped = await api.task(depends_on=(good, bad))
    for task_id, outcome in ((good, Outcome.SUCCESSFUL), (bad, Outcome.FAILED)):
        attempt_id = uuid4()
        await api.add(started(task_id, attempt_id=attempt_id), api.partition_of(task_id))
        await api.add(finished(task_id, attempt_id=attempt_id, outcome=outcome), api.partition_of(task_id))
    await api.add(finished(skipped, attempt_id=None, outcome=Outcome.SKIPPED), api.partition_of(skipped))
    expected = {str(bad): {"expected": ["finished"], "actual": "error"}}
    assert (await get(api, skipped))["dependency_failures"] == expected
    listed = (await api.client.get(f"{V2}/tasks/", params={"state": "skipped"})).json()
    assert [each["dependency_failures"] for each in listed] == [expected]


async def test_each_task_of_a_list_names_what_it_alone_waits_for(api: Site) -> None:
    """The tasks use resources in both ways, and several of them; each is explained as it would be alone."""
    async with api.connect() as connection:
        await add_worker(connection, "w1", 1, ("default",), ["sync"])
    shared = replace(ZOO, access=Access.SHARED)
    readers = [await api.task(resources=(shared,)) for _ in range(2)]
    writer = await api.task(resources=(ZOO,))
    late = [await api.task(resources=uses) for uses in ((shared,), (ZOO,), (ZOO, ORPHANS), ())]
    orphans = await api.task(resources=(replace(ORPHANS, access=Access.EXCLUSIVE),), depends_on=(late[-1],))
    listed = {each["task_id"]: each["reasons"] for each in (await api.client.get(f"{V2}/tasks/")).json()}
    animals = ("repository", "zoo:animals", "update")
    assert listed == {
        **{str(task_id): [] for task_id in (*readers, late[-1])},
        str(writer): [reason(*animals, readers[0])],
        str(late[0]): [reason(*animals, writer)],
        **{str(task_id): [reason(*animals, readers[0])] for task_id in late[1:3]},
        str(orphans): [
            reason("content_unit", "orphans", "update", late[2]),
            reason("task", str(late[-1]), "update", late[-1]),
        ],
    }
    for task_id, reasons in listed.items():
        assert (await get(api, UUID(task_id)))["reasons"] == reasons
