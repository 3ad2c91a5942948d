"""What is wrong around an installation: one shape for all that is checked."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """Events are lost or wrong, now or later: a process does not start on it unless it is told to."""
    WARNING = "warning"
    """Nothing is lost until something else fails too."""
    NOTE = "note"
    """Worth knowing, right for a trial."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    check: str
    """Its name, which stays: `topic-retention`."""
    subject: str
    """The topic or the folder, or `Kafka`, `Postgres`, `clock`."""
    severity: Severity
    wrong: str
    endangers: str
    mend: str | None
    """The command that mends it, or in words what does; None where nothing is to be done."""

    def __str__(self) -> str:
        mend = "" if self.mend is None else f". To mend it: {self.mend}"
        return f"{self.subject}: {self.wrong}: {self.endangers}{mend}"


def described(finding: Finding) -> dict[str, str | None]:
    """A finding as the API and the commands print it."""
    return {**finding._asdict(), "severity": finding.severity.value}


def faults(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Those on which a process does not start."""
    return [finding for finding in findings if finding.severity is Severity.FAULT]
