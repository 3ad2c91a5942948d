"""The page that `limit` and `offset` name, as pulpcore 3.123.1 reads them."""

from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import Request
from pulp_api.v3.paging import limit_and_offset, page_of


def asked(**query: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "server": ("pulp", 80),
        "path": "/list/",
        "headers": [],
        "query_string": urlencode(query).encode(),
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("text", "limit", "offset"),
    [
        *(("2", 2, 2), (" 2 ", 2, 2), ("+2", 2, 2), ("1_0", 10, 10), ("\u0663", 3, 3), ("007", 7, 7)),
        *(("0", 100, 0), ("-1", 100, 0), ("", 100, 0), ("x", 100, 0), ("1.5", 100, 0), ("1e2", 100, 0)),
    ],
)
def test_what_python_reads_as_a_number_is_one(text: str, limit: int, offset: int) -> None:
    assert limit_and_offset(asked(limit=text)) == (limit, 0)
    assert limit_and_offset(asked(offset=text)) == (100, offset)


@pytest.mark.parametrize("digits", [17, 18, 19, 40, 4000])
def test_a_page_behind_the_end_is_never_the_first_one(digits: int) -> None:
    request = asked(offset="9" * digits, limit="5")
    limit, offset = limit_and_offset(request)
    assert limit == 5
    assert 10**16 < offset < 2**62  # a number that Postgres takes, also with a limit added
    page = page_of(request, 11, [])
    assert (page["count"], page["next"], page["results"]) == (11, None, [])
    assert f"offset={offset - 5}" in page["previous"]
