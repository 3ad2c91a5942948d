"""Paths of the server's API. Every path is built here, so that user input cannot lead to another one."""

from typing import Final, NewType
from urllib.parse import quote

from pulp_console.exits import DATA

from pulp_admin.errors import Failure

ApiPath = NewType("ApiPath", str)
"""A path below `/pulp/api/`, with every segment quoted."""

_ROOT: Final = "/pulp/api/"


def api_path(*segments: str) -> ApiPath:
    """`api_path("v3", "tasks", ID)` is `/pulp/api/v3/tasks/ID/`. Raises `Failure` for what cannot be a segment."""
    for segment in segments:
        if segment in ("", ".", ".."):  # servers and the HTTP library remove these from a path
            raise Failure(f"{segment!r} cannot be a name or an id.", DATA)
    return ApiPath(_ROOT + "".join(quote(segment, safe="", errors="replace") + "/" for segment in segments))


def id_in(href: object) -> str:
    """The id at the end of an href of the server."""
    return str(href).rstrip("/").rsplit("/", 1)[-1]
