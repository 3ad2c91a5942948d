"""Receiving one file from one URL, resuming where an earlier attempt ended."""

from typing import TYPE_CHECKING, Final

from pulp_worker.fetching import FetchFailed, TooLarge

from pulp_operations.feeds.growing import Growing
from pulp_operations.feeds.received import Differs

if TYPE_CHECKING:
    from pulp_worker.fetching.answers import Answer
    from pulp_worker.fetching.fetcher import Fetcher

_NO_RANGE: Final = 416
_PARTIAL: Final = 206
_MOST_VALIDATOR_CHARACTERS: Final = 1000


async def receive(
    fetcher: "Fetcher", url: str, growing: Growing, *, called: str | None, most_bytes: int, is_fresh: bool
) -> None:
    """Fetch the missing part of the file, or all of it if the server's file has changed.

    `called` stands for the URL in errors. With `is_fresh`, caches on the way are told not to answer from memory.
    """
    is_same = growing.validator is not None and growing.validator[0] == url
    if growing.checksum is None and not is_same and growing.have_bytes:
        await growing.restart()  # without a validator, parts of two states could be joined
    have_bytes = growing.have_bytes
    headers = {"Cache-Control": "no-cache"} if is_fresh else {}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
        if growing.validator is not None and is_same:
            headers["If-Range"] = growing.validator[1]
    try:
        async with fetcher.get(url, headers=headers, most_bytes=most_bytes, called=called) as answer:
            await _begin(answer, growing, have_bytes)
            growing.validator = _validator(answer, url)
            async for piece in answer.pieces():
                await growing.add(piece)
    except TooLarge:
        if growing.size_bytes is None:
            raise
        await growing.restart()
        raise Differs(f"{growing.called} is not what {growing.described_in} says: it is larger") from None
    except FetchFailed as error:
        if error.status != _NO_RANGE or not have_bytes:
            raise
        await growing.restart()
        raise _again(f"{growing.called}: the server has less of it than there was") from None


async def _begin(answer: "Answer", growing: Growing, have_bytes: int) -> None:
    if answer.status != _PARTIAL:
        if have_bytes:
            await growing.restart()
        return
    told = (answer.header("Content-Range") or "").partition("/")
    is_size_right = growing.size_bytes is None or told[2] in ("*", str(growing.size_bytes))
    if not have_bytes or not told[0].startswith(f"bytes {have_bytes}-") or not is_size_right:
        await growing.restart()
        raise _again(f"{growing.called}: the server sent another part than was asked for")


def _validator(answer: "Answer", url: str) -> tuple[str, str] | None:
    """The value for If-Range: a strong entity tag (RFC 9110, 13.1.5)."""
    etag = answer.header("ETag") or ""
    is_strong = etag.startswith('"') and etag.endswith('"') and etag.isascii() and etag.isprintable()
    return (url, etag) if is_strong and 2 < len(etag) <= _MOST_VALIDATOR_CHARACTERS else None


def _again(reason: str) -> FetchFailed:
    return FetchFailed(reason, is_transient=True)
