"""Postgres's connection string. It may contain a password, so it is never shown unchanged."""

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_events.settings import SettingsError

_SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_EXAMPLES: Final = "'host=127.0.0.1 port=5432 user=pulp dbname=pulp' is one, and 'postgresql://pulp@127.0.0.1/pulp'"


def parts_of(conninfo: str) -> dict[str, Any]:
    """The parameters that a connection string names. Raises `SettingsError` for an invalid one."""
    try:
        parts = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):  # libpq's message repeats parts of it, maybe the password
        raise SettingsError(f"PULP_POSTGRES is not a connection string: {_EXAMPLES}") from None
    host, port = str(parts.get("host", "localhost")), str(parts.get("port", 5432))
    is_port = all(not each or (each.isdecimal() and 1 <= int(each) <= 65_535) for each in port.split(","))
    if not is_port or "@" in f"{host}{parts.get('dbname', '')}":
        # In a URL this is the rest of a password that was cut off, which libpq would repeat.
        raise SettingsError(
            "PULP_POSTGRES has a host, a port or a database that cannot be one: in a URL, write '@', ':' and '/' of a"
            " password as %40, %3A and %2F"
        )
    return parts


def place_of(conninfo: str) -> str:
    """HOST:PORT/DATABASE, to show to users. Raises `SettingsError` for an invalid connection string."""
    parts = parts_of(conninfo)
    host = str(parts.get("host") or parts.get("hostaddr") or "localhost")
    if "service" in parts and "host" not in parts:
        return f"service {parts['service']}"
    return f"{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def without_secrets(conninfo: str) -> str:
    """The connection string without its secrets: psql accepts it and it may be shown. Raises `SettingsError`."""
    shown = {key: str(value) for key, value in parts_of(conninfo).items() if key not in _SECRETS}
    return make_conninfo(**shown)
