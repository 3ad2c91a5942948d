"""Remember the positions of this user's last writes, so that the next command sees them. Losing them does no harm."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pulp_admin.positions import from_json

_MOST_SERVERS: Final = 20


class Memory:
    """Partition → offset of the last own write, for each server; one small file of mode 0600."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "positions.json"

    def recall(self, url: str) -> dict[int, int]:
        """Return the positions for a server; empty if there are none, or the file cannot be read."""
        found = self._read().get(url)
        if not isinstance(found, dict):
            return {}
        return from_json(found)

    def keep(self, url: str, positions: Mapping[int, int]) -> None:
        """Store the positions; an empty mapping removes them. A file that cannot be written is not a failure."""
        if self._path is None:
            return
        servers = self._read()
        servers.pop(url, None)
        if positions:
            servers[url] = {str(partition): offset for partition, offset in positions.items()}
        kept = dict(list(servers.items())[-_MOST_SERVERS:])
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(kept, file)
            draft.replace(self._path)

    def _read(self) -> dict[str, object]:
        try:
            if self._path is None or not self._path.is_file():  # reading a pipe would never end
                return {}
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
