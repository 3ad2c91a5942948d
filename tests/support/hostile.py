"""Database, role and environment settings that change how Postgres prints values, unlike ours."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier, Literal

FOREIGN: Mapping[str, str] = {
    "datestyle": "German",
    "timezone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "search_path": '"$user", pg_catalog',
    "transform_null_equals": "on",
    "array_nulls": "off",
    "gin_fuzzy_search_limit": "1",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "90s",
    "lock_timeout": "80s",
    "idle_in_transaction_session_timeout": "70s",
    "idle_session_timeout": "60s",
    "transaction_timeout": "50s",
}
"""Different values for each setting that a session must not inherit. The timeouts are long, as tests only read them."""


async def set_for_database(connection: AsyncConnection, settings: Mapping[str, str] = FOREIGN) -> None:
    """Set the defaults of later sessions in this database."""
    [(name,)] = await (await connection.execute("select current_database()")).fetchall()
    for key, value in settings.items():
        await connection.execute(
            SQL("alter database {} set {} = ").format(Identifier(name), Identifier(key)) + _value(key, value)
        )


async def set_for_role(connection: AsyncConnection, role: str, settings: Mapping[str, str] = FOREIGN) -> None:
    """Set the defaults of later sessions of this role."""
    for key, value in settings.items():
        await connection.execute(
            SQL("alter role {} set {} = ").format(Identifier(role), Identifier(key)) + _value(key, value)
        )


def set_in_environment(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str] = FOREIGN) -> None:
    """Set the variables that libpq reads in this process."""
    special = {"datestyle": "PGDATESTYLE", "timezone": "PGTZ", "client_encoding": "PGCLIENTENCODING"}
    for key, variable in special.items():
        monkeypatch.setenv(variable, settings[key])
    others = [f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in settings.items() if key not in special]
    monkeypatch.setenv("PGOPTIONS", " ".join(others))


def set_in_service(monkeypatch: pytest.MonkeyPatch, folder: Path, parts: Mapping[str, object]) -> str:
    """A connection string that names a service, whose file has these parts and foreign settings."""
    lines = [f"{key}={value}" for key, value in parts.items()]
    path = folder / "services.conf"
    path.write_text("\n".join(["[pulp]", *lines, "client_encoding=LATIN1", "options=-c datestyle=German"]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return "service=pulp"


def _value(key: str, value: str) -> SQL | Literal:
    # Schema names are a list of identifiers, not a string.
    return SQL(value) if key == "search_path" else Literal(value)
