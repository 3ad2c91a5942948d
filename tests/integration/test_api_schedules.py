"""Task schedules in the v3 dialect: Pulp 3's list and read, and our own calls to change them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pulp_accounts.users import Role
from pulp_api.schedules import Schedules
from pulp_events.ordered_topic import TopicRange
from pulp_events.schedule_events import ScheduleCreated, ScheduleEvent, ScheduleRemoved
from pulp_projections.connection import connect
from pulp_projections.schedules.projector import ScheduleProjector

from tests.support.schedules import SCHEDULE, MemoryScheduleLog, definition, schedule_event
from tests.support.site import V3, Site, site

SCHEDULES = f"{V3}/task-schedules/"
PULP_FIELDS = [
    "pulp_href",
    "prn",
    "pulp_created",
    "pulp_last_updated",
    "name",
    "task_name",
    "dispatch_interval",
    "next_dispatch",
    "last_task",
]
"""Those of Pulp 3, in its order."""
NIGHTLY = {
    "name": "nightly",
    "task_name": "sync",
    "arguments": {"repo_id": "zoo"},
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
}


class ProjectedLog(MemoryScheduleLog):
    """A log whose events are projected immediately, as by the elected dispatcher's process."""

    def __init__(self, database: str) -> None:
        super().__init__(lambda: int(datetime.now(UTC).timestamp() * 1000))
        self._database = database
        self.is_projected = True

    async def append(self, event: ScheduleEvent) -> int:
        """See `ScheduleLog.append`."""
        offset = await super().append(event)
        if self.is_projected:
            async with await connect(self._database, "test") as connection:
                projector = ScheduleProjector(connection, "s")
                await projector.locate(TopicRange("a", 0, len(self.records)))
                await projector.project(self.records)
        return offset


@pytest.fixture
async def log(api: Site) -> ProjectedLog:
    return await scheduling(api)


async def scheduling(api: Site) -> ProjectedLog:
    """Let a site create schedules, and give it users."""
    made = ProjectedLog(api.database)
    transport = api.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    app: Any = transport.app
    app.state.schedules = Schedules(made, app.state.service.connection, app.state.service.submitter)
    await api.add_user("jo", Role.SUBMITTER)
    await api.add_user("kim", Role.SUBMITTER)
    await api.add_user("vi", Role.VIEWER)
    return made


async def create(client: httpx.AsyncClient, **given: object) -> dict[str, Any]:
    answer = await client.post(SCHEDULES, json={**NIGHTLY, **given})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == made["pulp_href"]
    return made


async def test_a_schedule_is_shown_as_pulp_3_shows_it(api: Site, log: ProjectedLog) -> None:
    made = await create(api.as_user("jo"))
    assert [*made][: len(PULP_FIELDS)] == PULP_FIELDS
    schedule_id = made["pulp_href"].rstrip("/").rsplit("/", 1)[-1]
    assert made["pulp_href"] == f"{SCHEDULES}{schedule_id}/"
    assert made["prn"] == f"prn:core.taskschedule:{schedule_id}"
    assert (made["name"], made["task_name"], made["dispatch_interval"], made["last_task"]) == (
        "nightly",
        "sync",
        None,
        None,
    )
    assert made["next_dispatch"].endswith(("T00:30:00.000000Z", "T01:30:00.000000Z"))  # 02:30 in summer and in winter
    assert (await api.client.get(made["pulp_href"])).json() == made
    listed = (await api.client.get(SCHEDULES)).json()
    assert listed == {"count": 1, "next": None, "previous": None, "results": [made]}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(86_400, "1 00:00:00"), (90, "00:01:30"), (21_600, "06:00:00"), (176_523, "2 01:02:03")],
)
async def test_an_interval_is_written_as_django_writes_it(
    api: Site, log: ProjectedLog, seconds: int, shown: str
) -> None:
    made = await create(api.client, cron=None, interval_seconds=seconds)
    assert made["dispatch_interval"] == shown
    start = datetime.fromisoformat(made["start"].replace("Z", "+00:00"))
    following = datetime.fromisoformat(made["next_dispatch"].replace("Z", "+00:00"))
    assert following - start == timedelta(seconds=seconds)


async def test_the_order_of_intervals_is_by_their_length(api: Site, log: ProjectedLog) -> None:
    await create(api.client, name="by cron")
    for name, seconds in (("a minute", 60), ("ten seconds", 10), ("ten days", 864_000)):
        await create(api.client, name=name, cron=None, interval_seconds=seconds)
    for ordering, expected in (
        ("dispatch_interval", ["ten seconds", "a minute", "ten days", "by cron"]),
        ("-dispatch_interval", ["by cron", "ten days", "a minute", "ten seconds"]),
    ):
        answer = await api.client.get(SCHEDULES, params={"ordering": ordering})
        assert [row["name"] for row in answer.json()["results"]] == expected


