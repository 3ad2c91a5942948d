"""The account for a stack's services when root starts it: an unprivileged one, if that can read all it needs."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pulp_deploy.errors import NotOurs
from pulp_deploy.files import hand_over, make_folder
from pulp_deploy.local.accounts import Account, give, may_enter, unreadable

_LOADS: Final = "import pulp_deploy.main, pulp_api.main, pulp_processor.main, pulp_worker.main, pulp_transparency.main"
_LOADING_S: Final = 60.0
_PASSABLE: Final = 0o711
_PRIVILEGED: Final = 1024
LOG: Final = "transparency"
"""The folder of the tiles, in the data folder."""
LOG_KEY: Final = "transparency-key"
"""The folder of the key that signs them, which is not to be handed out with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprivileged:
    """The account of the API, processors and workers; None: our own."""

    account: Account | None
    folder: Path
    """The data folder."""

    @classmethod
    def of(
        cls, account: Account | None, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
    ) -> "Unprivileged":
        """The account, if it can run them; otherwise `say` gets the reason, and they run as root. `say` may raise
        instead.
        """
        if account is None:
            return cls(account=None, folder=folder)
        wrong = _what_is_wrong(account, folder, environment)
        if wrong is None:
            return cls(account=account, folder=folder)
        say(
            f"the API, processors and workers run as root, not as {account.name}: {wrong}. Install Pulp Tasks where"
            " every user may read it, such as below /opt; or start it as another user"
        )
        return cls(account=None, folder=folder)

    def prepare(self, environment: Mapping[str, str]) -> None:
        """Give the account its folders, and the files with secrets that the environment names."""
        owner = None if self.account is None else self.account.ids
        keeps_log = "PULP_TRANSPARENCY_FOLDER" in environment
        for name in ("storage", "home", LOG, LOG_KEY):
            if (name == "home" and self.account is None) or (name in (LOG, LOG_KEY) and not keeps_log):
                continue
            if (self.folder / name).exists():
                give(self.folder / name, self.account)
            make_folder(self.folder / name, owner=owner)
        for path in _files(environment):
            if path.is_relative_to(self.folder):
                if self.account is not None:
                    _let_pass(path.parent, self.folder)
                hand_over(path, owner)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment with the account's own home and name, without root's paths."""
        if self.account is None:
            return dict(environment)
        kept = {
            key: value for key, value in environment.items() if not key.startswith("XDG_") and key not in _TEMPORARY
        }
        own = {"HOME": str(self.folder / "home"), "USER": self.account.name, "LOGNAME": self.account.name}
        return {**kept, **own}

    def for_port(self, port: int) -> Account | None:
        """The account that may listen on a port: root for those below 1024."""
        return None if port < _PRIVILEGED else self.account


_TEMPORARY: Final = ("TMPDIR", "TEMP", "TMP")


def _what_is_wrong(account: Account, folder: Path, environment: Mapping[str, str]) -> str | None:
    for parent in reversed((folder, *folder.parents)):
        if parent.exists() and not may_enter(parent, account):
            return f"it may not enter {parent}"
    outside = [path for path in _files(environment) if not path.is_relative_to(folder)]
    certificates = [Path(environment[key]) for key in _CERTIFICATES if environment.get(key)]
    needed = [*_installed(), *outside, *certificates]
    closed = unreadable([path for path in needed if path.exists()], account)
    if closed is not None:
        return f"it may not read {closed}"
    return None if _can_load(account, environment) else "it cannot load the installed packages"


_CERTIFICATES: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PULP_KAFKA_CA",
    "PULP_KAFKA_CERTIFICATE",
    "PULP_KAFKA_KEY",
    "PULP_POSTGRES_SSLROOTCERT",
)


def _installed() -> Iterable[Path]:
    """The interpreter, and where its packages are."""
    yield Path(sys.executable)
    yield Path(sysconfig.get_path("stdlib"))
    yield from (Path(each) for each in sys.path if each and Path(each).is_dir())
    yield Path(__file__)


def _can_load(account: Account, environment: Mapping[str, str]) -> bool:
    """Whether that user can import the services: trying is more reliable than checking rights."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOADS],
            user=account.user,
            group=account.group,
            extra_groups=[],
            cwd="/",
            env={key: value for key, value in environment.items() if key not in _TEMPORARY},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_LOADING_S,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _files(environment: Mapping[str, str]) -> list[Path]:
    """The files that settings name, and libpq's password file."""
    named = [value for key, value in environment.items() if key.startswith("PULP_") and key.endswith("_FILE") and value]
    with suppress(psycopg.ProgrammingError):  # the connecting process will report what is wrong with it
        named += filter(None, [str(conninfo_to_dict(environment.get("PULP_POSTGRES", "")).get("passfile") or "")])
    return [Path(each) for each in named]


def _let_pass(inner: Path, folder: Path) -> None:
    for each in (inner, *inner.parents):
        if each == folder:
            return
        make_folder(each, _PASSABLE)
    raise NotOurs(f"{inner} is not in {folder}")
