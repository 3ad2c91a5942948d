"""The validators for the next request of repomd.xml: its time, unless the file may have changed again within that
second."""

import pytest
from pulp_operations.feeds import Feed, Fetched

from tests.support.mirror import fetcher, mirror, ok

AT = "Sun, 01 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("Sun, 01 Nov 2026 10:00:01 GMT", AT),
        ("Sun, 01 Nov 2026 10:00:00 GMT", None),
        ("Sun, 01 Nov 2026 09:59:00 GMT", None),
        ("yesterday", None),
        (None, None),
    ],
)
async def test_the_time_of_a_file_is_kept_if_it_is_a_second_old(date: str | None, kept: str | None) -> None:
    headers = [f"Last-Modified: {AT}", 'ETag: "a1"', *([] if date is None else [f"Date: {date}"])]
    async with mirror({"/repodata/repomd.xml": ok(b"<repomd/>", *headers)}) as served, fetcher() as client:
        received = await Feed(None, client, served.url()).repomd()  # type: ignore[arg-type]  # nothing is read
    assert isinstance(received, Fetched)
    assert (received.validators.last_modified, received.validators.etag) == (kept, '"a1"')
