"""Pulp 3's pages."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request

DEFAULT_LIMIT: Final = 100
MOST: Final = 1000
"""A page is bounded: one request must not take the memory of the process."""


def limit_and_offset(request: Request) -> tuple[int, int]:
    """The page that is asked for; what is no number above 0 means the default, as in Pulp 3."""
    query = request.query_params
    return min(_whole(query.get("limit"), DEFAULT_LIMIT), MOST), _whole(query.get("offset"), 0)


def page_of(request: Request, count: int, results: Sequence[Any]) -> dict[str, Any]:
    """The envelope of a page, with absolute URLs of the pages beside it."""
    limit, offset = limit_and_offset(request)

    def url(start: int) -> str:
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("limit", "offset")]
        page = [("limit", limit), *([("offset", start)] if start else [])]  # the first page has no offset, as in Pulp
        return f"{str(request.url).partition('?')[0]}?{urlencode([*query, *page])}"

    following = url(offset + len(results)) if results and offset + len(results) < count else None
    previous = url(max(0, offset - limit)) if offset > 0 else None
    return {"count": count, "next": following, "previous": previous, "results": results}


def _whole(text: str | None, default: int) -> int:
    if text is None or not text.isdecimal() or len(text) > 18:
        return default
    return int(text) or default
