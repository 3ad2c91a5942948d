"""Master keys wrap the keys of subjects, so that a copy of the database alone contains no usable key.

They are in a file, one per line in base64, which is not part of the database. The last line is the newest. A
process reads the file again when it has changed.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from pulp_events.errors import ReadError
from pulp_events.settings import SettingsError

from pulp_projections.personal.cipher import KEY_BYTES, Undecipherable, decrypt, encrypt, new_key

SETTING: Final = "PULP_PERSONAL_KEY_FILE"
_CONTEXT: Final = b"pulp-tasks wrapped key 1\0"


class KeysUnusable(ReadError):
    """The keys of subjects cannot be used now: an operator must look."""


class MasterKeyMissing(KeysUnusable):
    """A key is wrapped by a master key that this process does not have."""

    def __init__(self, master: str, path: Path | None) -> None:
        where = f"{SETTING} is not set" if path is None else f"{path} does not hold it"
        super().__init__(
            f"a key of personal data is wrapped by the master key {master}, and {where}: give this process the file"
            " that `pulp-tasks subjects rewrap` was last run with"
        )


class MasterKeys:
    """The master keys of a file; without a file keys are stored as they are."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, bytes] = {}

    @property
    def newest(self) -> str | None:
        """The id of the newest master key; None without a file. Raises `KeysUnusable`."""
        return next(reversed(self._usable()), None)

    def wrap(self, key: bytes, owner: bytes, master: str | None) -> bytes:
        """The key as it is stored for its owner. Raises `KeysUnusable`."""
        return key if master is None else encrypt(self._find(master), key, _CONTEXT + owner)

    def unwrap(self, stored: bytes, owner: bytes, master: str | None) -> bytes:
        """The key of its owner. Raises `KeysUnusable`, `Undecipherable`."""
        key = stored if master is None else decrypt(self._find(master), stored, _CONTEXT + owner)
        if len(key) != KEY_BYTES:
            raise Undecipherable(f"a key has {len(key)} bytes")
        return key

    def check(self) -> None:
        """Raises `SettingsError` for a file that cannot be used."""
        self._read()

    def _find(self, master: str) -> bytes:
        try:
            return self._usable()[master]
        except KeyError:
            raise MasterKeyMissing(master, self._path) from None

    def _usable(self) -> dict[str, bytes]:
        try:
            return self._read()
        except SettingsError as error:  # the file was right when the process started
            raise KeysUnusable(str(error)) from error

    def _read(self) -> dict[str, bytes]:
        if self._path is None:
            return {}
        try:
            now = self._path.stat()
            if self._seen != (seen := (now.st_ino, now.st_mtime_ns, now.st_size)):
                if stat.S_IMODE(now.st_mode) & 0o007:
                    raise SettingsError(f"{SETTING}={self._path}: everybody may read it: run chmod o= {self._path}")
                self._keys, self._seen = _parsed(self._path), seen
        except OSError as error:
            raise SettingsError(f"{SETTING}={self._path}: it cannot be read: {error.strerror}") from error
        return self._keys


def add_master_key(path: Path) -> str:
    """Append a new master key to a file, which is created with mode 0600; returns the key's id.

    Raises `SettingsError` for a file that cannot be used, `OSError`.
    """
    known = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    if known:
        MasterKeys(path).check()
    key = new_key()
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        if known:
            before = path.stat()
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            if os.geteuid() == 0:  # it stays readable for the accounts of the processes
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
        file.write(known + ("" if not known or known.endswith("\n") else "\n") + base64.b64encode(key).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return id_of(key)


def id_of(key: bytes) -> str:
    """The id of a master key, which reveals nothing about the key."""
    return hashlib.sha256(b"pulp-tasks master key 1\0" + key).hexdigest()[:16]


def _parsed(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            key = base64.b64decode(line.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingsError(f"{SETTING}={path}: line {number} is not a key of {KEY_BYTES} bytes in base64")
        found[id_of(key)] = key
    if not found:
        raise SettingsError(f"{SETTING}={path}: it holds no key: pulp-tasks subjects keygen writes one")
    return found
