"""`DELETE /v2/tasks/?state=…`, by which the client of 2.21 purges."""

import json
from typing import Any

import pytest
from pulp_accounts.users import Role
from pulp_events.events import Accepted

from tests.integration.test_api_purge import offered as offered  # a worker offers the operation
from tests.support.site import V2, Site

TASKS = f"{V2}/tasks/"


def purges(api: Site) -> list[dict[str, Any]]:
    """The arguments of the purges that were submitted."""
    found = [event.data for event in api.log.events if isinstance(event.data, Accepted)]
    return [json.loads(bytes(data.arguments)) for data in found if data.operation == "purge-tasks"]


async def test_a_purge_names_states_and_is_submitted_as_a_task(api: Site) -> None:
    answer = await api.client.delete(TASKS, params={"state": ["finished", "error", "skipped", "error"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert purges(api) == [{"states": ["successful", "failed", "skipped"]}]
    assert "pulp-position" in answer.headers


@pytest.mark.parametrize(
    ("states", "status", "code", "message"),
    [
        ([], 403, "PLP1012", "No task state given to parameters list for delete."),
        (["running"], 400, "PLP1011", "Invalid task state passed to purge: running."),
        (["finished", "canceled"], 400, "PLP1011", "Invalid task state passed to purge: canceled."),
    ],
)
async def test_states_that_cannot_be_purged_are_refused_before_anything_is(
    api: Site, states: list[str], status: int, code: str, message: str
) -> None:
    answer = await api.client.delete(TASKS, params={"state": states})
    told = answer.json()
    assert (answer.status_code, told["error"]["code"], told["error_message"]) == (status, code, message)
    assert purges(api) == []


async def test_a_filter_that_it_has_not_is_refused_before_anything_is(api: Site) -> None:
    """Otherwise it would purge what the filter was meant to leave out."""
    answer = await api.client.delete(TASKS, params={"state": "finished", "tag": "pulp:repository:zoo"})
    assert (answer.status_code, answer.json()["error_message"]) == (400, "no such parameter: tag; there are state")
    assert purges(api) == []


async def test_a_viewer_may_not_purge(api: Site) -> None:
    await api.add_user("vi", Role.VIEWER)
    answer = await api.as_user("vi").delete(TASKS, params={"state": "finished"})
    assert (answer.status_code, answer.json()["auth_error_code"]) == (401, "permission_denied")
