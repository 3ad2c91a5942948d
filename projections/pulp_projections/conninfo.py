"""The connection string of Postgres, which holds a password and is never shown as it is."""

from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_events.settings import SettingsError

_SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})
_EXAMPLES: Final = "'host=127.0.0.1 port=5432 user=pulp dbname=pulp' is one, and 'postgresql://pulp@127.0.0.1/pulp'"


def place_of(conninfo: str) -> str:
    """HOST:PORT/DATABASE, to be shown. Raises `SettingsError` for what is not a connection string."""
    try:
        parts = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):  # libpq's reason repeats parts of it, maybe the password
        raise SettingsError(f"PULP_POSTGRES is not a connection string: {_EXAMPLES}") from None
    host, port = str(parts.get("host", "localhost")), str(parts.get("port", 5432))
    is_port = all(not each or (each.isdecimal() and 1 <= int(each) <= 65_535) for each in port.split(","))
    if not is_port or "@" in f"{host}{parts.get('dbname', '')}":
        # In a URL that is the rest of a password which was cut short: libpq would repeat it.
        raise SettingsError(
            "PULP_POSTGRES has a host, a port or a database that cannot be one: in a URL, write '@', ':' and '/' of a"
            " password as %40, %3A and %2F"
        )
    return f"{host}:{port}/{parts.get('dbname', '')}"


def without_secrets(conninfo: str) -> str:
    """The whole of it but for passwords: what psql takes, and may be shown. Raises `SettingsError` as well."""
    place_of(conninfo)  # for its check
    shown = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if key not in _SECRETS}
    return make_conninfo(**shown)
