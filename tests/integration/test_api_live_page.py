"""The files of the live page: policy, caching, encodings; and the calls that only the page needs so far."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Raw
from pulp_api import live_page
from pulp_api.checkpoints import Checkpoints
from pulp_events.topics import Topics
from pulp_transparency.published import CheckpointTopic, Published
from pulp_web import STATIC

from tests.support.backends import Backend
from tests.support.events import finished, started
from tests.support.site import V3, Site

BUDGET_BYTES = 250 * 1024


async def loaded(api: Site) -> tuple[httpx.Response, list[httpx.Response]]:
    """The page and the files it loads."""
    nobody = api.as_user("")
    page = await nobody.get("/ui/")
    paths = re.findall(r'(?:src|href)="(/ui/[^"]+)"', page.text)
    assert len(paths) >= 3  # the script, the style, the icon
    return page, [await nobody.get(path) for path in paths]


async def test_the_page_may_run_its_own_files_and_nothing_else(api: Site) -> None:
    page, files = await loaded(api)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    for answer in (page, *files):
        assert answer.status_code == 200, answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|\son\w+=", page.text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)


async def test_what_is_named_by_its_content_is_kept_for_ever_and_the_page_is_asked_for(api: Site) -> None:
    page, files = await loaded(api)
    assert page.headers["cache-control"] == "no-cache"
    assert {answer.headers["cache-control"] for answer in files} == {"public, max-age=31536000, immutable"}
    again = await api.as_user("").get("/ui/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("accepted", "encoding"), [("br, gzip", "br"), ("gzip", "gzip"), ("", None), ("br;q=0", None)])
async def test_what_the_client_decodes_is_sent(api: Site, accepted: str, encoding: str | None) -> None:
    _, files = await loaded(api)
    script = next(str(answer.url) for answer in files if str(answer.url).endswith(".js"))
    async with api.as_user("").stream("GET", script, headers={"Accept-Encoding": accepted}) as answer:
        size = len(b"".join([part async for part in answer.aiter_raw()]))
    assert answer.headers.get("content-encoding") == encoding
    assert (size < len(STATIC.joinpath("assets", script.rpartition("/")[2]).read_bytes())) is (encoding is not None)


def test_all_that_is_served_fits_the_budget() -> None:
    originals = [path for path in STATIC.rglob("*") if path.is_file() and path.suffix not in (".gz", ".br")]
    sizes = [
        min(each.stat().st_size for each in (path, path.with_name(path.name + ".gz")) if each.is_file())
        for path in originals
    ]
    assert len(sizes) >= 5
    assert sum(sizes) <= BUDGET_BYTES


async def test_every_view_has_an_address_and_a_file_that_is_missing_none(api: Site) -> None:
    nobody = api.as_user("")
    page = (await nobody.get("/ui/")).content
    for path in ("/ui/tasks", f"/ui/tasks/{uuid4()}", "/ui/log"):
        assert (await nobody.get(path)).content == page
    for path in ("/ui/assets/none.js", "/ui/none.txt", "/ui/%2e%2e/__init__.py"):
        assert (await nobody.get(path)).status_code == 404, path
    assert live_page.installed().at("../__init__.py") is None


async def test_a_script_is_asked_for_no_password_by_the_browser(api: Site) -> None:
    nobody = api.as_user("")
    for headers in ({"Sec-Fetch-Dest": "empty"}, {"X-Requested-With": "XMLHttpRequest"}):
        answer = await nobody.get(f"{V3}/events/", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "xBasic")
    assert (await nobody.get(f"{V3}/tasks/")).headers["www-authenticate"].startswith("Basic ")


async def test_tasks_are_counted_and_their_times_told(api: Site) -> None:
    waiting, done = await api.task("publish"), await api.task("sync")
    attempt = uuid4()
    for event in (started(done, attempt_id=attempt), finished(done, attempt_id=attempt)):
        await api.add(event, api.partition_of(done))
    counts = (await api.client.get(f"{V3}/task-counts/")).json()
    assert (counts["states"]["waiting"], counts["states"]["completed"], counts["states"]["failed"]) == (1, 1, 0)
    assert counts["operations"] == {"waiting": {"publish": 1}, "completed": {"sync": 1}}
    assert (await api.client.get(f"{V3}/tasks/", params={"created_by": "nobody-has-this"})).json()["count"] == 0
    found = (await api.client.get(f"{V3}/tasks/", params={"queue": "default"})).json()
    assert {each["pulp_href"].split("/")[-2] for each in found["results"]} == {str(waiting), str(done)}


async def test_statistics_have_the_tasks_of_their_span(api: Site) -> None:
    empty = (await api.client.get(f"{V3}/statistics/", params={"minutes": 60})).json()
    assert (len(empty["times"]), sum(empty["accepted"]), empty["operations"]) == (60, 0, [])
    assert empty["step_seconds"] == 60
    assert datetime.fromisoformat(empty["until"]).tzinfo == UTC
    assert (await api.client.get(f"{V3}/statistics/", params={"minutes": 0})).status_code == 400


async def test_the_read_model_tells_its_generations_and_its_lag(api: Site) -> None:
    await api.task("sync")
    found = (await api.client.get(f"{V3}/read-model/")).json()
    assert [(each["generation"], each["status"], each["percent"]) for each in found["generations"]] == [
        (1, "active", 100)
    ]
    assert {each["lag"] for each in found["partitions"]} == {0}
    assert sum(each["next_offset"] for each in found["partitions"]) == 1
    assert found["dead_letters"] == (await api.client.get(f"{V3}/dead-letters/")).json()["count"] == 0


NOTE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
"""The example of C2SP, tlog-checkpoint."""


async def test_the_newest_checkpoint_of_each_partition_is_shown_as_it_was_signed(
    api: Site, backend: Backend, topics: Topics
) -> None:
    transport = api.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    app: Any = transport.app
    assert (await api.client.get(f"{V3}/checkpoints/")).json() == {"count": 0, "results": []}  # no log is kept
    now_s = 0.0
    app.state.checkpoints = Checkpoints(backend.kafka, topics.checkpoints, lambda: now_s)
    assert (await api.client.get(f"{V3}/checkpoints/")).json()["count"] == 0
    topic = CheckpointTopic(backend.kafka, topics.checkpoints)
    for note in (NOTE.replace("20852163", "1"), NOTE):
        await asyncio.to_thread(topic.append, Published(1, "example.com/behind-the-sofa", 1, note, 0))
    await asyncio.to_thread(topic.append, Published(2, "no checkpoint", 1, "something else", 0))
    for size, signature in (("9" * 5000, "AAAA"), ("7", "\N{LATIN SMALL LETTER E WITH ACUTE}")):
        odd = f"example.com/odd\n{size}\nroot=\n\n\N{EM DASH} example.com/odd {signature}\n"
        await asyncio.to_thread(topic.append, Published(3, "example.com/odd", 1, odd, 0))
    assert (await api.client.get(f"{V3}/checkpoints/")).json()["count"] == 0  # for a while, all get the same answer
    now_s = 6.0
    shown, odd_one = (await api.client.get(f"{V3}/checkpoints/")).json()["results"]
    assert (odd_one["partition"], odd_one["size"], odd_one["keys"]) == (3, 7, [])
    assert datetime.fromisoformat(shown.pop("time")).tzinfo == UTC
    assert shown == {
        "partition": 1,
        "log": "example.com/behind-the-sofa",
        "size": 20852163,
        "root": "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "keys": ["example.com/behind-the-sofa+033de0ae"],
        "next_offset": 0,
        "lag": 0,
        "note": NOTE,
    }


async def test_tasks_are_found_by_their_arguments(api: Site) -> None:
    zoo = await api.task("sync", arguments=Raw(b'{"repo_id": "zoo", "retain": 3, "types": ["rpm", "srpm"]}'))
    await api.task("sync", arguments=Raw(b'{"repo_id": "bar", "retain": 4}'))
    await api.task("publish")

    async def found(**query: str) -> list[str]:
        answer = await api.client.get(f"{V3}/tasks/", params=query)
        assert answer.status_code == 200, answer.text
        return [each["pulp_href"].split("/")[-2] for each in answer.json()["results"]]

    assert await found(arguments__contains='{"repo_id": "zoo"}') == [str(zoo)]
    assert await found(arguments__contains='{"types": ["srpm"], "retain": 3}') == [str(zoo)]
    assert await found(arguments__contains='{"retain": "3"}') == []
    # The filter that the page builds from argument.retain=3:
    page = """(arguments__contains='{"retain":3}' OR arguments__contains='{"retain":"3"}')"""
    assert await found(q=f"{page} AND name=sync") == [str(zoo)]
    assert len(await found(arguments__contains="{}")) == 3
    for text in ("x", "[1]", '"zoo"', "{"):
        answer = await api.client.get(f"{V3}/tasks/", params={"arguments__contains": text})
        assert answer.status_code == 400
        assert answer.json() == {"arguments__contains": ['Enter a JSON object, such as {"feed": "URL"}.']}
