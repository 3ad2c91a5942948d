"""The first administrator, and the client configuration with which `pulp-admin` works as it is."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pulp_projections.connection import connect
from pulp_projections.users import Role, add_user, credentials, matches, set_password

from pulp_deploy.errors import NotOurs
from pulp_deploy.files import close_folder, make_folder, read_private, resolved, write_private

ADMIN: Final = "admin"
_MARK: Final = "# Written by pulp-tasks up, which writes it anew at each start."


def admin_password(folder: Path) -> str:
    """The administrator's password, random; kept in the data folder, for its owner's eyes only."""
    path = folder / "admin-password"
    with suppress(FileNotFoundError):
        return read_private(path).decode().strip()
    password = secrets.token_urlsafe(18)
    write_private(path, password + "\n")
    return password


async def ensure_admin(postgres: str, password: str, *, reset: bool) -> bool:
    """Make the administrator; whether the password is valid. With `reset` an existing one gets the password."""
    async with await connect(postgres, "pulp-tasks up") as connection:
        found = await credentials(connection, ADMIN)
        if found is None:
            await add_user(connection, ADMIN, password, Role.ADMIN)
            return True
        if matches(password, found[0]):
            return True
        if reset:
            await set_password(connection, ADMIN, password)
        return reset


def write_client_file(path: Path, url: str, password: str) -> None:
    """Write a client configuration (mode 0600), to which nobody else may write."""
    path = resolved(path.parent) / path.name
    if not path.parent.exists():
        make_folder(path.parent)
    write_private(path, f'{_MARK}\nurl = "{url}"\nusername = "{ADMIN}"\npassword = "{password}"\n')


def users_client_file(env: Mapping[str, str]) -> Path:
    """Where `pulp-admin` looks."""
    return Path(env.get("PULP_ADMIN_CONFIG") or Path.home() / ".pulp" / "admin.toml")


def is_ours(path: Path) -> bool:
    """Whether a client configuration may be written there: none is, or one that we have written, in our own folder."""
    try:
        path = resolved(path.parent) / path.name
        close_folder(path.parent)
        return read_private(path).startswith(_MARK.encode())
    except FileNotFoundError:
        return True
    except (NotOurs, PermissionError):
        return False
