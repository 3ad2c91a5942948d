"""Workers as the API tells of them: their slots, what they run, pages of them, and whether any can run something."""

from typing import Any
from uuid import UUID, uuid4

from pulp_events.events import Resource
from pulp_events.ids import new_id

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


async def claim(api: Site, task_id: UUID, worker: str, instance_id: UUID, *, reserves: str | None = None) -> None:
    await api.execute(
        "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition) values (%s, 1, %s, %s, %s, 0)",
        *(task_id, uuid4(), worker, instance_id),
    )
    if reserves is not None:
        await api.execute("insert into reservations values (%s, %s, true, 1, '(,)')", task_id, reserves)


async def test_a_worker_tells_its_slots_and_every_task_that_takes_one(api: Site) -> None:
    instance_id = await add_worker(api, "w1", slots=4)
    free, holder, follower = await api.task(), await api.task(resources=(REPO,)), await api.task(resources=(REPO,))
    await claim(api, free, "w1", instance_id)
    await claim(api, holder, "w1", instance_id, reserves=REPO.key)
    await claim(api, follower, "w1", instance_id)  # in a chain behind the holder: it takes no slot of its own
    row = await get(api, f"workers/{instance_id}/")
    assert row["current_tasks"] == [f"{V3}/tasks/{task}/" for task in (free, holder)]
    assert row["current_task"] == row["current_tasks"][0]
    assert (row["slots"], row["busy_slots"], row["free_slots"]) == (4, 2, 2)
    assert row["operations"] == ["sync"]


async def test_a_slot_that_an_ended_task_still_takes_is_not_free(api: Site) -> None:
    """As one does whose operation ignores its cancel: the task has ended, and the worker has not let go of it."""
    instance_id, task_id, attempt_id = await add_worker(api, "w1", slots=1), new_id(), uuid4()
    task_id = await api.task()
    await claim(api, task_id, "w1", instance_id)
    partition = api.partition_of(task_id)
    await api.add(started(task_id, attempt_id=attempt_id), partition)
    await api.add(finished(task_id, attempt_id=attempt_id), partition)
    assert (await get(api, "readyz/"))["workers"] == {"live": 1, "slots": 1, "free": 0}
    assert (await get(api, "status/"))["online_workers"][0]["free_slots"] == 0


async def test_readyz_and_status_tell_how_many_slots_of_live_workers_are_free(api: Site) -> None:
    assert (await get(api, "readyz/"))["workers"] == {"live": 0, "slots": 0, "free": 0}
    busy = await add_worker(api, "busy", slots=2)
    await add_worker(api, "idle", slots=3)
    await add_worker(api, "lost", slots=8, silent_s=600)
    await add_worker(api, "stopped", slots=8, is_stopped=True)
    for _ in range(2):
        await claim(api, await api.task(), "busy", busy)
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
