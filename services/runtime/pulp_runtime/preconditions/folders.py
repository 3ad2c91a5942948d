"""Whether the folder that workers share can be used."""

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from pulp_events.findings import Finding, Severity

LEAST_FREE_BYTES: Final = 1 << 30
"""Less free space than this is a finding."""


def look(storage: Path) -> list[Finding]:
    """Findings about PULP_STORAGE."""
    subject = str(storage)
    if not storage.exists():
        missing = next(each for each in storage.parents if each.exists())
        if os.access(missing, os.W_OK | os.X_OK):
            return []  # the first worker creates it
        return [_unusable(subject, "it does not exist, and cannot be made")]
    if not storage.is_dir():
        return [_unusable(subject, "it is not a folder")]
    if not os.access(storage, os.R_OK | os.W_OK | os.X_OK):
        return [_unusable(subject, "it cannot be written")]
    found = []
    mode = stat.S_IMODE(storage.stat().st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        found.append(
            Finding(
                "storage-open",
                subject,
                Severity.WARNING,
                f"every user of the machine may write it (mode {mode:04o})",
                "anybody may replace packages that are published",
                f"chmod o-w {subject}",
            )
        )
    free = shutil.disk_usage(storage).free
    if free < LEAST_FREE_BYTES:
        found.append(
            Finding(
                "storage-full",
                subject,
                Severity.WARNING,
                f"{free // (1 << 20)} MiB are free there",
                "tasks that fetch or publish fail",
                "make room: pulp-admin orphans remove, or a larger disk",
            )
        )
    return found


def _unusable(subject: str, wrong: str) -> Finding:
    mend = "correct PULP_STORAGE, or give the folder to the user that the workers run as (chown)"
    return Finding("storage-unusable", subject, Severity.FAULT, wrong, "no task can store or read anything", mend)
