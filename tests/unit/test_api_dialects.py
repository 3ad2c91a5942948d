"""Which dialect a request belongs to is decided once, by the prefix of its path."""

import re
from pathlib import Path

import httpx
import pulp_api
import pytest
from pulp_api.dialect import Dialect, dialect_of
from pulp_api.edge import Edge
from pulp_api.root_pages import Outside
from pulp_api.v2.dialect import PulpTwo
from pulp_api.v3.dialect import PulpThree
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

SOURCE = Path(pulp_api.__path__[0])


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/pulp/api/v2/tasks/", PulpTwo),
        ("/pulp/api/v2/", PulpTwo),
        ("/pulp/api/v2/nothing/here", PulpTwo),
        ("/pulp/api/v3/tasks/", PulpThree),
        ("/pulp/api/v3/nothing/here", PulpThree),
        ("/pulp/api/v2", Outside),
        ("/pulp/api/v20/tasks/", Outside),
        ("/pulp/api/", Outside),
        ("/", Outside),
        ("/metrics", Outside),
    ],
)
async def test_a_request_belongs_to_the_dialect_of_its_prefix(path: str, dialect: type[Dialect]) -> None:
    async def tell(request: Request) -> Response:
        return PlainTextResponse(type(dialect_of(request)).__name__)

    edge = Middleware(Edge, dialects=[PulpTwo(), PulpThree(), Outside()])
    app = Starlette(routes=[Route("/{path:path}", tell)], middleware=[edge])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get(path)).text == dialect.__name__


def test_nothing_but_the_edge_judges_by_the_path() -> None:
    judging = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if re.search(r"\b(url\.)?path\.startswith\(", file.read_text())
    }
    assert judging == {"edge.py"}