async def test_filters_and_orders(api: Site, log: ProjectedLog) -> None:
    await create(api.client, name="b sync")
    await create(api.client, name="a sync")
    await create(api.client, name="c publish", task_name="publish")

    async def names(**query: str) -> list[str]:
        answer = await api.client.get(SCHEDULES, params=query)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["results"]]

    assert await names() == ["c publish", "a sync", "b sync"]  # newest first
    assert await names(ordering="name") == ["a sync", "b sync", "c publish"]
    assert await names(ordering="-task_name,name") == ["a sync", "b sync", "c publish"]
    assert await names(name="a sync") == ["a sync"]
    assert await names(name__contains="sync", ordering="name") == ["a sync", "b sync"]
    assert await names(task_name="publish") == ["c publish"]
    assert await names(task_name__contains="ubl") == ["c publish"]
    assert await names(q='task_name=publish OR name="a sync"', ordering="name") == ["a sync", "c publish"]
    assert await names(limit="1", offset="1", ordering="name") == ["b sync"]
    assert (await api.client.get(SCHEDULES, params={"fields": "name", "limit": "1"})).json()["results"] == [
        {"name": "c publish"}
    ]
    for query, body in (
        ({"bogus": "1"}, {"errors": ["Invalid Filter: 'bogus'"]}),
        ({"ordering": "bogus"}, {"ordering": ["Select a valid choice. bogus is not one of the available choices."]}),
        ({"q": "state=failed"}, {"q": ["Filter 'state' does not exist."]}),
    ):
        answer = await api.client.get(SCHEDULES, params=query)
        assert (answer.status_code, answer.json()) == (400, body)


async def test_changes_are_shown_at_once_and_the_last_one_counts(api: Site, log: ProjectedLog) -> None:
    jo = api.as_user("jo")
    made = await create(jo)
    href = made["pulp_href"]
    changed = (await jo.patch(href, json={"interval_seconds": 600, "queue": "slow"})).json()
    assert (changed["cron"], changed["interval_seconds"], changed["queue"], changed["version"]) == (
        None,
        600,
        "slow",
        2,
    )
    assert changed["arguments"] == {"repo_id": "zoo"}  # a field that is left out stays
    disabled = (await jo.post(f"{href}disable/")).json()
    assert (disabled["enabled"], disabled["next_dispatch"]) == (False, None)
    assert (await jo.post(f"{href}enable/")).json()["enabled"] is True
    assert (await jo.delete(href)).status_code == 204
    for answer in (await jo.get(href), await jo.patch(href, json={"queue": "slow"}), await jo.delete(href)):
        assert (answer.status_code, answer.json()) == (404, {"detail": "No TaskSchedule matches the given query."})
    assert (await jo.get(SCHEDULES)).json()["count"] == 0
    assert (await jo.get(f"{SCHEDULES}nothing/")).json() == {"detail": "Not found."}


async def test_who_may_change_what(api: Site, log: ProjectedLog) -> None:
    href = (await create(api.as_user("jo")))["pulp_href"]
    for name in ("vi", "kim"):
        client = api.as_user(name)
        assert (await client.get(href)).status_code == 200
        assert (await client.patch(href, json={"enabled": False})).status_code == 403
        assert (await client.delete(href)).status_code == 403
    assert (await api.as_user("vi").post(SCHEDULES, json=NIGHTLY)).status_code == 403
    by_admin = (await api.client.patch(href, json={"priority": 5})).json()
    assert by_admin["created_by"].rstrip("/").endswith("jo")  # the tasks are jo's
    assert by_admin["updated_by"].rstrip("/").endswith("admin")


async def test_where_only_own_tasks_are_visible_so_are_only_own_schedules(database: str) -> None:
    async with site(database, is_scoped=True) as own:
        await scheduling(own)
        await own.add_user("op", Role.OPERATOR)
        href = (await create(own.as_user("jo")))["pulp_href"]
        missing = {"detail": "No TaskSchedule matches the given query."}
        for name in ("kim", "vi"):
            client = own.as_user(name)
            for query in ("", "?name=nightly", "?q=name=nightly OR name=x", "?offset=1"):
                page = (await client.get(f"{SCHEDULES}{query}")).json()
                assert (page["count"], page["results"]) == (0, []), query
            for path in ("", "runs/", "preview/"):
                answer = await client.get(f"{href}{path}")
                assert (answer.status_code, answer.json()) == (404, missing), path
        kim = own.as_user("kim")
        for changed in (
            await kim.patch(href, json={"enabled": False}),
            await kim.post(f"{href}enable/"),
            await kim.post(f"{href}disable/"),
            await kim.delete(href),
        ):
            assert (changed.status_code, changed.json()) == (404, missing)
        for name in ("jo", "op", "admin"):
            assert (await own.as_user(name).get(SCHEDULES)).json()["count"] == 1
            for path in ("", "runs/", "preview/"):
                assert (await own.as_user(name).get(f"{href}{path}")).status_code == 200, (name, path)


