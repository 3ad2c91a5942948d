"""The connection string of Postgres, which holds a password and is never shown as it is."""

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pulp_events.settings import SettingsError


def place_of(conninfo: str) -> str:
    """HOST:PORT/DATABASE, to be shown. Raises `SettingsError` for what is no connection string."""
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:  # libpq's reason repeats parts of it, maybe the password
        raise SettingsError(
            "PULP_POSTGRES is no connection string: 'host=127.0.0.1 port=5432 user=pulp dbname=pulp' is one, and"
            " 'postgresql://pulp@127.0.0.1/pulp'"
        ) from None
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
