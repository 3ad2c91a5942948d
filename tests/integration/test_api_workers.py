"""Workers in the API: their slots, their tasks, pages of them, and whether any can run a task."""

from typing import Any
from uuid import UUID, uuid4

from pulp_events.events import Resource
from pulp_events.findings import Severity
from pulp_runtime.preconditions import dispatch

from tests.support.assigned import assign
from tests.support.events import finished, started
from tests.support.site import V3, Site

REPO = Resource(type="repository", id="zoo")


async def get(api: Site, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def add_worker(
    api: Site, name: str, *, queues: str = "{default}", slots: int = 4, silent_s: float = 0, is_stopped: bool = False
) -> UUID:
    instance_id = uuid4()
    await api.execute(
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds,"
        " heartbeat_at, stopped_at) values (%s, %s, 'h', 1, %s, '{sync}', %s, '{}', 60,"
        " now() - make_interval(secs => %s), case when %s then now() end)",
        *(name, instance_id, queues, slots, silent_s, is_stopped),
    )
    return instance_id


async def test_a_worker_tells_its_slots_and_the_task_that_each_is_at(api: Site) -> None:
    instance_id = await add_worker(api, "w1", slots=4)
    free, holder, follower = await api.task(), await api.task(resources=(REPO,)), await api.task(resources=(REPO,))
    async with api.connect() as connection:
        await assign(connection, free, instance_id=instance_id)
        await assign(connection, holder, follower, instance_id=instance_id, uses={REPO.key: True})
    row = await get(api, f"workers/{instance_id}/")
    assert row["current_tasks"] == [f"{V3}/tasks/{task}/" for task in (free, holder)]
    assert row["current_task"] == row["current_tasks"][0]
    assert (row["slots"], row["busy_slots"], row["free_slots"]) == (4, 2, 2)
    assert row["operations"] == ["sync"]
    await api.execute("update claims set released_at = now() where task_id = %s", holder)
    row = await get(api, f"workers/{instance_id}/")
    assert row["current_tasks"] == [f"{V3}/tasks/{task}/" for task in (free, follower)]
    assert row["busy_slots"] == 2


async def test_a_slot_whose_hold_is_not_deleted_yet_is_not_free(api: Site) -> None:
    """For example, if an operation ignores its cancel: the task has ended, and the operation goes on."""
    instance_id, task_id, attempt_id = await add_worker(api, "w1", slots=1), await api.task(), uuid4()
    async with api.connect() as connection:
        await assign(connection, task_id, instance_id=instance_id, attempt_id=attempt_id)
    partition = api.partition_of(task_id)
    await api.add(started(task_id, attempt_id=attempt_id), partition)
    await api.add(finished(task_id, attempt_id=attempt_id), partition)
    assert (await get(api, "readyz/"))["workers"] == {"live": 1, "slots": 1, "free": 0}
    assert (await get(api, "status/"))["online_workers"][0]["free_slots"] == 0


async def test_a_worker_that_drains_has_no_free_slot_and_serves_no_queue(api: Site) -> None:
    instance_id = await add_worker(api, "w1", slots=4)
    await api.execute("update workers set draining = true")
    await api.task()
    row = await get(api, f"workers/{instance_id}/")
    assert (row["draining"], row["busy_slots"], row["free_slots"]) == (True, 0, 0)
    status = await get(api, "status/")
    assert status["workers"] == {"live": 1, "slots": 4, "free": 0}
    assert status["unserved_queues"] == [{"queue": "default", "waiting": 1}]


async def test_readyz_and_status_tell_how_many_slots_of_live_workers_are_free(api: Site) -> None:
    assert (await get(api, "readyz/"))["workers"] == {"live": 0, "slots": 0, "free": 0}
    busy = await add_worker(api, "busy", slots=2)
    await add_worker(api, "idle", slots=3)
    await add_worker(api, "lost", slots=8, silent_s=600)
    await add_worker(api, "stopped", slots=8, is_stopped=True)
    async with api.connect() as connection:
        for _ in range(2):
            await assign(connection, await api.task(), worker="busy", instance_id=busy)
    told = {"live": 2, "slots": 5, "free": 3}
    assert (await get(api, "readyz/"))["workers"] == told
    status = await get(api, "status/")
    assert status["workers"] == told
    assert {row["name"]: row["free_slots"] for row in status["online_workers"]} == {"busy": 0, "idle": 3}
    assert (await get(api, "workers/", name="lost"))["results"][0]["free_slots"] == 0


async def test_status_names_the_queues_in_which_tasks_wait_for_nobody(api: Site) -> None:
    await add_worker(api, "w1", queues="{default,slow}")
    await add_worker(api, "gone", queues="{night}", is_stopped=True)
    for queue in ("default", "slow", "night", "typo", "typo"):
        await api.task(queue=queue)
    assert (await get(api, "status/"))["unserved_queues"] == [
        {"queue": "night", "waiting": 1},
        {"queue": "typo", "waiting": 2},
    ]


async def test_a_task_that_a_draining_worker_is_about_to_start_is_not_one_that_nobody_runs(api: Site) -> None:
    instance_id = await add_worker(api, "w1")
    async with api.connect() as connection:
        await assign(connection, await api.task(), worker="w1", instance_id=instance_id)
        await api.execute("update workers set draining = true")
        assert (await get(api, "status/"))["unserved_queues"] == []
        assert await dispatch.look(connection) == []
        await api.task()
        assert (await get(api, "status/"))["unserved_queues"] == [{"queue": "default", "waiting": 1}]


async def test_status_names_the_operations_that_only_stopped_workers_offered(api: Site) -> None:
    await add_worker(api, "w1")
    await api.execute("update workers set operations = '{publish}'")
    await add_worker(api, "gone", is_stopped=True)
    await api.task()
    status = await get(api, "status/")
    assert status["unserved_operations"] == [{"queue": "default", "operation": "sync", "waiting": 1}]
    assert status["unserved_queues"] == []


async def test_readyz_and_status_tell_whether_a_processor_dispatches(api: Site) -> None:
    assert (await get(api, "readyz/"))["dispatching"] is True
    await api.execute("update dispatcher set settling_epoch = epoch")
    for path in ("readyz/", "status/"):
        told = await get(api, path)
        assert (told["dispatching"], told["settling"]) == (False, True)
    await api.execute("update dispatcher set epoch = epoch + 1")  # by a processor of the previous release
    assert (await get(api, "readyz/"))["dispatching"] is True
    await api.execute("update dispatcher set renewed_at = now() - interval '1 minute'")
    assert (await get(api, "readyz/"))["dispatching"] is False
    assert (await get(api, "status/"))["dispatching"] is False


async def test_the_doctor_tells_that_a_processor_has_just_taken_over(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(api, "w1")
        await api.execute("update dispatcher set settling_epoch = epoch")
        assert await dispatch.look(connection) == []  # no task waits for it
        await api.task()
        [found] = await dispatch.look(connection)
    assert (found.check, found.severity) == ("dispatch-settling", Severity.WARNING)
    assert "has just taken over" in found.wrong


async def test_the_doctor_tells_of_tasks_that_nothing_will_run(api: Site) -> None:
    async with api.connect() as connection:
        assert await dispatch.look(connection) == []
        await api.execute("update dispatcher set renewed_at = '-infinity'")
        assert await dispatch.look(connection) == []  # no task waits for it
        await add_worker(api, "w1")
        await add_worker(api, "w2", queues="{night}", is_stopped=True)
        await api.execute("update workers set operations = '{publish}' where name = 'w1'")
        await api.execute("update workers set stopped_at = '2026-11-24T12:00Z' where name = 'w2'")
        for queue in ("default", "night", "night", "typo"):
            await api.task(queue=queue)
        found = await dispatch.look(connection)
    assert [(each.check, each.subject, each.wrong) for each in found] == [
        (
            *("operation-unserved", "sync"),
            "1 task waits for this operation in the queue default, and no live worker of it offers the operation",
        ),
        (
            *("queue-unserved", "night"),
            "2 tasks wait in this queue, which no live worker serves; worker w2 did, until 2026-11-24T12:00:00Z",
        ),
        ("queue-unserved", "typo", "1 task waits in this queue, which no live worker serves"),
        ("dispatch-stopped", "dispatch", "tasks wait, and no processor assigns them to workers"),
    ]
    assert found[2].mend == (
        "start a worker: pulp-tasks worker --queue typo; or cancel them: pulp-admin tasks cancel --all --queue typo"
    )
    assert {each.severity for each in found} == {Severity.WARNING}


async def test_the_list_of_workers_is_paged_and_filtered(api: Site) -> None:
    await api.execute(
        "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds, started_at,"
        " stopped_at) select 'w-' || lpad(n::text, 3, '0'), gen_random_uuid(), 'h', 1, '{default}', 1, '{}', 60,"
        " now() - n * interval '1 s', case when n %% 2 = 0 then now() end from generate_series(1, 250) n"
    )
    first = await get(api, "workers/")
    assert (first["count"], len(first["results"]), first["previous"]) == (250, 100, None)
    seen, page = [row["name"] for row in first["results"]], first
    while page["next"]:
        page = (await api.client.get(page["next"])).json()
        assert page["count"] == 250
        seen += [row["name"] for row in page["results"]]
    assert seen == [f"w-{number:03}" for number in range(1, 251)]
    online = await get(api, "workers/", online="true", name__startswith="w-0", limit=10, offset=45)
    assert online["count"] == 50  # w-001, w-003, …, w-099
    assert [row["name"] for row in online["results"]] == ["w-091", "w-093", "w-095", "w-097", "w-099"]
    beyond = await get(api, "workers/", limit=10, offset=1000)
    assert (beyond["count"], beyond["results"]) == (250, [])
    assert (await get(api, "workers/", name__icontains="W-25"))["count"] == 1
    assert (await get(api, "workers/", name__in="w-001,w-002, w-251"))["count"] == 2


async def test_the_list_of_workers_is_ordered_and_searched_as_in_pulp(api: Site) -> None:
    made = {name: await add_worker(api, name, silent_s=age_s) for name, age_s in (("b", 5), ("a", 300), ("C", 0))}
    for ordering, names in (("name", ["a", "b", "C"]), ("-last_heartbeat", ["C", "b", "a"]), ("app_type,pk", None)):
        found = [row["name"] for row in (await get(api, "workers/", ordering=ordering))["results"]]
        assert sorted(found) == sorted(names or made)
        assert names is None or ordering == "name" or found == names
    for params, names in (
        ({"name__iexact": "c"}, ["C"]),
        ({"name__istartswith": "c"}, ["C"]),
        ({"name__regex": "^[ab]$"}, ["a", "b"]),
        ({"name__iregex": "^c"}, ["C"]),
        ({"pulp_id__in": str(made["a"])}, ["a"]),
        ({"pulp_href__in": f"{V3}/workers/{made['b']}/"}, ["b"]),
        ({"prn__in": f"prn:core.worker:{made['C']}"}, ["C"]),
        ({"last_heartbeat__isnull": "true"}, []),
        ({"last_heartbeat__gt": "2000-01-01T00:00:00Z", "missing": "true"}, ["a"]),
        ({"online": "garbage", "name": ""}, ["C", "a", "b"]),
        ({"q": "name=a OR NOT online=true"}, ["a"]),
    ):
        found = [row["name"] for row in (await get(api, "workers/", **params))["results"]]
        assert sorted(found) == sorted(names), params
    for query in ("ordering=bogus", "name__regex=(", f"pulp_href__in={V3}/tasks/{made['a']}/"):
        assert (await api.client.get(f"{V3}/workers/?{query}")).status_code == 400, query
    assert await get(api, f"workers/{made['a']}/", fields="name") == {"name": "a"}
