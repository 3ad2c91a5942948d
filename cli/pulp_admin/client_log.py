"""The client's log file."""

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path


def write_log(folder: Path) -> Path | None:
    """Append the current exception to the client's log file; return its path, or None if it cannot be written."""
    path = folder / "admin.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {traceback.format_exc()}")
    except OSError:
        return None
    return path
