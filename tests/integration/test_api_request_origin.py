"""What events keep about the request that led to them, by the site's setting, and where it is shown."""

from typing import Any

import pytest
from msgspec import UNSET
from pulp_accounts.users import Role
from pulp_api.request_origin import client_of
from pulp_events.codec import type_of
from pulp_events.events import Accepted, CancelRequested, Event, RequestFacts

from tests.support.site import V3, Site, site

WORK = {"operation": "publish", "arguments": {"repo_id": "zoo"}}


async def acts(api: Site, **headers: str) -> list[Event]:
    """The events of a submission and of its cancel, both by the administrator."""
    task_id = await api.submit(WORK, **headers)
    await api.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled", "reason": "late"}, headers=headers)
    return [event for event in api.log.events if isinstance(event.data, Accepted | CancelRequested)]


def requests(events: list[Event]) -> list[Any]:
    return [event.data.request for event in events if isinstance(event.data, Accepted | CancelRequested)]


@pytest.mark.parametrize(
    ("event_origin", "kept"),
    [
        ("none", UNSET),
        ("client", RequestFacts(authentication="basic", client="pulp-cli/0.29")),
        ("address", RequestFacts(authentication="basic", address="127.0.0.1", client="pulp-cli/0.29")),
    ],
)
async def test_what_is_kept(
    database: str, monkeypatch: pytest.MonkeyPatch, event_origin: str, kept: RequestFacts | Any
) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.1)  # nothing ends the task
    async with site(database, event_origin=event_origin) as api:
        found = await acts(api, **{"User-Agent": "pulp-cli/0.29"})
        assert requests(found) == [kept, kept]
        version = "v1" if kept is UNSET else "v2"
        assert [type_of(event).rpartition(".")[2] for event in found] == [version, version]
        told = (await api.client.get(f"{V3}/audit/", params={"type": ["accepted", "cancel-requested"]})).json()[
            "results"
        ]
        shown = [(each["authentication"], each["address"], each["client"]) for each in told]
        if kept is UNSET:
            assert shown == [(None, None, None)] * 2
        else:
            assert shown == [(kept.authentication, kept.address, kept.client)] * 2
        assert [each["type"].rpartition(".")[2] for each in told] == [version, version]
        assert [each["reason"] for each in told] == [None, "late"]


async def test_each_way_to_log_in_is_told(database: str) -> None:
    async with site(database) as api:
        await api.add_user("jo", Role.SUBMITTER)
        jo = api.as_user("jo")
        token = (await jo.post(f"{V3}/tokens/", json={"name": "ci"})).json()["token"]
        by_token, browser = api.as_user(""), api.as_user("")
        await browser.post(f"{V3}/login/", auth=("jo", "correct horse"))
        browser.headers["X-CSRFToken"] = browser.cookies["csrftoken"]
        for client, headers in ((jo, {}), (by_token, {"Authorization": f"Bearer {token}"}), (browser, {})):
            answer = await client.post(f"{V3}/tasks/", json=WORK, headers=headers)
            assert answer.status_code == 202, answer.text
        events = sorted(api.log.events, key=lambda event: event.time)
        assert [request.authentication for request in requests(events)] == ["basic", "token", "session"]


async def test_no_event_tells_a_secret(database: str) -> None:
    async with site(database, event_origin="address") as api:
        token = (await api.client.post(f"{V3}/tokens/", json={"name": "ci"})).json()["token"]
        client = api.as_user("")
        await client.post(f"{V3}/tasks/", json=WORK, headers={"Authorization": f"Bearer {token}"})
        written = b"".join(record.value or b"" for records in api.log.records for record in records)
        assert b"token" in written
        assert token.encode() not in written


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("curl/8.5.0", "curl/8.5.0"),
        ("", None),
        ("  ", None),
        ("a\tb\x00c", "a b c"),
        ("x" * 300, "x" * 255),
        ("\u00e9\u202e", "\u00e9"),
    ],
)
def test_what_a_client_calls_itself_is_one_short_line(sent: str, kept: str | None) -> None:
    assert client_of(sent) == kept


async def test_filters_by_kind_find_every_version(database: str) -> None:
    async with site(database) as api:
        await api.task()  # version 1
        await api.submit(WORK)
        found = (await api.client.get(f"{V3}/audit/", params={"type": "accepted"})).json()["results"]
        assert sorted(each["type"].rpartition(".")[2] for each in found) == ["v1", "v2"]
        one = (await api.client.get(f"{V3}/audit/", params={"type": found[0]["type"]})).json()["results"]
        assert len(one) == 1