async def test_a_token_gets_no_more_of_a_schedule_than_of_a_submission(api: Site, log: ProjectedLog) -> None:
    await api.execute(
        "insert into operations (name, cancellable, description, resources, registered_by)"
        " values ('purge-tasks', true, '', '[]', 'w1')"
    )
    made = await api.client.post(f"{V3}/tokens/", json={"name": "ci", "role": "submitter"})
    limited = api.as_user("")
    limited.headers["Authorization"] = f"Bearer {made.json()['token']}"
    purging = {"task_name": "purge-tasks", "arguments": {"states": ["failed"]}}
    assert (await limited.post(SCHEDULES, json={**NIGHTLY, **purging})).status_code == 403
    assert log.records == []
    href = (await create(api.client, **purging))["pulp_href"]  # the administrator's password allows it
    recorded = len(log.records)
    for refused in (
        await limited.patch(href, json={"arguments": {"states": ["completed"]}}),
        await limited.patch(href, json={"enabled": True}),
        await limited.post(f"{href}enable/"),
    ):
        assert refused.status_code == 403
        assert "may purge own tasks only" in refused.json()["detail"]
    harmless = (await create(limited, name="harmless"))["pulp_href"]
    assert (await limited.patch(harmless, json={"task_name": "purge-tasks"})).status_code == 403
    assert len(log.records) == recorded + 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": None}, "cron"),
        ({"interval_seconds": 600}, "cron"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"cron": None, "at": "2020-01-01T00:00:00Z"}, "at"),
        ({"cron": None, "at": "9999-12-31T23:59:59-05:00"}, "at"),
        ({"start": "9999-12-31T23:59:59-05:00"}, "start"),
        ({"start": "0001-01-01T00:00:00+05:00"}, "start"),
        ({"cron": None, "at": "9999-06-01T00:00:00Z"}, "at"),
        ({"start": "0001-06-01T00:00:00Z"}, "start"),
    ],
)
async def test_a_wrong_field_is_named(api: Site, log: ProjectedLog, given: dict[str, Any], field: str) -> None:
    answer = await api.client.post(SCHEDULES, json={**NIGHTLY, **given})
    assert answer.status_code == 400
    assert [*answer.json()] == [field]
    assert log.records == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task_name": "snyc"}, "unknown operation 'snyc', did you mean 'sync'?"),
        ({"queue": "nowhere"}, "unknown queue 'nowhere'"),
        ({"interval_seconds": 5}, "interval_seconds must be a whole number of at least 10"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_schedule_that_could_never_submit_is_refused(
    api: Site, log: ProjectedLog, given: dict[str, Any], said: str
) -> None:
    answer = await api.client.post(SCHEDULES, json={**NIGHTLY, **given})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["detail"]
    assert log.records == []


async def test_a_name_belongs_to_one_schedule(api: Site, log: ProjectedLog) -> None:
    made = await create(api.client)
    answer = await api.client.post(SCHEDULES, json=NIGHTLY)
    assert (answer.status_code, answer.json()) == (400, {"name": ["This field must be unique."]})
    other = await create(api.client, name="other")
    answer = await api.client.patch(other["pulp_href"], json={"name": "nightly"})
    assert (answer.status_code, answer.json()) == (400, {"name": ["This field must be unique."]})
    await api.client.delete(made["pulp_href"])
    assert (await api.client.patch(other["pulp_href"], json={"name": "nightly"})).status_code == 200


async def test_a_schedule_that_is_removed_before_it_can_be_shown_is_answered_with_a_conflict(
    api: Site, log: ProjectedLog
) -> None:
    """Somebody removes it who has seen it in a list."""
    append = log.append

    async def append_and_remove(event: ScheduleEvent) -> int:
        offset = await append(event)
        await append(schedule_event(ScheduleRemoved(), schedule_id=event.schedule_id, actor="user:admin"))
        return offset

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "append", append_and_remove)
        answer = await api.client.post(SCHEDULES, json=NIGHTLY)
    assert answer.status_code == 409
    assert "somebody has removed it since: create it again" in answer.json()["detail"]
    assert (await api.client.post(SCHEDULES, json=NIGHTLY)).status_code == 201


async def test_a_change_of_a_schedule_that_somebody_removes_meanwhile_finds_none(api: Site, log: ProjectedLog) -> None:
    made = await create(api.client)
    append = log.append

    async def remove_and_append(event: ScheduleEvent) -> int:
        await append(schedule_event(ScheduleRemoved(), schedule_id=event.schedule_id, actor="user:admin"))
        return await append(event)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "append", remove_and_append)
        assert (await api.client.post(f"{made['pulp_href']}disable/")).status_code == 404
    assert (await api.client.delete(made["pulp_href"])).status_code == 404


