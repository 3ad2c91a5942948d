"""Rules of Pulp 3's lists that random comparisons with pulpcore have shown; each test failed before the fix."""

from typing import Any
from uuid import UUID

import msgspec
from pulp_events.events import Access, Resource

from tests.support.events import accepted, finished, purged, started
from tests.support.site import START_MS, V3, Site

ZOO, BAR = Resource("repository", "zoo"), Resource("repository", "bar", Access.SHARED)


async def names(api: Site, **params: Any) -> list[str]:
    answer = await api.client.get(f"{V3}/tasks/", params={"ordering": "pulp_created", **params})
    assert answer.status_code == 200, answer.text
    return [task["name"] for task in answer.json()["results"]]


async def purge(api: Site, task_id: UUID) -> None:
    """Let the task run to its end, and purge it."""
    for event in (started(task_id), finished(task_id), purged(task_id)):
        await api.add(event, api.partition_of(task_id))


async def test_everything_that_is_wrong_is_said_at_once(api: Site) -> None:
    wrong = {
        "state": "nope",
        "started_at__gte": "soon",
        "bogus": "1",
        "colour": "red",
        "q": "tint=1",
        "ordering": "-mood",
        "task_group": "garbage",
    }
    answer = await api.client.get(f"{V3}/tasks/", params=wrong)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "state": ["Select a valid choice. nope is not one of the available choices."],
            "started_at__gte": ["Enter a valid date/time."],
            "errors": ["Invalid Filter: 'bogus'", "Invalid Filter: 'colour'"],
            "q": ["Filter 'tint' does not exist."],
            "ordering": ["Select a valid choice. -mood is not one of the available choices."],
        },
    )


async def test_a_page_without_tasks_may_be_in_any_order(api: Site) -> None:
    await api.task()
    for ordering in ("unblocked_at", "-unblocked_at,state", "error", "reserved_resources_record", "logging_cid"):
        assert await names(api, ordering=ordering, offset=5) == []
        assert await names(api, ordering=ordering, name="none") == []


async def test_a_task_without_a_correlation_id_is_in_order_as_it_is_shown(api: Site) -> None:
    for name, cid in (("b", "b"), ("none", None), ("a", "a")):
        event = accepted(UUID(int=ord(name[0]) << 64, version=4), operation=name)
        await api.add(msgspec.structs.replace(event, correlation_id=cid))
    assert await names(api, ordering="logging_cid") == ["none", "a", "b"]
    assert await names(api, ordering="-logging_cid") == ["b", "a", "none"]


async def test_shared_resources_count_in_the_order_of_the_resources(api: Site) -> None:
    await api.task("both", resources=(ZOO, BAR))
    await api.task("one", resources=(ZOO,))
    await api.task("shared", resources=(BAR,))
    assert await names(api, ordering="reserved_resources_record") == ["one", "both", "shared"]
    assert await names(api, ordering="-reserved_resources_record") == ["shared", "both", "one"]


async def test_a_purged_task_is_nobodys_parent_and_nobodys_child(api: Site) -> None:
    parent = await api.task("parent")
    child, _other = [await api.task(name, parent_id=parent) for name in ("child", "other")]
    assert await names(api, parent_task=f"{V3}/tasks/{parent}/") == ["child", "other"]
    assert await names(api, child_tasks=f"{V3}/tasks/{child}/") == ["parent"]
    await purge(api, child)
    assert await names(api, parent_task=f"{V3}/tasks/{parent}/") == ["other"]
    assert await names(api, child_tasks=f"{V3}/tasks/{child}/") == []
    await purge(api, parent)
    assert await names(api) == ["other"]
    assert await names(api, parent_task=f"{V3}/tasks/{parent}/") == []


async def test_a_flag_that_is_none_shows_no_purged_task(api: Site) -> None:
    await purge(api, await api.task("gone"))
    await api.task("here")
    for flag, found in (("garbage", ["here"]), ("", ["here"]), ("false", ["here"]), ("true", ["gone"])):
        assert await names(api, purged=flag) == found, flag


async def test_blanks_around_a_value_do_not_count(api: Site) -> None:
    await api.task("sync")
    await api.task("publish")
    assert await names(api, name=" sync ") == ["sync"]
    assert await names(api, name="  ") == ["sync", "publish"]
    assert await names(api, state=" waiting ") == ["sync", "publish"]


async def test_of_a_repeated_filter_the_last_value_counts(api: Site) -> None:
    await api.task("sync")
    await api.task("publish")
    assert await names(api, name=["publish", "sync"]) == ["sync"]
    assert await names(api, name=["publish", ""]) == ["sync", "publish"]
    assert await names(api, name__in=["publish", ""]) == ["publish"]
    ranges = ["2000-01-01,2000-01-02", "2000-01-01,2100-01-01"]
    assert await names(api, pulp_created__range=ranges) == ["sync", "publish"]


async def test_no_task_is_in_an_unknown_state(api: Site) -> None:
    await api.task("sync")
    assert await names(api, state__ne="nope") == ["sync"]
    assert await names(api, state__ne="waiting") == []


async def test_a_null_character_is_named_with_its_filter(api: Site) -> None:
    answer = await api.client.get(f"{V3}/tasks/", params={"name": "a\0b"})
    assert (answer.status_code, answer.json()) == (400, {"name": ["Null characters are not allowed."]})


async def test_children_of_one_millisecond_are_in_order_of_their_ids(api: Site) -> None:
    parent = await api.task("parent")
    ids = [UUID(int=number, version=4) for number in (3, 1, 2)]
    for partition, task_id in enumerate(ids):
        api.log.next_at(START_MS + 100_000)
        await api.add(accepted(task_id, parent_id=parent), partition)
    wanted = [f"{V3}/tasks/{task_id}/" for task_id in sorted(ids)]
    assert (await api.client.get(f"{V3}/tasks/{parent}/")).json()["child_tasks"] == wanted
    page = (await api.client.get(f"{V3}/tasks/", params={"child_tasks": wanted[0]})).json()
    assert page["results"][0]["child_tasks"] == wanted
