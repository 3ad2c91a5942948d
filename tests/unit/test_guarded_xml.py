"""A small foreign document is parsed by one guarded parser, for lists of mirrors and for repomd.xml alike."""

from pathlib import Path

import pytest
from pulp_operations.feeds.lists import read_list
from pulp_operations.guarded_xml import LINE, UnusableXml, local_name, parse
from pulp_operations.reading.table import read_repomd
from pulp_worker import OperationError

BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
OUTSIDE = b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'
UNUSABLE = {
    "entities": (BOMB, "has a document type declaration, which is refused"),
    "another file": (OUTSIDE, "has a document type declaration, which is refused"),
    "too deep": (b"<x>" * 40 + b"</x>" * 40, "is nested more than"),
    "cut off": (b"<x>\n<y>", "is not XML: line 2, column 3"),
    "no XML": (b"nothing", "is not XML: line 1, column 0"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="klingon"?><x/>', "is not XML: "),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_refused_everywhere(name: str) -> None:
    content, reason = UNUSABLE[name]
    with pytest.raises(UnusableXml) as raised:
        parse(content, deepest=32)
    assert str(raised.value).startswith(reason)
    with pytest.raises(OperationError) as refused:
        read_repomd(content)
    assert refused.value.description.startswith(f"repomd.xml {reason}")
    assert read_list(content) is None


def test_elements_are_read_with_their_lines_and_prefixes() -> None:
    root = parse(b'<a:x xmlns:a="u">\n<y k="v">text</y>\n</a:x>', deepest=2)
    assert (root.tag, local_name(root), root.get(LINE)) == ("a:x", "x", "1")
    (child,) = root
    assert (child.text, child.get("k"), child.get(LINE)) == ("text", "v", "2")


def test_the_depth_is_that_of_the_caller() -> None:
    parse(b"<x><x/></x>", deepest=2)
    with pytest.raises(UnusableXml, match="is nested more than 1 elements deep"):
        parse(b"<x><x/></x>", deepest=1)


def test_nobody_else_builds_such_a_parser() -> None:
    folder = Path(__file__).parents[2] / "operations" / "pulp_operations"
    found = {path.name for path in folder.rglob("*.py") if "ParserCreate" in path.read_text()}
    assert found == {"guarded_xml.py", "documents.py"}  # the latter splits a large document, and keeps no tree
