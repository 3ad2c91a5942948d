"""Parsing a small foreign XML document as a whole, within bounds and without entities. In isolated processes only."""

from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

LINE: Final = " line"
"""An attribute that no document can have: the line on which the element begins."""


class UnusableXml(Exception):
    """The document is not XML that is safe to read. Its text completes a sentence that begins with the document."""


def parse(content: bytes, *, deepest: int) -> ElementTree.Element:
    """The root element; every element has its `LINE`. Names keep their namespace prefix.

    Raises `UnusableXml` for a document that is not XML, nests more than `deepest` elements, or has a document type
    declaration. So no entity is expanded, and nothing outside of the document is read.
    """
    builder, depth = ElementTree.TreeBuilder(), 0
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UnusableXml("has a document type declaration, which is refused")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > deepest:
            raise UnusableXml(f"is nested more than {deepest} elements deep")
        builder.start(name, {**attributes, LINE: str(parser.CurrentLineNumber)})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise UnusableXml(f"is not XML: line {error.lineno}, column {error.offset}") from None
    except (LookupError, ValueError):  # an encoding that Python does not have, or bytes that it does not allow
        raise UnusableXml("is not XML: its encoding is unknown") from None
    return builder.close()


def local_name(element: ElementTree.Element) -> str:
    """The element's name without its namespace prefix."""
    return element.tag.rpartition(":")[2]
