"""The first administrator, and the configuration with which `pulp-admin` works without further setup."""

import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pulp_accounts.passwords import matches
from pulp_accounts.users import add_first_admin, credentials
from pulp_projections.connection import connect

from pulp_deploy.errors import NotOurs
from pulp_deploy.files import close_folder, make_folder, read_private, resolved, write_private

ADMIN: Final = "admin"
_MARK: Final = "# Written by pulp-tasks up, which rewrites it at each start."


class Administrator(NamedTuple):
    """What a start found or did."""

    password: str | None
    """The password of the user `admin`; None if somebody has changed or removed that user."""
    is_new: bool
    """This start created the administrator."""


def password_file(folder: Path) -> Path:
    """The file with the administrator's password, which only its owner may read."""
    return folder / "admin-password"


def kept_password(folder: Path) -> str | None:
    """The administrator's password as the data folder keeps it; None if it has none. Raises `NotOurs`."""
    try:
        return read_private(password_file(folder)).decode().strip() or None
    except FileNotFoundError:
        return None


def random_password() -> str:
    """A random password of 144 bits."""
    return secrets.token_urlsafe(18)


def keep_password(folder: Path, password: str) -> None:
    """Keep the administrator's password in the data folder, in place of the one before."""
    write_private(password_file(folder), password + "\n")


async def ensure_admin(postgres: str, folder: Path, client_file: Path) -> Administrator:
    """Create the administrator, unless there has been one before. Later changes are kept."""
    kept = _kept_passwords(folder, client_file)
    async with await connect(postgres, "pulp-tasks up") as connection:
        found = await credentials(connection, ADMIN)
        if found is not None:
            right = [each for each in kept if matches(each, found.password_hash)]
            return Administrator(right[0] if right else None, is_new=False)
        password = kept[0] if kept else random_password()
        keep_password(folder, password)
        is_new = await add_first_admin(connection, ADMIN, password)
        return Administrator(password if is_new else None, is_new)


def write_client_file(path: Path, url: str, password: str) -> None:
    """Write a client configuration (mode 0600) in a folder that nobody else may write to."""
    path = resolved(path.parent) / path.name
    if not path.parent.exists():
        make_folder(path.parent)
    write_private(path, f'{_MARK}\nurl = "{url}"\nusername = "{ADMIN}"\npassword = {_toml_text(password)}\n')


def users_client_file(env: Mapping[str, str]) -> Path:
    """Where `pulp-admin` looks."""
    return Path(env.get("PULP_ADMIN_CONFIG") or Path.home() / ".pulp" / "admin.toml")


def is_ours(path: Path) -> bool:
    """Whether we may write a client configuration there: the folder is ours, and it has none or one that we wrote."""
    try:
        path = resolved(path.parent) / path.name
        close_folder(path.parent)
        return read_private(path).startswith(_MARK.encode())
    except FileNotFoundError:
        return True
    except (NotOurs, PermissionError):
        return False


def url_in(path: Path) -> str | None:
    """The API that a client configuration is for; None if the file is missing or unreadable."""
    found = _client_settings(path).get("url")
    return found if isinstance(found, str) else None


def _kept_passwords(folder: Path, client_file: Path) -> list[str]:
    """The possible passwords: the one we created, and one that the user may have put into the client's file."""
    found = [kept_password(folder)]
    client = _client_settings(client_file)
    if client.get("username") == ADMIN and isinstance(client.get("password"), str):
        found.append(str(client["password"]))
    return list(dict.fromkeys(each for each in found if each))


def _client_settings(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(read_private(resolved(path.parent) / path.name).decode())
    except (NotOurs, OSError, ValueError):
        return {}


def _toml_text(text: str) -> str:
    """A basic string of TOML."""
    escaped = "".join(f"\\u{ord(each):04x}" if each in '"\\' or not each.isprintable() else each for each in text)
    return f'"{escaped}"'
