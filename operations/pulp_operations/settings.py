"""The settings of the yum operations: PULP_YUM_* in the environment of the worker, the same on every worker."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from pulp_worker import OperationError

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,254}")
_MOST: Final = 1_000_000


class Settings(Struct, frozen=True, kw_only=True):
    """What the administrator decides about all repositories."""

    generations: int = 3
    """Metadata and packages of so many publications, the newest included, are found in the newest one."""
    gpg_key: str | None = None
    """The key that signs publications: its fingerprint, id or e-mail address. None: they are not signed."""
    gpg_home: Path | None = None
    """GnuPG's folder that holds this key. None: the one of the account."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `OperationError` (`bad-setting`), which names the setting."""
        return cls(
            generations=_integer(env, "PULP_YUM_GENERATIONS", 3, least=1),
            gpg_key=_key(env, "PULP_YUM_GPG_KEY"),
            gpg_home=_folder(env, "PULP_YUM_GPG_HOME"),
        )


def _integer(env: Mapping[str, str], key: str, default: int, *, least: int = 0) -> int:
    text = env.get(key, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= _MOST:
        raise _bad(key, f"a number from {least} to {_MOST} is expected")
    return int(text)


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
