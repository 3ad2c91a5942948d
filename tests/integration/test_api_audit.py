"""The audit of all tasks: filters, pages while events arrive, rights, and the log of reads."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pulp_accounts.users import Role
from pulp_events.events import CancelRequested, Resource
from pulp_events.ids import new_id

from tests.support.events import accepted, event, finished, progress, started
from tests.support.site import PARTITIONS, START_MS, V3, Site, site

ZOO = (Resource(type="repository", id="zoo"),)
GROUP = UUID("6f0b1a52-3f0e-4b55-9d5a-0e6a3a3a2c11")


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    async with site(database, is_scoped=True) as made:
        await made.add_user("ada", Role.AUDITOR)
        yield made


async def told(api: Site, **params: Any) -> list[dict[str, Any]]:
    """What an auditor reads, page by page of two."""
    ada, cursor, found = api.as_user("ada"), dict[str, str](), list[dict[str, Any]]()
    while True:
        answer = await ada.get(f"{V3}/audit/", params={**params, "limit": 2, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["results"]
        cursor = {"cursor": page["cursor"]}
        if page["next"] is None:
            return found


def places(found: list[dict[str, Any]]) -> list[str]:
    return [f"{each['partition']}:{each['offset']}" for each in found]


class Story:
    """A sync by jo that kim cancels in vain, and a publish of a group by jo; each event is a second after the last."""

    def __init__(self, api: Site) -> None:
        self.api, self.sync, self.publish = api, new_id(), new_id()

    async def tell(self) -> "Story":
        jo = accepted(self.sync, operation="sync", resources=ZOO)
        await self.api.add(msgspec.structs.replace(jo, actor="user:jo", correlation_id="c-1"), 1)
        await self.api.add(
            msgspec.structs.replace(accepted(self.publish, operation="publish", group_id=GROUP), actor="user:jo"), 2
        )
        await self.api.add(started(self.sync), 1)
        await self.api.add(progress(self.sync), 1)
        await self.api.add(finished(self.sync), 1)
        late = event(CancelRequested(reason="wrong feed"), task_id=self.sync, actor="user:kim", causation_id="x")
        await self.api.add(msgspec.structs.replace(late, correlation_id="c-2"), 1)
        return self


async def test_each_filter_finds_what_fits(api: Site) -> None:
    story = await Story(api).tell()
    everything = ["1:0", "2:0", "1:1", "1:2", "1:3", "1:4"]
    assert places(await told(api)) == everything
    assert places(await told(api, actor="user:jo")) == ["1:0", "2:0"]
    assert places(await told(api, actor=["user:kim", "worker:w1"])) == ["1:1", "1:2", "1:3", "1:4"]
    assert places(await told(api, type="cancel-requested")) == ["1:4"]
    assert places(await told(api, type=["accepted", "org.pulpproject.task.progress.v1"])) == ["1:0", "2:0", "1:2"]
    assert places(await told(api, effect="ignored")) == ["1:4"]
    assert places(await told(api, effect="applied")) == everything[:-1]
    assert places(await told(api, effect=["applied", "ignored"])) == everything
    assert places(await told(api, operation="publish")) == ["2:0"]
    assert places(await told(api, operation="nothing")) == []
    assert places(await told(api, resource="repository:zoo", type="finished")) == ["1:3"]
    assert places(await told(api, task=str(story.publish))) == ["2:0"]
    assert places(await told(api, task=str(story.publish), operation="sync")) == []
    assert places(await told(api, group=str(GROUP))) == ["2:0"]
    assert places(await told(api, correlation_id="c-1", type="started")) == ["1:1"]
    assert places(await told(api, partition=2)) == ["2:0"]


async def test_many_tasks_are_found_as_few_are(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await Story(api).tell()
    asked = [{"operation": "sync"}, {"resource": "repository:zoo"}, {"group": str(GROUP)}, {"correlation_id": "c-1"}]
    few = [places(await told(api, **each)) for each in asked]
    monkeypatch.setattr("pulp_projections.reading.audit.MOST_TASKS", 0)
    assert [places(await told(api, **each)) for each in asked] == few
    assert [len(each) for each in few] == [5, 5, 1, 5]


async def test_spans_by_time_by_event_and_by_cursor(api: Site) -> None:
    await Story(api).tell()

    def second(number: int) -> str:
        return datetime.fromtimestamp(START_MS / 1000 + number, UTC).isoformat()

    assert places(await told(api, since=second(3), until=second(5))) == ["1:1", "1:2"]  # the first event: after 1 s
    assert places(await told(api, since=second(99))) == []
    assert places(await told(api, until="2001-01-01T00:00:00Z")) == []
    assert places(await told(api, since="1:2")) == ["1:2", "1:3", "1:4"]
    assert places(await told(api, since="1:1", until="1:2")) == ["1:1", "1:2"]
    assert places(await told(api, until="2:7")) == ["2:0"]
    ada = api.as_user("ada")
    first = (await ada.get(f"{V3}/audit/", params={"limit": 2})).json()
    assert places(await told(api, since=first["cursor"])) == ["1:1", "1:2", "1:3", "1:4"]
    assert places(await told(api, until=first["cursor"])) == places(first["results"])
    await api.add(started(new_id()), 3)
    assert places(await told(api, end=first["end"])) == ["1:0", "2:0", "1:1", "1:2", "1:3", "1:4"]


async def test_what_a_clock_that_ran_backwards_has_written_is_found_by_its_time(api: Site) -> None:
    task_id = new_id()
    for number, time_ms in enumerate((START_MS, START_MS + 3_600_000, START_MS + 60_000, START_MS + 7_200_000)):
        api.log.next_at(time_ms)
        await api.add(accepted(task_id) if not number else progress(task_id, sequence=number), 0)
    hour = datetime.fromtimestamp(START_MS / 1000 + 1800, UTC).isoformat()
    assert places(await told(api, since=hour)) == ["0:1", "0:3"]
    assert places(await told(api, until=hour)) == ["0:0", "0:2"]


async def test_pages_beside_arriving_events(api: Site) -> None:
    """Each event comes once, and the next page has the events that arrived in between."""
    ada, found, cursor = api.as_user("ada"), list[str](), dict[str, str]()
    for number in range(12):
        task_id = new_id()
        await api.add(accepted(task_id), number % PARTITIONS)
        await api.add(started(task_id), number % PARTITIONS)
        page = (await ada.get(f"{V3}/audit/", params={"limit": 1 + number % 3, **cursor})).json()
        cursor = {"cursor": page["cursor"]}
        found += places(page["results"])
    while page["next"] is not None:
        page = (await ada.get(page["next"])).json()
        found += places(page["results"])
    everything = [f"{partition}:{offset}" for partition in range(PARTITIONS) for offset in range(6)]
    assert sorted(found) == sorted(everything)


async def test_what_is_told_of_an_event(api: Site) -> None:
    story = await Story(api).tell()
    [cancel] = await told(api, type="cancel-requested")
    assert cancel == {
        "partition": 1,
        "offset": 4,
        "time": "2023-11-14T22:13:26.000000Z",  # 1,700,000,006 s after 1970
        "event_time": "2026-11-24T12:00:00.000000Z",
        "type": "org.pulpproject.task.cancel-requested.v1",
        "event_id": cancel["event_id"],
        "actor": "user:kim",
        "authentication": None,
        "address": None,
        "client": None,
        "correlation_id": "c-2",
        "causation_id": "x",
        "effect": "final",
        "reason": "wrong feed",
        "task": f"{V3}/tasks/{story.sync}/",
        "operation": "sync",
        "task_group": None,
        "event": cancel["event"],
    }
    assert cancel["event"]["data"] == {"reason": "wrong feed"}
    answer = await api.as_user("ada").get(f"{V3}/audit/", params={"type": "cancel-requested", "fields": "actor,reason"})
    assert answer.json()["results"] == [{"actor": "user:kim", "reason": "wrong feed"}]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"actors": "user:jo"}, "actors: no such parameter"),
        ({"type": "canceled"}, "type=canceled: there are accepted, "),
        (
            {"since": "yesterday"},
            "since=yesterday: expected is a time with its zone, a cursor, or the PARTITION:OFFSET",
        ),
        ({"since": "2026-01-01T00:00:00"}, "since=2026-01-01T00:00:00: expected is a time with its zone"),
        ({"until": "now"}, "until=now: expected is"),
        ({"cursor": "x"}, "'x' is not a cursor"),
        ({"effect": "done"}, "effect=done: there are applied, ignored, duplicate, "),
        ({"partition": "-1"}, "partition=-1: a number is expected"),
        ({"partition": "99"}, "there is no partition 99, they are 0 to 3"),
        ({"since": "99:0"}, "there is no partition 99, they are 0 to 3"),
        ({"since": "1:0", "until": "2:0"}, "different partitions"),
        ({"since": "1:0", "partition": "2"}, "not among those of partition=2"),
        ({"since": "1:5", "until": "1:4"}, "since=1:5 is after until=1:4: nothing is between them"),
        (
            {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
            "since=2026-02-01T00:00:00Z is after until=",
        ),
        ({"group": "x"}, "group=x: the id or href of a task group is expected"),
        ({"actor": ["x"] * 101}, "actor: at most 100 values are taken"),
    ],
)
async def test_what_cannot_be_asked(api: Site, params: dict[str, Any], says: str) -> None:
    answer = await api.as_user("ada").get(f"{V3}/audit/", params=params)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


async def test_a_cursor_of_another_topic_or_past_the_end(api: Site) -> None:
    ada = api.as_user("ada")
    end = (await ada.get(f"{V3}/audit/")).json()["end"]
    other = await ada.get(f"{V3}/audit/", params={"cursor": "A" * 22 + ".0.0.0.0"})
    assert (other.status_code, "another topic" in other.json()["detail"]) == (410, True)
    ahead = await ada.get(f"{V3}/audit/", params={"cursor": f"{end[:-1]}7"})
    assert (ahead.status_code, "is at 3:7, and the log ends at 3:0" in ahead.json()["detail"]) == (410, True)


async def test_auditors_and_administrators_may(api: Site) -> None:
    for role in Role:
        await api.add_user(f"a-{role}", role)
    allowed = {role for role in Role if (await api.as_user(f"a-{role}").get(f"{V3}/audit/")).status_code == 200}
    assert allowed == {Role.AUDITOR, Role.ADMIN}
    refused = await api.as_user("a-operator").get(f"{V3}/audit/")
    assert (refused.status_code, "this needs admin or auditor" in refused.json()["detail"]) == (403, True)


async def test_an_auditor_sees_all_tasks_where_others_see_their_own(api: Site) -> None:
    story = await Story(api).tell()
    await api.add_user("vi", Role.VIEWER)
    assert (await api.as_user("vi").get(f"{V3}/tasks/{story.sync}/")).status_code == 404
    assert (await api.as_user("ada").get(f"{V3}/tasks/{story.sync}/")).status_code == 200


async def test_reads_and_refusals_are_lines_of_the_access_log_and_no_events(
    api: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await api.add_user("vi", Role.VIEWER)
    app = api.client._transport.app  # type: ignore[attr-defined]  # of httpx's ASGI transport
    app.middleware_stack = None
    for middleware in app.user_middleware:
        middleware.kwargs["has_access_log"] = True
    before = len(api.log.events)
    with caplog.at_level(logging.INFO, "pulp.api.access"):
        await api.as_user("ada").get(f"{V3}/audit/")
        await api.as_user("vi").get(f"{V3}/audit/")
    lines = [(vars(line)["actor"], vars(line)["status"]) for line in caplog.records if line.name == "pulp.api.access"]
    assert lines == [("user:ada", 200), ("user:vi", 403)]
    assert len(api.log.events) == before
