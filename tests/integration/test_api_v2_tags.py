"""Tags in the v2 dialect: the clients of Pulp 2 end at one that is not NAMESPACE:TYPE:ID."""

import pytest

from tests.support.site import V2, V3, Site

TAGS = ("nightly", "a:b", "pulp:repository:zoo", "pulp:repository:a:b", "pulp:action")


async def test_each_tag_is_shown_in_three_parts(api: Site) -> None:
    task_id = await api.task(tags=TAGS)
    shown = ["pulp:tag:nightly", "pulp:tag:a:b", "pulp:repository:zoo", "pulp:repository:a:b", "pulp:tag:pulp:action"]
    for path in ("", f"{task_id}/", "?tag=nightly"):
        answer = (await api.client.get(f"{V2}/tasks/{path}")).json()
        report = answer[0] if isinstance(answer, list) else answer
        assert report["tags"] == report["call_request_tags"] == shown
        for tag in report["tags"]:  # as the client of 2.0 takes them apart
            namespace, kind, identity = tag.split(":", 2)
            assert all((namespace, kind, identity))
    assert (await api.client.get(f"{V3}/tasks/{task_id}/")).json()["tags"] == list(TAGS)


@pytest.mark.parametrize("tag", ["nightly", "pulp:tag:nightly", "a:b", "pulp:tag:a:b", "pulp:repository:a:b"])
async def test_a_task_is_found_by_either_form(api: Site, tag: str) -> None:
    task_id = await api.task(tags=TAGS)
    await api.task(tags=("night",))

    async def searched(wanted: object) -> list[str]:
        body = {"criteria": {"filters": {"tags": wanted}}}
        return [each["task_id"] for each in (await api.client.post(f"{V2}/tasks/search/", json=body)).json()]

    listed = (await api.client.get(f"{V2}/tasks/", params={"tag": [tag, "pulp:repository:zoo"]})).json()
    assert [each["task_id"] for each in listed] == [str(task_id)]
    for wanted in (tag, {"$in": [tag, "x"]}, {"$all": [tag, "pulp:repository:zoo"]}, {"$regex": f"^{tag}$"}):
        assert await searched(wanted) == [str(task_id)], wanted
    assert str(task_id) not in await searched({"$nin": [tag]})
    assert str(task_id) not in await searched({"$ne": tag})


async def test_a_comparison_is_with_the_tag_as_it_is_shown(api: Site) -> None:
    task_id = await api.task(tags=("nightly",))
    for wanted, found in (
        ({"$gt": "pulp:t"}, [str(task_id)]),
        ({"$lt": "pulp:a"}, []),
        ({"$gte": "pulp:tag:nightly", "$lte": "pulp:tag:nightly"}, [str(task_id)]),
    ):
        body = {"criteria": {"filters": {"tags": wanted}}}
        answer = await api.client.post(f"{V2}/tasks/search/", json=body)
        assert [each["task_id"] for each in answer.json()] == found, wanted
