"""The settings of the yum operations: PULP_YUM_* in the environment of the worker, the same on every worker."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from msgspec import Struct
from pulp_worker import OperationError
from pulp_worker.operation_settings import Setting, read, words, wrong

from pulp_operations.foreign import ALGORITHMS

CHECKSUM_TYPES: Final = frozenset(ALGORITHMS.values())
"""The checksum types of yum repositories, by hashlib's names."""
_GIB: Final = 1 << 30
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,254}")
_MOST: Final = 1_000_000


def _checksum_types(name: str, text: str) -> frozenset[str]:
    given = words(text.lower())
    if not all(word in ALGORITHMS for word in given):
        raise wrong(name, text, f"some of {', '.join(sorted(CHECKSUM_TYPES))} are expected")
    return frozenset(ALGORITHMS[word] for word in given)


def _key(name: str, text: str) -> str:
    if not _KEY.fullmatch(text):
        raise wrong(name, text, "a fingerprint, a key id or an e-mail address is expected")
    return text


def _folder(name: str, text: str) -> Path:
    if not Path(text).is_absolute():
        raise wrong(name, text, "an absolute path is expected")
    return Path(text)


class Settings(Struct, frozen=True, kw_only=True):
    """The administrator's settings for all repositories."""

    generations: Annotated[
        int,
        Setting(
            "PULP_YUM_GENERATIONS",
            "A publication serves the files of this many publications, including its own.",
            least=1,
            most=_MOST,
        ),
    ] = 3
    gpg_key: Annotated[
        str | None,
        Setting(
            "PULP_YUM_GPG_KEY",
            "The key that signs publications; without it they are not signed.",
            parse=_key,
            allowed="a fingerprint, a key id or an e-mail address",
        ),
    ] = None
    gpg_home: Annotated[
        Path | None,
        Setting(
            "PULP_YUM_GPG_HOME",
            "GnuPG's folder with this key.",
            parse=_folder,
            allowed="an absolute path",
            default_text="that of the worker's user",
        ),
    ] = None
    checksum_types: Annotated[
        frozenset[str],
        Setting(
            "PULP_YUM_CHECKSUM_TYPES",
            "The checksums that feeds may use for metadata and packages.",
            parse=_checksum_types,
            allowed=f"some of {', '.join(sorted(CHECKSUM_TYPES))}",
            default_text="all of them",
        ),
    ] = CHECKSUM_TYPES
    """By hashlib's names."""
    reserve_bytes: Annotated[
        int,
        Setting(
            "PULP_YUM_RESERVE_BYTES", "A sync downloads no packages if that would leave less free disk space than this."
        ),
    ] = _GIB
    keep_versions: Annotated[
        int,
        Setting(
            "PULP_YUM_KEEP_VERSIONS",
            "How many versions of a repository to keep, including the newest; a sync may override it.",
            least=1,
            most=_MOST,
        ),
    ] = 2
    most_removed_percent: Annotated[
        int,
        Setting(
            "PULP_YUM_MOST_REMOVED_PERCENT",
            "What share of a repository's packages a sync may remove; a sync may override it.",
            most=100,
        ),
    ] = 50

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `OperationError` (`bad-setting`), which names the setting."""
        return cls(**read(cls, env))

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
