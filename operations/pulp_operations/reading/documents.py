"""Large XML documents, read one element at a time: the elements directly below the root.

expat finds where each element begins and ends. Only its bytes are read and held, when they are needed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from pulp_worker import LimitExceeded

from pulp_operations.foreign import bad_repository

_PIECE: Final = 1 << 20
_TAG: Final = re.compile(rb"<(?>[^>\"']+|\"[^\"]*\"|'[^']*')*+>")
MOST_ELEMENT_BYTES: Final = 64 << 20
"""The most bytes of one package or advisory; the largest of distributions have a few MB."""
_MOST_CLOSING_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Element:
    """The position of an element in its document. `attributes` and `name` are as written, prefixes included."""

    name: str
    attributes: Mapping[str, str]
    start: int
    end: int
    line: int
    last_line: int


class Document:
    """A document in UTF-8 on the disk. `what` names it in errors.

    `attributes` are those of the root, once the first element has been read; `declared` are those of them that declare
    namespaces, and `default` is the namespace of names without a prefix. `root` is the root's name that is expected,
    without a prefix.
    """

    def __init__(self, path: Path, what: str, root: str, *, doctype: bool = False) -> None:
        """`doctype`: it may name a DTD, which is not read; one with declarations of its own is always refused."""
        self.what, self._path, self._root, self._doctype = what, path, root, doctype
        self.attributes: dict[str, str] = {}
        self.declared: dict[str, str] = {}
        self.default = ""
        self._wrapper = b"<x>"
        self._descriptor = os.open(path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, element: Element) -> bytes:
        """The bytes of an element, from the `<` of its first tag to the `>` of its last."""
        return self.read_at(element.start, element.end)

    def read_at(self, start: int, end: int) -> bytes:
        """The bytes of the element that is there."""
        return os.pread(self._descriptor, end - start, start)

    def tree(self, content: bytes, line: int) -> ElementTree.Element:
        """An element of this document as a tree, with its names as `{namespace}name`."""
        parser = ElementTree.XMLParser(encoding="utf-8")
        try:
            parser.feed(b"%b%b</x>" % (self._wrapper, content))
            return parser.close()[0]
        except ElementTree.ParseError:
            reason = "a prefix of a name is not declared, or a part holds another one of its kind"
            raise bad_repository(f"{self.what}, line {line}: {reason}") from None

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take the root's tag. Refuses another document than was expected."""
        if local_name(name) != self._root:
            raise bad_repository(f"{self.what} is another document: its root is not <{self._root}>")
        self.attributes = attributes
        self.declared = {key: uri for key, uri in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}
        self.default = self.declared.get("xmlns", "")
        bindings = {"xmlns:rpm": "rpm", **self.declared}
        self._wrapper = f"<x {' '.join(f'{key}={quoteattr(uri)}' for key, uri in bindings.items())}>".encode()

    def __iter__(self) -> Iterator[Element]:
        """Each element below the root, in order. Raises `OperationError` (`bad-repository`) and `LimitExceeded`."""
        splitter = _Splitter(self)
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield from splitter.feed(piece, is_last=False)
        yield from splitter.feed(b"", is_last=True)

    def check_doctype(self, has_declarations: bool) -> None:
        """Refuse a document type with declarations."""
        if has_declarations or not self._doctype:
            raise bad_repository(f"{self.what} has a document type declaration, which is refused")


class _Splitter:
    """expat, and what it has found. Positions are bytes from the start of the document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[Element] = []
        self._fed = self._start = self._line = 0
        self._has_root = False
        self._name, self._attributes = "", dict[str, str]()
        self._parser = expat.ParserCreate("utf-8")  # whatever its declaration says: it was decoded before
        self._parser.StartDoctypeDeclHandler = lambda *given: document.check_doctype(bool(given[3]))
        self._parser.StartElementHandler = self._begin

    def feed(self, piece: bytes, *, is_last: bool) -> list[Element]:
        self._found = []
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, is_last)
        except expat.ExpatError as error:
            reason = "it is cut off" if is_last and self._has_root else "it is not XML"
            raise bad_repository(f"{self._document.what}, line {error.lineno}: {reason}") from None
        if self._fed - self._start > MOST_ELEMENT_BYTES + _PIECE:
            raise LimitExceeded(
                f"{self._document.what}, line {self._line}: one part of it has over {MOST_ELEMENT_BYTES >> 20} MiB"
            )
        return self._found

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._start, self._line = self._parser.CurrentByteIndex, self._parser.CurrentLineNumber
        if not self._has_root:
            self._has_root = True
            self._document.begin(name, attributes)
            return
        self._name, self._attributes = name, attributes
        # Within the element only its end matters: a call for each part would take twice as long.
        self._parser.StartElementHandler, self._parser.EndElementHandler = None, self._end

    def _end(self, name: str) -> None:
        if name != self._name:
            return
        line = self._parser.CurrentLineNumber
        end = self._after_tag(self._parser.CurrentByteIndex)
        self._found.append(Element(name, self._attributes, self._start, end, self._line, line))
        self._start, self._line = end, line
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._begin, None

    def _after_tag(self, index: int) -> int:
        """Where the element ends: expat reports the start of its closing tag, or of an element without one."""
        closing = self._document.read_at(index, index + _MOST_CLOSING_BYTES)
        if closing.startswith(f"</{self._name}".encode()):
            if b">" not in closing:
                raise bad_repository(f"{self._document.what}, line {self._line}: its closing tag has no end")
            return index + closing.index(b">") + 1
        tag = _TAG.match(closing) or _TAG.match(self._document.read_at(index, index + MOST_ELEMENT_BYTES))
        return index + (tag.end() if tag else 0)


def local_name(name: str) -> str:
    """The name without its prefix, or its `{namespace}`."""
    return name.rpartition("}")[2].rpartition(":")[2]
