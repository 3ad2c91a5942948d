"""Why tasks wait if only own tasks are visible: the answer says that a task is in the way, but not whose."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from pulp_accounts.users import Role
from pulp_events.events import Resource
from pulp_events.ids import new_id

from tests.support.assigned import assign
from tests.support.events import accepted, started
from tests.support.site import V2, V3, Site, site

ZOO = Resource("repository", "zoo")
SECRET = Resource("repository", "secret")


@pytest.fixture
async def own(database: str) -> AsyncIterator[Site]:
    """Jo and Kim submit, Vi views, Op operates; the first three each see only their own tasks."""
    async with site(database, is_scoped=True) as made:
        for name, role in (("jo", Role.SUBMITTER), ("kim", Role.SUBMITTER), ("vi", Role.VIEWER), ("op", Role.OPERATOR)):
            await made.add_user(name, role)
        yield made


async def task_of(api: Site, user: str, *resources: Resource, **data: Any) -> UUID:
    task_id = new_id()
    event = replace(accepted(task_id, resources=resources, **data), actor=f"user:{user}")
    await api.add(event, api.partition_of(task_id, *resources))
    return task_id


async def run(api: Site, task_id: UUID, *resources: Resource) -> None:
    """Assign it and start it."""
    attempt_id = new_id()
    async with api.connect() as connection:
        uses = {resource.key: True for resource in resources}
        await assign(connection, task_id, uses=uses, attempt_id=attempt_id)
    await api.add(started(task_id, attempt_id=attempt_id), api.partition_of(task_id, *resources))


@pytest.fixture
async def tasks(own: Site) -> dict[str, UUID]:
    """Jo's task holds the zoo, then Jo's, Kim's and Jo's wait for it; only Jo's tasks hold and wait for the secret
    one."""
    made = {
        "jo holds": await task_of(own, "jo", ZOO),
        "jo first": await task_of(own, "jo", ZOO),
        "kim": await task_of(own, "kim", ZOO),
        "jo last": await task_of(own, "jo", ZOO),
        "jo's secret": await task_of(own, "jo", SECRET),
        "jo's other": await task_of(own, "jo", SECRET, queue="private"),
    }
    await run(own, made["jo holds"], ZOO)
    await run(own, made["jo's secret"], SECRET)
    return made


async def get(api: Site, user: str, path: str, **params: Any) -> Any:
    answer = await api.as_user(user).get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


PATHS = [f"{V3}/queues/", f"{V3}/resources/", f"{V3}/resources/line/?resource=repository:zoo"]


@pytest.mark.parametrize("user", ["kim", "vi"])
async def test_no_route_about_what_waits_names_a_task_or_a_resource_that_only_others_use(
    own: Site, tasks: dict[str, UUID], user: str
) -> None:
    paths = [*PATHS, f"{V3}/resources/line/?resource=repository:secret"]
    if user == "kim":
        paths += [f"{V3}/tasks/{tasks['kim']}/", f"{V3}/tasks/{tasks['kim']}/why/", f"{V2}/tasks/{tasks['kim']}/"]
    others = [str(task_id) for name, task_id in tasks.items() if name.startswith("jo")]
    for path in paths:
        answer = await own.as_user(user).get(path)
        assert answer.status_code == 200, answer.text
        told = answer.text.replace("repository:secret", "", 1) if "secret" in path else answer.text
        assert "secret" not in told, path
        assert "private" not in told, path
        assert not [each for each in others if each in told], path


async def test_queues_count_own_tasks(own: Site, tasks: dict[str, UUID]) -> None:
    def numbers(page: Any) -> list[tuple[Any, ...]]:
        names = ("name", "waiting", "runnable", "blocked", "running", "wanted_slots")
        return [tuple(row[name] for name in names) for row in page["results"]]

    assert numbers(await get(own, "kim", f"{V3}/queues/")) == [("default", 1, 0, 1, 0, 0)]
    assert numbers(await get(own, "vi", f"{V3}/queues/")) == []
    everything = [("default", 3, 0, 3, 2, 2), ("private", 1, 0, 1, 0, 0)]
    assert numbers(await get(own, "op", f"{V3}/queues/")) == everything
    [row] = (await get(own, "kim", f"{V3}/queues/", name="private"))["results"]
    assert (row["waiting"], row["oldest_wait_seconds"], row["free_slots"]) == (0, None, None)
    [row] = (await get(own, "op", f"{V3}/queues/", name="private"))["results"]
    assert (row["waiting"], row["free_slots"]) == (1, 0)


async def test_resources_are_those_of_own_tasks(own: Site, tasks: dict[str, UUID]) -> None:
    def rows(page: Any) -> list[tuple[Any, ...]]:
        assert page["count"] == len(page["results"])
        return [(row["resource"], row["waiting"], len(row["held_by"]), row["others"]) for row in page["results"]]

    assert rows(await get(own, "kim", f"{V3}/resources/")) == [("repository:zoo", 1, 0, True)]
    assert rows(await get(own, "vi", f"{V3}/resources/")) == []
    everything = [("repository:zoo", 3, 1, False), ("repository:secret", 1, 1, False)]
    assert rows(await get(own, "op", f"{V3}/resources/")) == everything
    of_jo = [("repository:zoo", 2, 1, True), ("repository:secret", 1, 1, False)]
    assert rows(await get(own, "jo", f"{V3}/resources/")) == of_jo


async def test_a_line_holds_own_tasks_and_says_whether_there_are_others(own: Site, tasks: dict[str, UUID]) -> None:
    async def line(user: str, resource: str) -> tuple[list[str], int, int, bool]:
        found = await get(own, user, f"{V3}/resources/line/", resource=resource)
        places = [f"{each['place']} {each['task'].split('/')[-2]}" for each in found["tasks"]]
        return places, found["waiting"], len(found["held_by"]), found["others"]

    assert await line("kim", "repository:zoo") == ([f"1 {tasks['kim']}"], 1, 0, True)
    assert await line("jo", "repository:zoo") == ([f"1 {tasks['jo first']}", f"2 {tasks['jo last']}"], 2, 1, True)
    for resource in ("repository:secret", "repository:nothing"):  # one that others use looks unused
        assert await line("kim", resource) == ([], 0, 0, False)
        assert await line("vi", resource) == ([], 0, 0, False)
    in_line = [f"{place} {tasks[name]}" for place, name in enumerate(("jo first", "kim", "jo last"), 1)]
    assert await line("op", "repository:zoo") == (in_line, 3, 1, False)


async def test_why_a_task_waits_says_that_there_is_another_one_and_not_which(own: Site, tasks: dict[str, UUID]) -> None:
    shown = await get(own, "kim", f"{V3}/tasks/{tasks['kim']}/")
    reasons = {each["reason"]: each for each in (await get(own, "kim", f"{V3}/tasks/{tasks['kim']}/why/"))["reasons"]}
    held, earlier = reasons["resource-held"], reasons["earlier-task"]
    assert (held["tasks"], held["resource"], held["access"]) == ([], "repository:zoo", "exclusive")
    assert held["message"] == "A task that you may not see holds repository:zoo."
    assert earlier["tasks"] == []
    assert earlier["message"].startswith("A task that you may not see was accepted earlier, needs repository:zoo too")
    assert shown["waiting_for"]["root_cause"] is None
    [resource] = (await get(own, "kim", f"{V3}/tasks/{tasks['kim']}/why/"))["resources"]
    assert (resource["held_by"], resource["before"], resource["tasks"], resource["others"]) == ([], 0, [], True)
    of_op = (await get(own, "op", f"{V3}/tasks/{tasks['kim']}/why/"))["resources"][0]
    assert (len(of_op["held_by"]), of_op["before"], of_op["others"]) == (1, 1, False)
    of_jo = (await get(own, "jo", f"{V3}/tasks/{tasks['jo last']}/why/"))["resources"][0]
    assert (len(of_jo["held_by"]), of_jo["before"], of_jo["others"]) == (1, 1, True)


async def test_the_older_dialect_gives_reasons_without_tasks(own: Site, tasks: dict[str, UUID]) -> None:
    report = await get(own, "kim", f"{V2}/tasks/{tasks['kim']}/")
    assert [(each["resource_id"], each["task_id"]) for each in report["reasons"]] == [("zoo", None), ("zoo", None)]


async def test_a_dependency_on_a_task_of_others_tells_nothing_of_its_state(own: Site) -> None:
    of_jo = await task_of(own, "jo")
    of_kim = await task_of(own, "kim", depends_on=(of_jo,))
    for state in ("waits", "runs"):
        told = (await get(own, "kim", f"{V3}/tasks/{of_kim}/why/"))["reasons"]
        [reason] = [each for each in told if each["reason"] == "dependency"]
        assert (reason["message"], reason["tasks"]) == (
            f"It depends on task {of_jo}, which has not succeeded.",
            [],
        ), state
        if state == "waits":
            await run(own, of_jo)
