"""The settings of the yum operations: PULP_YUM_* in the environment of the worker, the same on every worker."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from pulp_worker import OperationError

from pulp_operations.foreign import ALGORITHMS

CHECKSUM_TYPES: Final = frozenset(ALGORITHMS.values())
"""All that yum repositories use, by hashlib's names."""
_GIB: Final = 1 << 30
_MOST_BYTES: Final = 1 << 60
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,254}")
_MOST: Final = 1_000_000
_MOST_DIGITS: Final = 20


class Settings(Struct, frozen=True, kw_only=True):
    """What the administrator decides about all repositories."""

    generations: int = 3
    """Metadata and packages of so many publications, the newest included, are found in the newest one."""
    gpg_key: str | None = None
    """The key that signs publications: its fingerprint, id or e-mail address. None: they are not signed."""
    gpg_home: Path | None = None
    """GnuPG's folder that holds this key. None: the one of the account."""
    checksum_types: frozenset[str] = CHECKSUM_TYPES
    """What a feed may use for its metadata and packages, by hashlib's names."""
    reserve_bytes: int = _GIB
    """Of the storage: a sync downloads no packages if less would be left free."""
    keep_versions: int = 2
    """Of each repository, the newest included; an argument of a sync may say otherwise."""
    most_removed_percent: int = 50
    """Of its packages that a sync may remove from a repository; an argument of a sync may say otherwise."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `OperationError` (`bad-setting`), which names the setting."""
        return cls(
            generations=_integer(env, "PULP_YUM_GENERATIONS", 3, least=1),
            gpg_key=_key(env, "PULP_YUM_GPG_KEY"),
            gpg_home=_folder(env, "PULP_YUM_GPG_HOME"),
            checksum_types=_checksum_types(env, "PULP_YUM_CHECKSUM_TYPES"),
            reserve_bytes=_integer(env, "PULP_YUM_RESERVE_BYTES", _GIB, most=_MOST_BYTES),
            keep_versions=_integer(env, "PULP_YUM_KEEP_VERSIONS", 2, least=1),
            most_removed_percent=_integer(env, "PULP_YUM_MOST_REMOVED_PERCENT", 50, most=100),
        )

    def check_checksum(self, algorithm: str, what: str) -> None:
        """Raise `OperationError` (`checksum-refused`) if this type (hashlib's name) is not accepted.

        `what` has the checksum, as in `the package ant-1.0-1.noarch`.
        """
        if algorithm not in self.checksum_types:
            raise OperationError(
                "checksum-refused",
                f"{what} is told by a checksum of type {algorithm}, which the workers do not accept. To accept it, add"
                f" {algorithm} to PULP_YUM_CHECKSUM_TYPES ({','.join(sorted(self.checksum_types))})",
            )


def check_settings(env: Mapping[str, str]) -> None:
    """A worker calls it when it starts. Raises `OperationError` (`bad-setting`)."""
    Settings.read(env)


def _integer(env: Mapping[str, str], key: str, default: int, *, least: int = 0, most: int = _MOST) -> int:
    text = env.get(key, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS or not least <= int(text) <= most:
        raise _bad(key, f"a number from {least} to {most} is expected")
    return int(text)


def _checksum_types(env: Mapping[str, str], key: str) -> frozenset[str]:
    given = [word.strip().lower() for word in env.get(key, "").split(",") if word.strip()]
    if not all(word in ALGORITHMS for word in given):
        raise _bad(key, f"some of {', '.join(sorted(CHECKSUM_TYPES))} are expected")
    return frozenset(ALGORITHMS[word] for word in given) or CHECKSUM_TYPES


def _key(env: Mapping[str, str], key: str) -> str | None:
    text = env.get(key, "").strip()
    if text and not _KEY.fullmatch(text):
        raise _bad(key, "a fingerprint, a key id or an e-mail address is expected")
    return text or None


def _folder(env: Mapping[str, str], key: str) -> Path | None:
    text = env.get(key, "").strip()
    if text and not Path(text).is_absolute():
        raise _bad(key, "an absolute path is expected")
    return Path(text) if text else None


def _bad(key: str, expected: str) -> OperationError:
    return OperationError("bad-setting", f"the worker's setting {key} cannot be used: {expected}")
