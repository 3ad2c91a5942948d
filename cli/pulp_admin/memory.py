"""The positions of this user's last writes, so that the next command sees them. Losing them harms nothing."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MOST_SERVERS: Final = 20


class Memory:
    """Partition → offset of the last own write, for each server; one small file of mode 0600."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "positions.json"

    def recall(self, url: str) -> dict[int, int]:
        """What the client remembers of a server; empty if there is nothing or the file cannot be read."""
        found = self._read().get(url)
        if not isinstance(found, dict):
            return {}
        return {int(key): value for key, value in found.items() if _is_position(key, value)}

    def keep(self, url: str, positions: Mapping[int, int]) -> None:
        """Remember; an empty mapping forgets. A file that cannot be written does not fail the command."""
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
            if self._path is None or not self._path.is_file():  # a pipe would never end
                return {}
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def _is_position(key: object, value: object) -> bool:
    """Whether the API takes it: a partition, and an offset of 64 bits."""
    is_partition = isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10
    return is_partition and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18


def encode(positions: Mapping[int, int]) -> str:
    """As the API's headers have it."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def decode(header: str) -> dict[int, int]:
    """From a header of the API; what cannot be read is left out."""
    found: dict[int, int] = {}
    for part in header.split(","):
        partition, _, offset = part.strip().partition(":")
        if partition.isdecimal() and offset.isdecimal() and _is_position(partition, int(offset)):
            found[int(partition)] = int(offset)
    return found
