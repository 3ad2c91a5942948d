"""Print findings of preconditions for people."""

from collections.abc import Iterable, Mapping

from pulp_console.output import wrap

_INDENT = " " * 11


def lines_of(findings: Iterable[Mapping[str, str | None]]) -> list[str]:
    """The lines of findings, as `described` makes them: the severity first, then the fault, and how to mend it."""
    lines: list[str] = []
    for each in findings:
        lines += wrap(str(each["severity"]).upper().ljust(11), f"{each['subject']}: {each['wrong']}")
        lines += wrap(_INDENT, f"Endangers: {each['endangers']}")
        lines += wrap(_INDENT, f"To mend it: {each['mend']}") if each["mend"] else []
    return lines
