"""The entry pages: the API roots, the documentation, and the redirects to them."""

from functools import cache
from importlib.metadata import version
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pulp_events import schemas

from pulp_api import live_page
from pulp_api.html import links, page, wants_html
from pulp_api.openapi import events_page
from pulp_api.openapi.document import document
from pulp_api.openapi.page import render
from pulp_api.respond import json
from pulp_api.v2.dialect import ROOT as V2
from pulp_api.v3.dialect import ROOT, PulpThree

router = APIRouter(prefix=ROOT)
"""The routes that the OpenAPI document describes."""
outside = APIRouter()
"""The routes outside of the API."""
DOCS: Final = f"{ROOT}/docs/"
_LISTED: Final = {
    "audit": f"{ROOT}/audit/",
    "checkpoints": f"{ROOT}/checkpoints/",
    "dead-letters": f"{ROOT}/dead-letters/",
    "docs": DOCS,
    "docs/api.json": f"{DOCS}api.json",
    "docs/api.yaml": f"{DOCS}api.yaml",
    "docs/asyncapi.json": f"{DOCS}asyncapi.json",
    "docs/events": f"{DOCS}events/",
    "events": f"{ROOT}/events/",
    "groups": f"{ROOT}/groups/",
    "livez": f"{ROOT}/livez/",
    "login": f"{ROOT}/login/",
    "operations": f"{ROOT}/operations/",
    "queues": f"{ROOT}/queues/",
    "read-model": f"{ROOT}/read-model/",
    "readyz": f"{ROOT}/readyz/",
    "repositories": f"{ROOT}/repositories/",
    "repositories/rpm/rpm": f"{ROOT}/repositories/rpm/rpm/",
    "resources": f"{ROOT}/resources/",
    "statistics": f"{ROOT}/statistics/",
    "statistics/days": f"{ROOT}/statistics/days/",
    "status": f"{ROOT}/status/",
    "subjects": f"{ROOT}/subjects/",
    "subscriptions": f"{ROOT}/subscriptions/",
    "task-counts": f"{ROOT}/task-counts/",
    "task-groups": f"{ROOT}/task-groups/",
    "task-schedules": f"{ROOT}/task-schedules/",
    "tasks": f"{ROOT}/tasks/",
    "tokens": f"{ROOT}/tokens/",
    "users": f"{ROOT}/users/",
    "workers": f"{ROOT}/workers/",
}
_V2_LISTED: Final = {
    "plugins/types": f"{V2}/plugins/types/",
    "repositories": f"{V2}/repositories/",
    "roles": f"{V2}/roles/",
    "status": f"{V2}/status/",
    "tasks": f"{V2}/tasks/",
    "tasks/search": f"{V2}/tasks/search/",
    "users": f"{V2}/users/",
}
_FRONT: Final = {"api": f"{ROOT}/", "docs": DOCS, "status": f"{ROOT}/status/", "readyz": f"{ROOT}/readyz/"}


class Outside(PulpThree):
    """All paths that belong to no dialect. They answer as Pulp 3 does, and an unknown one says where the API is."""

    prefix = ""

    def unknown_path(self, request: Request) -> Response:
        """404."""
        root = f"{ROOT}/"
        if wants_html(request):
            body = f'<p>There is nothing at this address. The API is at <a href="{root}">{root}</a>.</p>'
            return page("Not found", body, 404)
        url = str(request.base_url).rstrip("/") + root
        return json({"detail": f"Not found. The API is at {url}", "api": url}, 404)


@router.get("/")
async def list_root(request: Request) -> Response:
    """The root of the v3 dialect: name → URL, as in Pulp 3. Open to anonymous users."""
    return _listing(request, "Pulp Tasks: API v3", _LISTED)


@router.get("/docs/")
async def read_docs() -> Response:
    """The documentation as an HTML page."""
    return page("Pulp Tasks: API v3", _documentation())


@router.get("/docs/api.json")
async def json_document(request: Request) -> Response:
    """The OpenAPI document that pulp-cli reads; with `pk_path`, with ids in place of hrefs."""
    return Response(_document(*_wanted(request))[0], media_type="application/json")


