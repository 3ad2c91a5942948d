"""What checks find wrong with an installation, all in one form."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """Events are or will be lost or wrong: processes refuse to start, unless they are told to."""
    WARNING = "warning"
    """Nothing is lost until something else fails too."""
    NOTE = "note"
    """Worth knowing; acceptable for a trial."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    check: str
    """The stable name of the check, such as `topic-retention`."""
    subject: str
    """The topic or the folder, or `Kafka`, `Postgres`, `clock`."""
    severity: Severity
    wrong: str
    endangers: str
    mend: str | None
    """The command that mends it, or a description of what does; None if there is nothing to do."""

    def __str__(self) -> str:
        mend = "" if self.mend is None else f". To mend it: {self.mend}"
        return f"{self.subject}: {self.wrong}: {self.endangers}{mend}"


def described(finding: Finding) -> dict[str, str | None]:
    """A finding as the API and the commands print it."""
    return {**finding._asdict(), "severity": finding.severity.value}


def faults(findings: Iterable[Finding]) -> Sequence[Finding]:
    """The findings that keep a process from starting."""
    return [finding for finding in findings if finding.severity is Severity.FAULT]
