"""Where a person arrives who has only the URL: the roots, the documentation as a page, and what leads on to them."""

from functools import cache
from importlib.metadata import version
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from pulp_api.html import links, page, wants_html
from pulp_api.openapi.document import document
from pulp_api.openapi.page import render
from pulp_api.respond import API, json
from pulp_api.v3.tasks import ROOT

router = APIRouter(prefix=ROOT)
"""What the document of the API tells of."""
outside = APIRouter()
"""What is there beside the API."""
V2: Final = f"{API}/v2"
DOCS: Final = f"{ROOT}/docs/"
_LISTED: Final = {
    "docs": DOCS,
    "docs/api.json": f"{DOCS}api.json",
    "docs/api.yaml": f"{DOCS}api.yaml",
    "events": f"{ROOT}/events/",
    "livez": f"{ROOT}/livez/",
    "operations": f"{ROOT}/operations/",
    "readyz": f"{ROOT}/readyz/",
    "repositories": f"{ROOT}/repositories/",
    "repositories/rpm/rpm": f"{ROOT}/repositories/rpm/rpm/",
    "status": f"{ROOT}/status/",
    "tasks": f"{ROOT}/tasks/",
    "workers": f"{ROOT}/workers/",
}
_V2_LISTED: Final = {
    "repositories": f"{V2}/repositories/",
    "tasks": f"{V2}/tasks/",
    "tasks/search": f"{V2}/tasks/search/",
}
_FRONT: Final = {"api": f"{ROOT}/", "docs": DOCS, "status": f"{ROOT}/status/", "readyz": f"{ROOT}/readyz/"}


@router.get("/")
async def list_root(request: Request) -> Response:
    """What there is in the v3 dialect, as Pulp 3's API root: name → URL. Open to all."""
    return _listing(request, "Pulp Tasks: API v3", _LISTED)


@router.get("/docs/")
async def read_docs() -> Response:
    """The documentation as a page."""
    return page("Pulp Tasks: API v3", _documentation())


@router.get("/docs/api.json")
async def json_document() -> Response:
    """The OpenAPI document that pulp-cli reads."""
    return json(document())


@router.get("/docs/api.yaml")
async def yaml_document() -> Response:
    """The same as YAML."""
    return Response(_yaml(), media_type="application/yaml")


@outside.get(f"{V2}/")
async def list_v2_root(request: Request) -> Response:
    """What there is in the v2 dialect. Open to all."""
    return _listing(request, "Pulp Tasks: API v2", _V2_LISTED)


@outside.get("/")
async def front(request: Request) -> Response:
    """Where to go on."""
    if not wants_html(request):
        told = {"name": "pulp-tasks", "version": version("pulp-tasks"), **_absolute(request, _FRONT)}
        return json(told, headers={"Vary": "Accept"})
    names = {"api": "The API", "docs": "Its documentation", "status": "Status", "readyz": "Readiness"}
    hint = f"<p>Version {version('pulp-tasks')}. The command for people is <code>pulp-admin</code>.</p>"
    return page("Pulp Tasks", hint + links({names[name]: url for name, url in _FRONT.items()}))


@outside.get("/docs")
@outside.get("/docs/")
@outside.get("/redoc")
async def to_docs() -> Response:
    """Where other services have their documentation."""
    return RedirectResponse(DOCS, 302)


@outside.get("/favicon.ico")
async def favicon() -> Response:
    """There is none: browsers ask all the same."""
    return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})


@outside.get("/metrics")
async def metrics(request: Request) -> Response:
    """There are none yet; a monitor is told what it can read instead."""
    told = _absolute(request, {name: _FRONT[name] for name in ("readyz", "status")})
    detail = "Not found. There are no metrics here: readyz and status tell how the service is."
    return json({"detail": detail, **told}, 404)


def _listing(request: Request, title: str, listed: dict[str, str]) -> Response:
    if wants_html(request):
        return page(title, links(listed))
    return json(_absolute(request, listed), headers={"Vary": "Accept"})


def _absolute(request: Request, paths: dict[str, str]) -> dict[str, str]:
    base = str(request.base_url).rstrip("/")
    return {name: base + path for name, path in paths.items()}


@cache
def _documentation() -> str:
    return render(document())


@cache
def _yaml() -> bytes:
    return msgspec.yaml.encode(document())