@router.get("/docs/api.yaml")
async def yaml_document(request: Request) -> Response:
    """The same as YAML."""
    return Response(_document(*_wanted(request))[1], media_type="application/yaml")


@router.get("/docs/events/")
async def read_events_docs() -> Response:
    """The topics of events as an HTML page."""
    return page("Pulp Tasks: events", _events_documentation())


@router.get("/docs/asyncapi.json")
async def asyncapi_document() -> Response:
    """The AsyncAPI 3 document of the topics."""
    return Response(schemas.topics_document(), media_type="application/json")


@router.get("/docs/schemas/{name}.json")
async def event_schema(name: str) -> Response:
    """The JSON Schema of a type of event, such as `org.pulpproject.task.accepted.v1`."""
    if name not in schemas.names():
        return json({"detail": f"No event has the type {name}", "types": sorted(schemas.names())}, 404)
    return Response(schemas.text(name), media_type="application/schema+json")


@outside.get(f"{V2}/")
async def list_v2_root(request: Request) -> Response:
    """The root of the v2 dialect: name → URL. Open to anonymous users."""
    return _listing(request, "Pulp Tasks: API v2", _V2_LISTED)


@outside.get("/")
async def front(request: Request) -> Response:
    """The front page: where the API, its documentation and its status are. A browser is sent on to the live page."""
    has_page = live_page.installed().are_there
    if not wants_html(request):
        paths = {**_FRONT, **({"page": f"{live_page.ROOT}/"} if has_page else {})}
        body = {"name": "pulp-tasks", "version": version("pulp-tasks"), **_absolute(request, paths)}
        return json(body, headers={"Vary": "Accept"})
    if has_page:
        return RedirectResponse(f"{live_page.ROOT}/", 302, headers={"Vary": "Accept"})
    names = {"api": "The API", "docs": "Its documentation", "status": "Status", "readyz": "Readiness"}
    hint = f"<p>Version {version('pulp-tasks')}. The command for people is <code>pulp-admin</code>.</p>"
    return page("Pulp Tasks", hint + links({names[name]: url for name, url in _FRONT.items()}))


@outside.get("/docs")
@outside.get("/docs/")
@outside.get("/redoc")
async def to_docs() -> Response:
    """Redirect from where other services have their documentation."""
    return RedirectResponse(DOCS, 302)


@outside.get("/favicon.ico")
async def favicon() -> Response:
    """Empty: browsers ask for it anyway."""
    return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})


@outside.get("/metrics")
async def metrics(request: Request) -> Response:
    """Metrics are not shown here, where anybody may ask: a process shows them at its own port."""
    urls = _absolute(request, {name: _FRONT[name] for name in ("readyz", "status")})
    detail = "Not found. A process shows its metrics at PULP_METRICS_PORT; readyz and status tell how the service is."
    return json({"detail": detail, **urls}, 404)


@cache
def _events_documentation() -> str:
    return events_page.render(msgspec.json.decode(schemas.topics_document()))


def _listing(request: Request, title: str, listed: dict[str, str]) -> Response:
    if wants_html(request):
        return page(title, links(listed))
    return json(_absolute(request, listed), headers={"Vary": "Accept"})


def _absolute(request: Request, paths: dict[str, str]) -> dict[str, str]:
    base = str(request.base_url).rstrip("/")
    return {name: base + path for name, path in paths.items()}


def _wanted(request: Request) -> tuple[bool, bool, bool]:
    """Whether paths have ids, which in Pulp depends on the parameter alone; whether another component is requested; and
    whether only served calls are."""
    query = request.query_params
    return "pk_path" in query, query.get("component", "core") != "core", "served" in query


@cache
def _documentation() -> str:
    return render(document(only_served=True))


@cache
def _document(with_ids: bool, is_other: bool, only_served: bool) -> tuple[bytes, bytes]:
    """The document as JSON and as YAML."""
    found = document(with_ids=with_ids, only_served=only_served)
    if is_other:
        found["paths"] = {}
    return msgspec.json.encode(found), msgspec.yaml.encode(found)
