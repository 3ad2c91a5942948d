"""The table of docs/notes/yum.md, generated from shapes and recorded values: ./dev run python -m tests.yum.table"""

from pathlib import Path
from typing import Final

from tests.yum.reference import Read, Said, recorded, recorded_for
from tests.yum.shapes import SECTIONS, Shape

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "notes" / "yum.md"
BEGIN: Final = "<!-- made by tests/yum/table.py: from here on -->\n"


def generated() -> str:
    """The generated part of the document: versions, and a table for each section."""
    versions = recorded()["versions"]
    parts = [f"Recorded with dnf {versions['dnf']} and createrepo_c {versions['createrepo_c']}.\n"]
    for title, shapes in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| shape | | ours | dnf | createrepo_c | why ours differs |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts.extend(map(_row, shapes))
    return "".join(parts)


def document_with(part: str) -> str:
    """The document, with this part in its place."""
    return DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[0] + BEGIN + part


def _row(shape: Shape) -> str:
    said = recorded_for(shape)
    why = shape.wrong or shape.expect.unlike_dnf or shape.expect.unlike_details
    cells = (f"`{shape.name}`", shape.what, _ours(shape, said), _told(said.dnf), _told(said.createrepo_c), why)
    return f"| {' | '.join(cell.replace('|', '&#124;').replace('<', '&lt;') for cell in cells)} |\n"


def _ours(shape: Shape, said: Said) -> str:
    if shape.wrong:
        return "**wrong**"
    if shape.expect.code is not None:
        return f"`{shape.expect.code}`"
    expected = shape.expect.packages
    count = len(expected if expected is not None else said.dnf["packages"] if said.dnf else ())
    return _packages(count)


def _told(read: Read | None) -> str:
    """How a reference ended; the name of an exception says little to people."""
    if read is None:
        return "not asked"
    if read["error"] is not None:
        return "does not end" if read["error"] == "does not end" else "refuses"
    missing = len(read.get("undownloaded", ()))
    return _packages(len(read["packages"])) + (f", {missing} not downloaded" if missing else "")


def _packages(count: int) -> str:
    return "1 package" if count == 1 else f"{count} packages"


if __name__ == "__main__":
    DOCUMENT.write_text(document_with(generated()), encoding="utf-8")
