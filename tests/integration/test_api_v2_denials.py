"""Refusals of the v2 dialect, as the clients of Pulp 2 read them, in their own terms."""

from typing import Any

import httpx
import pytest
from pulp_accounts.users import Role

from tests.integration.test_api_users import NOT_SERVED
from tests.support.site import V2, Site

MISSING = "e0e0a250-eded-468f-9d97-0419a00b130e"


def told(answer: httpx.Response) -> tuple[int, Any, str, str]:
    """Status, `auth_error_code`, error code, and the message, which is in two places."""
    body = answer.json()
    assert body["error_message"] == body["error"]["description"]
    assert body["http_status"] == answer.status_code
    return answer.status_code, body.get("auth_error_code"), body["error"]["code"], body["error_message"]


async def test_a_client_learns_what_was_wrong_with_its_login(api: Site) -> None:
    await api.add_user("vi", Role.VIEWER)
    anybody = await api.as_user("").get(f"{V2}/tasks/")
    assert told(anybody)[:3] == (401, "authentication_failed", "PLP0025")
    for name, password in (("admin", "wrong"), ("nobody", "correct horse")):
        answer = await api.as_user(name, password).get(f"{V2}/tasks/")
        assert told(answer)[:3] == (401, "invalid_username_or_password", "PLP0030")
        assert answer.json()["error"]["data"] == {"auth_error_code": "invalid_username_or_password"}
    task_id = await api.task()
    refused = await api.as_user("vi").delete(f"{V2}/tasks/{task_id}/")
    assert told(refused)[:3] == (401, "permission_denied", "PLP0026")
    assert "vi has the role viewer" in told(refused)[3]
    assert refused.headers["www-authenticate"].startswith("Basic ")


async def test_each_kind_of_error_has_pulps_code(api: Site) -> None:
    running = await api.task()
    calls: list[tuple[str, str, Any, int, str, dict[str, Any]]] = [
        ("GET", f"tasks/{MISSING}/", None, 404, "PLP0009", {"resources": {"resource_id": MISSING}}),
        ("GET", "nothing/", None, 404, "PLP0009", {"resources": {"path": f"{V2}/nothing/"}}),
        ("POST", "tasks/search/", {}, 400, "PLP0016", {"missing_property_names": ["criteria"]}),
        ("POST", "tasks/search/", {"criteria": {"limit": 0}}, 400, "PLP0015", {"property_names": ["limit"]}),
        ("POST", "tasks/search/", {"criteria": {"bogus": 0}}, 400, "PLP0015", {"property_names": ["bogus"]}),
        ("POST", "tasks/search/", {"criteria": {"sort": 1}}, 400, "PLP0015", {"property_names": ["sort"]}),
        ("POST", "tasks/search/", {"criteria": {"filters": {"x": 1}}}, 400, "PLP0015", {"property_names": ["filters"]}),
        ("GET", "tasks/?limit=x", None, 400, "PLP0015", {"property_names": ["limit"]}),
        ("PUT", f"tasks/{running}/", {}, 405, "PLP0001", {}),
        ("POST", "consumers/search/", {}, 501, "PLP0014", {}),
    ]
    for method, path, body, status, code, fields in calls:
        answer = await api.client.request(method, f"{V2}/{path}", json=body)
        assert told(answer)[:3] == (status, None, code), path
        assert answer.json()["error"]["data"] == fields
        assert answer.json().items() >= fields.items()


@pytest.mark.parametrize(("method", "path"), NOT_SERVED)
async def test_what_is_not_there_says_so_with_a_reason(api: Site, method: str, path: str) -> None:
    answer = await api.client.request(method, path)
    assert told(answer)[:3] == (501, None, "PLP0014")
    assert told(answer)[3].startswith("Not implemented: ")


async def test_content_cannot_be_moved_between_repositories(api: Site) -> None:
    for action in ("associate", "unassociate", "import_upload"):
        answer = await api.client.post(f"{V2}/repositories/zoo/actions/{action}/", json={})
        assert told(answer)[0] == 501
