"""Files of metadata as text in UTF-8: unpacked within bounds, decoded, and without the bytes that no XML may have."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pulp_operations.foreign import bad_repository

_HEAD_BYTES: Final = 200
_DECLARED: Final = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ENCODINGS: Final = {
    "utf-8": "utf-8",
    "ascii": "utf-8",  # its superset
    "iso8859-1": "iso8859-1",
    "iso8859-15": "iso8859-15",
    "cp1252": "cp1252",
    "utf-16": "utf-16",
}
"""By Python's names; those that lists of packages are written in."""
_CONTROL: Final = bytes({*range(32)} - set(b"\t\n\r"))
_NO_CHARACTERS: Final = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_ODD: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\udc80-\udcff]")
_ESCAPED: Final = 0xDC00
"""`surrogateescape` adds it to a byte that cannot be decoded."""
_MOST_LINES: Final = 1000


@dataclass(frozen=True, slots=True)
class Text:
    """A document of metadata as text. `what` names it."""

    path: Path
    what: str
    mended: "Mended"
    reason: str = "a character outside UTF-8, or a control character, was replaced"


class Mended:
    """Where a text was mended: the first lines, in order, and how many there are."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.total = 0

    def add(self, line: int) -> None:
        """One byte or character of this line."""
        if self.lines[-1:] == [line]:
            return
        self.total += 1
        if len(self.lines) < _MOST_LINES:
            self.lines.append(line)

    @property
    def uncounted(self) -> int:
        """How many lines beyond the first ones were mended."""
        return max(0, self.total - _MOST_LINES)

    def up_to(self, line: int) -> int | None:
        """The first mended line up to this one; it is returned only once."""
        first = self.lines[0] if self.lines and self.lines[0] <= line else None
        while self.lines and self.lines[0] <= line:
            self.lines.pop(0)
        return first


def write_text(pieces: Iterator[bytes], target: Path, what: str) -> Text:
    """Write the pieces of a document to a new file, in UTF-8.

    A byte that is not UTF-8 becomes the character that it is in Latin-1, and control characters are removed: with one
    of them in a summary, no other reader would be given the package. Raises `OperationError` for an unknown encoding.
    """
    head = next(pieces, b"")
    decoder = _Decoder(head, what)
    with target.open("xb") as file:
        file.write(decoder.decoded(head))
        for piece in pieces:
            file.write(decoder.decoded(piece))
        file.write(decoder.decoded(b"", is_last=True))
    return Text(target, what, decoder.mended)


class _Decoder:
    def __init__(self, head: bytes, what: str) -> None:
        self.mended = Mended()
        self._name = _encoding(head, what)
        errors = "replace" if self._name == "utf-16" else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(self._name)(errors)
        self._line = 1

    def decoded(self, piece: bytes, *, is_last: bool = False) -> bytes:
        """The piece in UTF-8, without the start of a character that the next piece completes."""
        is_ascii = self._name == "utf-8" and piece.isascii() and self._decoder.getstate() == (b"", 0)
        if is_ascii and len(piece) == len(piece.translate(None, _CONTROL)):
            self._line += piece.count(b"\n")
            return piece
        text = self._decoder.decode(piece, is_last)
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            encoded = b"\0"
        if len(encoded) != len(encoded.translate(None, _CONTROL)) or any(each in encoded for each in _NO_CHARACTERS):
            self._note_lines(text)
            encoded = _ODD.sub(_mended, text).encode()
        self._line += encoded.count(b"\n")
        return encoded

    def _note_lines(self, text: str) -> None:
        line, counted = self._line, 0
        for found in _ODD.finditer(text):
            line += text.count("\n", counted, found.start())
            counted = found.start()
            self.mended.add(line)


def _mended(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(code - _ESCAPED) if _ESCAPED <= code < _ESCAPED + 0x100 else ""


def _encoding(head: bytes, what: str) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    declared = _DECLARED.match(head[:_HEAD_BYTES].removeprefix(codecs.BOM_UTF8).lstrip())
    name = declared.group(1).decode() if declared else "utf-8"
    try:
        known = _ENCODINGS.get(codecs.lookup(name).name)
    except LookupError:
        known = None
    if known is None:
        raise bad_repository(f"{what} is in an encoding that is not known here")
    return known
