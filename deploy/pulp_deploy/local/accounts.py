"""The account for processes that root starts: only the start of a stack needs root's rights."""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pulp_deploy.errors import DeployError
from pulp_deploy.files import make_folder, resolved

ROOT: Final = "root"
_CACHE: Final = Path("/var/cache/pulp-tasks")
USUAL: Final = ("postgres", "nobody")


class Account(NamedTuple):
    """A user and its group, by number, and the user's name."""

    user: int
    group: int
    name: str

    @property
    def ids(self) -> tuple[int, int]:
        """The numbers."""
        return self.user, self.group


def server_account(name: str | None = None) -> Account | None:
    """The account to run servers as.

    For root: the named one, or the first usual one that exists; otherwise None, for our own. Raises `DeployError` if
    there is none, if it is root's, or if an account is named and we are not root.
    """
    if os.geteuid() != 0:
        if name is not None and name != pwd.getpwuid(os.geteuid()).pw_name:
            raise DeployError(f"only root may run processes as {name}: leave --user out, or start as that user")
        return None
    for each in USUAL if name is None else (name,):
        try:
            found = pwd.getpwnam(each)
        except KeyError:
            continue
        if found.pw_uid == 0:
            raise DeployError(f"{each} is root, as which PostgreSQL does not run: name another user with --user")
        return Account(found.pw_uid, found.pw_gid, each)
    if name is not None:
        raise DeployError(f"there is no user {name}: name another one with --user")
    raise DeployError("PostgreSQL does not run as root, and there is no user nobody: start as another user")


def may_enter(folder: Path, account: Account) -> bool:
    """Whether the account may enter a folder."""
    return _may(folder, account, stat.S_IXUSR)


def unreadable(paths: Iterable[Path], account: Account) -> Path | None:
    """The first folder that the account may not enter, or file that it may not read, on the way to these paths."""
    seen: set[Path] = set()
    for path in paths:
        for folder in reversed(path.resolve().parents):
            if folder not in seen and not may_enter(folder, account):
                return folder
            seen.add(folder)
        if not _may(path, account, stat.S_IRUSR):
            return path
    return None


def _may(path: Path, account: Account, right: int) -> bool:
    found = path.stat()
    if found.st_uid == account.user:
        return bool(found.st_mode & right)
    if found.st_gid == account.group:
        return bool(found.st_mode & right >> 3)
    return bool(found.st_mode & right >> 6)


def shared_cache() -> Path:
    """Root's cache of files that the account must be able to read."""
    folder = resolved(_CACHE)
    make_folder(folder, 0o755)
    return folder


def give(path: Path, account: Account | None) -> None:
    """Change the owner of a folder and its content to the account (None: to us), following no link."""
    user, group = (os.geteuid(), os.getegid()) if account is None else account.ids
    if path.lstat().st_uid == user:
        return
    for _, folders, files, here in os.fwalk(path):
        for name in (*folders, *files):
            os.chown(name, user, group, dir_fd=here, follow_symlinks=False)
    os.chown(path, user, group, follow_symlinks=False)  # last, as the sign that everything inside is done
