"""Properties of every request: its correlation id, the methods of a path, and unexpected errors."""

import logging
from uuid import UUID, uuid4

import pytest
from pulp_projections.reading import queries

from tests.support.site import V2, V3, Site

GUID = "6F0EE21F-4A0C-4CF0-8D8B-2A8A46D9E3A1"


async def test_a_correlation_id_comes_back_as_it_was_sent_and_any_other_text_is_replaced(api: Site) -> None:
    for path in (f"{V3}/tasks/", f"{V3}/nothing/", f"{V2}/tasks/{uuid4()}/", "/"):
        for sent in (GUID, GUID.lower(), GUID.replace("-", ""), uuid4().hex, f"{{{GUID}}}", UUID(GUID).urn):
            answer = await api.client.get(path, headers={"Correlation-ID": sent})
            assert answer.headers["correlation-id"] == sent, path
    seen = set()
    for text in ("", "nonsense", "x" * 5000, "6f0ee21f", f"{GUID}0", GUID.replace("6", "g", 1)):
        answer = await api.client.get(f"{V3}/tasks/", headers={"Correlation-ID": text})
        seen.add(UUID(answer.headers["correlation-id"]))
    assert len(seen) == 6


async def test_a_task_keeps_the_correlation_id_as_it_was_sent(api: Site) -> None:
    sent = uuid4().hex
    task_id = await api.submit({"operation": "publish", "arguments": {"repo_id": "zoo"}}, **{"Correlation-ID": sent})
    assert (await api.client.get(f"{V3}/tasks/{task_id}/")).json()["logging_cid"] == sent
    assert (await api.client.get(f"{V3}/tasks/", params={"logging_cid": sent})).json()["count"] == 1


async def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(api: Site) -> None:
    task_id = await api.task()
    for path, allowed in (
        (f"{V3}/tasks/", {"GET", "HEAD", "POST"}),
        (f"{V3}/tasks/{task_id}/", {"GET", "HEAD", "PATCH", "DELETE"}),
        (f"{V2}/tasks/{task_id}/", {"GET", "HEAD", "DELETE"}),
        (f"{V2}/status/", {"GET", "HEAD"}),
    ):
        answer = await api.client.put(path)
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, allowed), path


async def test_an_error_that_nobody_expects_is_logged_once_and_tells_no_secrets(
    api: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("password=secret")

    monkeypatch.setattr(queries, "operations", broken)
    with caplog.at_level(logging.ERROR):
        answer = await api.client.get(f"{V3}/operations/", headers={"Correlation-ID": GUID})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "an unexpected error; the server's log has the details"}
    assert answer.headers["correlation-id"] == GUID
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (record.getMessage(), record.__dict__["path"]) == ("unexpected error", f"{V3}/operations/")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "password=secret"
    monkeypatch.setattr(queries, "positions", broken)
    answer = await api.client.get(f"{V2}/tasks/")
    assert (answer.status_code, answer.json()["http_status"]) == (500, 500)
