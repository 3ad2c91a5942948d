"""A user who has only the URL finds the way: roots, documentation, and the answer to a wrong address."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pulp_api import live_page
from pulp_api.html import STYLE
from pulp_api.openapi import elsewhere
from pulp_api.openapi.document import document

from tests.support.site import V2, V3, Site

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
BASE = "http://pulp"


class Page(HTMLParser):
    """What a page loads and links to, and whether its tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "srcset", "action", "data"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def checked(answer: httpx.Response, status: int = 200) -> Page:
    """A page that loads nothing from another host, and runs nothing."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = Page(answer.text)
    assert not found.tags & {"script", "iframe", "object", "link", "img", "form"}
    assert not re.search(r"(https?:)?//", answer.text)
    assert STYLE in answer.text
    return found


async def leads_on(api: Site, url: str) -> None:
    """The URL has an answer for somebody who is logged in."""
    if "/events/" not in url:  # an event stream does not end
        answer = await api.client.get(url)
        assert answer.status_code == 200, (url, answer.text)


async def test_the_url_that_is_printed_leads_on(api: Site) -> None:
    nobody = api.as_user("")
    found = (await nobody.get("/")).json()
    assert found["api"] == f"{BASE}{V3}/"
    assert found["docs"] == f"{BASE}{V3}/docs/"
    for name in ("api", "docs", "status", "readyz", "page"):
        assert (await nobody.get(found[name])).status_code == 200, name
    browser = await nobody.get("/", headers=BROWSER)
    assert (browser.status_code, browser.headers["location"]) == (302, "/ui/")


async def test_without_the_live_page_the_front_page_leads_on(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "installed", lambda: live_page.Files(Path("/nonexistent")))
    nobody = api.as_user("")
    assert "page" not in (await nobody.get("/")).json()
    for link in checked(await nobody.get("/", headers=BROWSER)).links:
        assert (await nobody.get(link)).status_code == 200, link
    missing = await nobody.get("/ui/", headers=BROWSER)
    checked(missing, 404)
    assert "pulp-tasks-web" in missing.text


def served() -> dict[str, dict[str, Any]]:
    """The document's calls, without those that it lists only because clients look them up: path → method → call."""
    named = {call["operationId"] for calls in elsewhere.paths().values() for call in calls.values()}
    found = {
        path: {method: call for method, call in calls.items() if call["operationId"] not in named}
        for path, calls in document()["paths"].items()
    }
    return {path: calls for path, calls in found.items() if calls}


async def test_the_roots_list_what_there_is(api: Site) -> None:
    nobody = api.as_user("")
    listed = (await nobody.get(f"{V3}/")).json()
    assert {"tasks", "workers", "operations", "status", "events"} <= listed.keys()
    assert listed["tasks"] == f"{BASE}{V3}/tasks/"
    # It has every path that has no id and no required parameter, and is not itself a listing.
    read = {
        path
        for path, calls in served().items()
        if "get" in calls and not any(each.get("required") for each in calls["get"].get("parameters", ()))
    }
    told = {path for path in read if path.startswith(V3)} - {f"{V3}/"}
    assert {url.removeprefix(BASE) for url in listed.values()} == told
    v2 = (await nobody.get(f"{V2}/")).json()
    assert v2["tasks"] == f"{BASE}{V2}/tasks/"
    for url in (*listed.values(), v2["tasks"]):
        await leads_on(api, url)
    for root in (V3, V2):
        for link in checked(await nobody.get(f"{root}/", headers=BROWSER)).links:
            if not link.endswith("/search/"):
                await leads_on(api, link)


@pytest.mark.parametrize(
    ("accept", "is_html"),
    [
        (BROWSER["Accept"], True),
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("application/json, text/html;q=0.9", False),
        ("application/json, text/html", False),
        ("*/*", False),
        ("", False),
        ("text/html;q=nonsense", False),
    ],
)
async def test_a_browser_gets_a_page_and_a_program_gets_json(
    api: Site, accept: str, is_html: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "installed", lambda: live_page.Files(Path("/nonexistent")))
    for path in ("/", f"{V3}/", f"{V2}/", "/nothing"):
        answer = await api.client.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"].startswith("text/html" if is_html else "application/json"), path


async def test_the_documentation_shows_every_call_with_its_parameters(api: Site) -> None:
    nobody = api.as_user("")
    answer = await nobody.get(f"{V3}/docs/", headers=BROWSER)
    found = checked(answer)
    assert answer.headers["content-type"] == (await nobody.get(f"{V3}/docs/")).headers["content-type"]
    for path, calls in served().items():
        for call in calls.values():
            assert f'id="{call["operationId"]}"' in answer.text
            assert re.sub("`(.+?)`", r"<code>\1</code>", call["summary"]) in unescape(answer.text)
            assert f"<code>{path}</code>" in answer.text
            for parameter in call["parameters"]:
                assert f"<code>{parameter['name']}</code>" in answer.text or parameter["in"] == "path"
    assert {link.removeprefix("#") for link in found.links} == {
        call["operationId"] for calls in served().values() for call in calls.values()
    }
    for way in ("/docs", "/docs/", "/redoc"):
        assert (await nobody.get(way)).headers["location"] == f"{V3}/docs/"


async def test_the_document_is_the_same_as_json_and_as_yaml(api: Site) -> None:
    nobody = api.as_user("")
    answer = await nobody.get(f"{V3}/docs/api.yaml")
    assert yaml.safe_load(answer.text) == (await nobody.get(f"{V3}/docs/api.json")).json() == document()
    assert answer.headers["content-type"] == "application/yaml"


async def test_an_address_outside_of_the_api_says_where_that_is(api: Site) -> None:
    nobody = api.as_user("")
    for path in ("/nothing", "/pulp/", "/pulp/api/", "/api/v3/tasks/", "/openapi.json", "/healthz", "/<script>"):
        answer = await nobody.get(path)
        assert answer.status_code == 404, path
        assert answer.json() == {"detail": f"Not found. The API is at {BASE}{V3}/", "api": f"{BASE}{V3}/"}
        assert checked(await nobody.get(path, headers=BROWSER), 404).links == [f"{V3}/"]
    metrics = await nobody.get("/metrics")
    assert (metrics.status_code, metrics.json()["readyz"]) == (404, f"{BASE}{V3}/readyz/")
    assert (await nobody.get("/favicon.ico")).status_code == 204


async def test_a_slash_that_is_missing_is_added(api: Site) -> None:
    for path in (V3, V2, f"{V3}/docs"):
        answer = await api.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (301, f"{BASE}{path}/")
