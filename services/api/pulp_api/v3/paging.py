"""Pulp 3's pagination."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
"""The most rows of a page, so that one request cannot exhaust the memory of the process."""
MAX_OFFSET: Final = 10**18
"""Behind the last row of any list, and still a number that Postgres takes."""


def limit_and_offset(request: Request, most: int = MAX_LIMIT) -> tuple[int, int]:
    """The limit and offset of a request; anything but a number above 0 means the default, as in Pulp 3."""
    query = request.query_params
    return min(_whole(query.get("limit"), DEFAULT_LIMIT), most), _whole(query.get("offset"), 0)


def page_of(request: Request, count: int, results: Sequence[Any], most: int = MAX_LIMIT) -> dict[str, Any]:
    """The envelope of a page, with absolute URLs of the next and the previous page."""
    limit, offset = limit_and_offset(request, most)

    def url(start: int) -> str:
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("limit", "offset")]
        page = [("limit", limit), *([("offset", start)] if start else [])]  # the first page has no offset, as in Pulp
        return f"{str(request.url).partition('?')[0]}?{urlencode([*query, *page])}"

    following = url(offset + len(results)) if results and offset + len(results) < count else None
    previous = url(max(0, offset - limit)) if offset > 0 else None
    return {"count": count, "next": following, "previous": previous, "results": results}


def _whole(text: str | None, default: int) -> int:
    """The number that Python reads in the text, as Pulp 3 does."""
    try:
        found = int(text or "")
    except ValueError:
        return default
    return min(found, MAX_OFFSET) if found > 0 else default