async def test_a_stored_cron_that_would_be_refused_today_can_still_be_disabled_and_enabled(
    api: Site, log: ProjectedLog
) -> None:
    """For example, one with six fields, which earlier releases accepted."""
    six = definition(cron="0 0 2 * * *")
    await log.append(schedule_event(ScheduleCreated(definition=six)))
    href = f"{SCHEDULES}{SCHEDULE}/"
    for what, is_enabled in (("disable", False), ("disable", False), ("enable", True)):
        answer = await api.client.post(f"{href}{what}/")
        assert (answer.status_code, answer.json().get("enabled")) == (200, is_enabled), answer.text
    renamed = await api.client.patch(href, json={"name": "other"})
    assert (renamed.status_code, renamed.json()["cron"]) == (200, "0 0 2 * * *")
    refused = await api.client.patch(href, json={"cron": "0 0 3 * * *"})
    assert (refused.status_code, [*refused.json()]) == (400, ["cron"])
    assert (await api.client.delete(href)).status_code == 204


async def test_a_repeated_request_makes_one_schedule(api: Site, log: ProjectedLog) -> None:
    answers = [await api.client.post(SCHEDULES, json=NIGHTLY, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("times", [{}, {"cron": None, "interval_seconds": 600}])
async def test_a_repeated_request_is_answered_by_what_has_become_of_its_schedule(
    api: Site, log: ProjectedLog, times: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": "k"}
    href = (await api.client.post(SCHEDULES, json={**NIGHTLY, **times}, headers=key)).json()["pulp_href"]
    changed = (await api.client.patch(href, json={"enabled": False})).json()
    repeated = await api.client.post(SCHEDULES, json={**NIGHTLY, **times}, headers=key)
    assert (repeated.status_code, repeated.json()) == (201, changed)
    await api.client.delete(href)
    removed = await api.client.post(SCHEDULES, json={**NIGHTLY, **times}, headers=key)
    assert removed.status_code == 422, removed.text
    assert "which was removed" in removed.json()["detail"]
    assert len([record for record in log.records if b"schedule.created" in (record.value or b"")]) == 1


async def test_a_key_belongs_to_one_request(api: Site, log: ProjectedLog) -> None:
    key = {"Idempotency-Key": "k"}
    assert (await api.client.post(SCHEDULES, json=NIGHTLY, headers=key)).status_code == 201
    for other in ({"name": "other"}, {"arguments": {"repo_id": "farm"}}, {"cron": "0 3 * * *"}):
        answer = await api.client.post(SCHEDULES, json={**NIGHTLY, **other}, headers=key)
        assert answer.status_code == 422, answer.text
        assert "came before with another schedule" in answer.json()["detail"]
    assert (await api.as_user("jo").post(SCHEDULES, json={**NIGHTLY, "name": "jo"}, headers=key)).status_code == 201


async def test_the_next_times(api: Site, log: ProjectedLog) -> None:
    made = await create(api.client, cron="0 0 29 2 *", time_zone="UTC")
    shown = (await api.client.get(f"{made['pulp_href']}preview/", params={"count": 2})).json()
    leap = [year for year in range(datetime.now(UTC).year, 2200) if year % 4 == 0 and (year % 100 or year % 400 == 0)]
    coming = [day for year in leap if (day := datetime(year, 2, 29, tzinfo=UTC)) > datetime.now(UTC)][:2]
    assert shown == {
        "time_zone": "UTC",
        "enabled": True,
        "ticks": [day.strftime("%Y-%m-%dT%H:%M:%S.000000Z") for day in coming],
    }
    body = {"name": "x", "task_name": "y", "cron": "0 0 29 2 *"}
    assert (await api.client.post(f"{SCHEDULES}preview/", json=body, params={"count": 2})).json() == shown
    assert (await api.client.get(SCHEDULES)).json()["count"] == 1


async def test_a_change_that_nobody_projects_is_told(
    api: Site, log: ProjectedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.schedules._EFFECT_S", 0.2)
    log.is_projected = False
    answer = await api.client.post(SCHEDULES, json=NIGHTLY)
    assert answer.status_code == 504
    assert "is recorded, and not projected yet: is a processor up?" in answer.json()["detail"]


async def test_readiness_tells_of_schedules(api: Site, log: ProjectedLog) -> None:
    await create(api.client)
    await create(api.client, name="other", enabled=False)
    await api.execute("update schedules set next_tick = now() - interval '5 min' where name = 'nightly'")
    told = (await api.client.get(f"{V3}/readyz/")).json()["schedules"]
    assert (told["total"], told["enabled"], told["overdue"]) == (2, 1, 1)
    assert 300 <= told["overdue_s"] < 360
