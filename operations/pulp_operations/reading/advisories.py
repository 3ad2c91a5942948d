"""updateinfo: advisories, each on its own."""

from pulp_operations.foreign import is_ordinary
from pulp_operations.reading.documents import Document, Element, local_name
from pulp_operations.reading.notes import Notes
from pulp_operations.reading.text import Text
from pulp_operations.reading.writing import ROOTS, Sink, written


def copy_advisories(text: Text, target: Sink, known: set[str], notes: Notes, *, is_base: bool) -> int:
    """Write the advisories of a document; returns how many. Adds their ids to `known`, and skips known ones of a base.

    An advisory without an id is left out, since no client can name it. Raises as a `Document` does when it is read.
    """
    count, before = 0, set(known)
    with Document(text.path, text.what, ROOTS["updateinfo"]) as document:
        for element in document:
            if local_name(element.name) != "update":
                continue
            content = document.read(element)
            tree = document.tree(content, element.line)
            found = next((child.text or "" for child in tree if local_name(child.tag) == "id"), "").strip()
            if not found:
                notes.add(f"an advisory in {text.what}", "it has no id: it is left out", element.line)
                continue
            _note_mended(text, element, found, notes)
            if is_base and found in before:
                continue
            known.add(found)
            if ":" in element.name or document.declared:
                content = written(tree, document.default)
            target.write(content + b"\n")
            count += 1
    notes.add_uncounted(text)
    return count


def _note_mended(text: Text, element: Element, found: str, notes: Notes) -> None:
    line = text.mended.up_to(element.last_line)
    if line is not None:
        called = f"advisory {found}" if is_ordinary(found) else "an advisory"
        notes.add(f"{called} in {text.what}", text.reason, line)
