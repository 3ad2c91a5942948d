"""The sessions of `login`: a token for each server instead of a password, in a file of mode 0600."""

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pulp_console.exits import CONFIG, UNWRITABLE

from pulp_admin.errors import Failure

_NAME: Final = "sessions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A token of a user for one server."""

    token: str
    username: str
    token_id: str
    """The server's name for the token, for `logout`."""
    expires_at: str | None = None
    """RFC 3339; None for a token that does not expire."""


class Sessions:
    """The sessions of this user, by the server's URL; none without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / _NAME

    def recall(self, url: str) -> Session | None:
        """The session for a server. Raises `Failure` (78) for a file that others may read, or that is damaged."""
        if self._path is None or not self._path.is_file():
            return None
        found = self._read(self._path).get(url)
        try:
            return None if found is None else Session(**found)
        except TypeError:
            raise self._damaged(self._path) from None

    def check(self) -> None:
        """Raises `Failure` (78) if a session could not be kept."""
        if self._path is None:
            raise Failure("There is no folder to keep a session in: name one by PULP_ADMIN_CONFIG.", CONFIG)

    def keep(self, url: str, session: Session) -> None:
        """Store the session in place of an earlier one for the server. Raises `Failure`."""
        self.check()
        assert self._path is not None
        found = self._read(self._path) if self._path.is_file() else {}
        self._write(self._path, {**found, url: asdict(session)})

    def forget(self, url: str) -> None:
        """Remove the session for a server, if there is one. Raises `Failure`."""
        if self._path is None or not self._path.is_file():
            return
        found = self._read(self._path)
        found.pop(url, None)
        if found:
            self._write(self._path, found)
        else:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, dict[str, str]]:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failure(
                f"{path}: it holds what `pulp-admin login` has kept, and others may read it: chmod 600 {path}, or log"
                " in again after removing it",
                CONFIG,
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise self._damaged(path) from None
        if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
            raise self._damaged(path)
        return found

    def _damaged(self, path: Path) -> Failure:
        return Failure(f"{path}: it is not what `pulp-admin login` writes: remove it, and log in again", CONFIG)

    def _write(self, path: Path, found: dict[str, dict[str, str]]) -> None:
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(found, file)
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise Failure(f"{path}: the session cannot be kept: {error.strerror}", UNWRITABLE) from error
