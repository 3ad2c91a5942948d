"""The parts of a Markdown page."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with an empty line before and after it; nothing without rows."""
    lines = ["| " + " | ".join(cell(each) for each in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["", "| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |", *lines, ""])


def cell(text: str) -> str:
    """A text in one line, with its bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """A name or a value as code; nothing if it is empty."""
    return f"`{text}`" if text else ""


def indented(text: str) -> str:
    """A block of code."""
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
