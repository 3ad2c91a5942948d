"""Compressed streams: data sent to many or to one arrives immediately, and the stream is complete at the end."""

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_api.content_encoding import accepted_encodings
from pulp_api.streaming.outlets import GzipOutlet, SharedPart

SHARED = [
    SharedPart(chunks) for chunks in ([b"id: 1\ndata: a\n\n"], [b"x" * 70_000, b"y" * 3], [b""], [bytes(range(256))])
]
"""What goes to all streams in one go."""
PLAIN = [b"id: 1\ndata: a\n\n", b"x" * 70_000 + b"y" * 3, b"", bytes(range(256))]


class Chunks:
    """A chunked answer, as `Direct` writes it."""

    def __init__(self) -> None:
        self.body = b""
        self.takes = True

    def write(self, chunks: bytes) -> bool:
        """Framed parts."""
        while chunks and self.takes:
            length, _, chunks = chunks.partition(b"\r\n")
            self.body += chunks[: int(length, 16)]
            assert chunks[int(length, 16) :][:2] == b"\r\n"
            chunks = chunks[int(length, 16) + 2 :]
        return self.takes

    async def send(self, data: bytes) -> None:
        """A part without a frame."""
        self.body += data


@given(st.lists(st.integers(0, len(SHARED) - 1) | st.binary(max_size=300), max_size=12))
async def test_any_parts_make_one_gzip_file(parts: list[int | bytes]) -> None:
    client: Any = Chunks()
    outlet = GzipOutlet(client)
    await outlet.send(b"retry: 1000\n")
    expected = b"retry: 1000\n"
    for part in parts:
        expected += PLAIN[part] if isinstance(part, int) else part
        if isinstance(part, int):
            assert outlet.write(SHARED[part])
        else:
            await outlet.send(part)
        reader = zlib.decompressobj(wbits=31)
        assert reader.decompress(client.body) == expected  # nothing is held back
    await outlet.finish()
    assert gzip.decompress(client.body) == expected  # checks the checksum and the length


async def test_what_a_client_does_not_take_is_not_counted() -> None:
    client: Any = Chunks()
    outlet = GzipOutlet(client)
    await outlet.send(b"a")
    client.takes = False
    assert not outlet.write(SHARED[0])
    await outlet.send(b"b")
    await outlet.finish()
    assert gzip.decompress(client.body) == b"ab"


async def test_a_stream_that_ends_before_it_began_is_whole() -> None:
    client: Any = Chunks()
    await GzipOutlet(client).finish()
    assert gzip.decompress(client.body) == b""


def test_a_part_is_compressed_once_for_all_streams() -> None:
    part = SharedPart([b"data: {}\n\n"] * 500)
    assert part.compressed is part.compressed
    assert len(part.compressed.data) < len(part.plain) / 10


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", set()),
        ("gzip", {"gzip"}),
        ("gzip, deflate, br", {"gzip", "deflate", "br"}),
        ("GZIP;q=0.5 , br;q=1.0", {"gzip", "br"}),
        ("gzip;q=0", set()),
        ("gzip; q=0.000, br", {"br"}),
        ("identity;q=1, *;q=0", {"identity"}),
    ],
)
def test_codings_that_a_client_takes(header: str, expected: set[str]) -> None:
    assert accepted_encodings(header) == expected
