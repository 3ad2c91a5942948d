"""This module opens every connection to Postgres, so all of them read and write the same way.

A database, a role, the environment (`PGOPTIONS`, `PGTZ`, …) and a service file can all change how Postgres reads and
prints values. `SETTINGS` overrides them by a `SET` after the connection is made, in one round trip. Startup parameters
would save that round trip, but libpq lets `PGTZ` and `PGDATESTYLE` win over them, and PgBouncer refuses `options`. In
session mode PgBouncer keeps a server connection for as long as the client's, and resets what was set afterwards.
"""

import asyncio
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier, Literal
from pulp_events.declared_settings import Setting
from pulp_events.settings import SettingsError

from pulp_projections.conninfo import parts_of

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

SETTINGS: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "gin_fuzzy_search_limit": "0",  # a limit would leave out rows that an index by tag finds
    "search_path": "public, pg_temp",  # temporary tables last, so that none shadows a real one
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""The settings of every session, whatever the database, role or environment says.

`default_transaction_read_only` is missing on purpose: an operator or a provider sets it to stop writes.
"""
_NEWER: Final = {14: "idle_session_timeout", 17: "transaction_timeout"}
"""Major version of Postgres → the timeout that it introduced. A connection that listens is idle most of the time."""
_KEEP_ALIVE: Final[Mapping[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS: Final[Mapping[str, Setting]] = {
    "sslmode": Setting(
        "PULP_POSTGRES_SSLMODE",
        "Whether connections use TLS and what they check, unless the connection string says so.",
        choices=_MODES,
        default_text="prefer",
    ),
    "sslrootcert": Setting(
        "PULP_POSTGRES_SSLROOTCERT",
        "A PEM file with the authorities that may sign Postgres's certificate; `system` stands for the machine's.",
    ),
    "sslcert": Setting("PULP_POSTGRES_SSLCERT", "A PEM file with the client's own certificate."),
    "sslkey": Setting("PULP_POSTGRES_SSLKEY", "A PEM file with the key of that certificate."),
}
"""Parameter of libpq → the setting that supplies it."""
_PASSWORD_FILE: Final = Setting(
    "PULP_POSTGRES_PASSWORD_FILE", "A file that holds the password, unless the connection string has one."
)
DECLARED: Final = (*_TLS.values(), _PASSWORD_FILE)
"""Settings of connections. `PULP_POSTGRES` itself is the installation's."""
_CONNECT_TIMEOUT_S: Final = 5


async def connect(
    conninfo: str,
    application_name: str,
    *,
    connect_timeout_s: int = _CONNECT_TIMEOUT_S,
    settings: Mapping[str, str] | None = None,
) -> AsyncConnection:
    """A connection in autocommit mode that breaks within half a minute after the other machine has silently gone.

    `settings` are applied after `SETTINGS` and override them. Raises `psycopg.OperationalError`.
    """
    parameters = _parameters(conninfo, application_name, connect_timeout_s)
    connection = await AsyncConnection.connect(**parameters, autocommit=True)
    try:
        async with asyncio.timeout(connect_timeout_s):  # a pooler accepts clients for whom it has no connection yet
            await connection.execute(_pins(connection, settings))
    except TimeoutError as error:
        await connection.close()
        raise psycopg.errors.ConnectionTimeout(
            f"no answer to the first statement within {connect_timeout_s} s: a pooler has no connection to Postgres"
            " left, or Postgres is overloaded"
        ) from error
    except BaseException:
        await connection.close()
        raise
    return connection


def connect_blocking(
    conninfo: str,
    application_name: str,
    *,
    connect_timeout_s: int = _CONNECT_TIMEOUT_S,
    settings: Mapping[str, str] | None = None,
) -> psycopg.Connection[TupleRow]:
    """Like `connect`, for a program without an event loop."""
    parameters = _parameters(conninfo, application_name, connect_timeout_s)
    connection = psycopg.connect(**parameters, autocommit=True)
    try:
        connection.execute(_pins(connection, settings))
    except BaseException:
        connection.close()
        raise
    return connection


def pool(
    conninfo: str,
    application_name: str,
    *,
    connect_timeout_s: int = _CONNECT_TIMEOUT_S,
    settings: Mapping[str, str] | None = None,
    prepared_most: int | None = None,
    **options: Any,
) -> "AsyncConnectionPool":
    """A pool of such connections, not opened yet; `options` are those of `AsyncConnectionPool`.

    Each connection keeps at most `prepared_most` prepared statements.
    """
    from psycopg_pool import AsyncConnectionPool  # only the API has it installed

    async def parameters() -> dict[str, Any]:
        return {**_parameters(conninfo, application_name, connect_timeout_s), "autocommit": True}

    async def configure(connection: AsyncConnection) -> None:
        if prepared_most is not None:
            connection.prepared_max = prepared_most
        await connection.execute(_pins(connection, settings))

    # The pool calls `parameters` for each connection, so it does not need the connection string here.
    return AsyncConnectionPool("", kwargs=parameters, configure=configure, open=False, **options)


def check(conninfo: str) -> None:
    """Raise `SettingsError` for a connection string, a password file or TLS settings that cannot be used."""
    _given(conninfo)


def certificate_files(conninfo: str) -> list[Path]:
    """The files of certificates that connections use. Raises `SettingsError`."""
    given = _given(conninfo)
    named = [given[name] for name in ("sslrootcert", "sslcert") if given.get(name) not in (None, "system")]
    return [Path(name) for name in named]


def _parameters(conninfo: str, application_name: str, connect_timeout_s: int) -> dict[str, Any]:
    try:
        given = _given(conninfo)
    except SettingsError as error:  # the file existed at start-up: callers that wait for Postgres wait for it too
        raise psycopg.OperationalError(str(error)) from error
    return {
        "connect_timeout": connect_timeout_s,
        **_KEEP_ALIVE,
        **given,
        "client_encoding": "UTF8",  # here too: libpq does not connect if PGCLIENTENCODING is not an encoding
        "application_name": application_name,
    }


def _given(conninfo: str) -> dict[str, Any]:
    """The parameters in the connection string, completed from the environment. Raises `SettingsError`."""
    given = parts_of(conninfo)
    for name, setting in _TLS.items() if given.get("sslmode") != "disable" else ():
        if name not in given and (value := setting.read(os.environ)) is not None:
            given[name] = value
            _check_readable(setting, value)
    if "password" not in given:
        if "passfile" in given:
            given["password"] = ""  # then libpq reads that file and ignores PGPASSWORD
        elif (path := _PASSWORD_FILE.read(os.environ)) is not None:
            given["password"] = _password(path)
    return given


def _check_readable(setting: Setting, value: str) -> None:
    is_file = not setting.choices and not (setting is _TLS["sslrootcert"] and value == "system")
    if is_file and not os.access(value, os.R_OK):
        raise SettingsError(f"{setting.name}={value!r}: there is no such file, or it cannot be read")


def _password(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            password = file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SettingsError(f"{_PASSWORD_FILE.name}={path!r} cannot be read: {reason}") from None
    if not password or "\0" in password:
        raise SettingsError(f"{_PASSWORD_FILE.name}={path!r} has no password: the file's text is the password")
    return password


def _pins(connection: AsyncConnection | psycopg.Connection[TupleRow], more: Mapping[str, str] | None) -> bytes:
    return _pinning(connection.info.server_version // 10_000, tuple((more or {}).items()))


@lru_cache(maxsize=8)  # a process makes several connections, and hundreds of processes may start at once
def _pinning(major: int, more: tuple[tuple[str, str], ...]) -> bytes:
    newer = {name: "0" for since, name in _NEWER.items() if major >= since}
    wanted = {**SETTINGS, **newer, **dict(more)}
    return SQL("; ").join(_set(name, value) for name, value in wanted.items()).as_bytes(None)


def _set(name: str, value: str) -> Composed:
    if name == "search_path":  # a list of names; one literal would count as one name
        names = SQL(", ").join(Identifier(each.strip()) for each in value.split(","))
        return SQL("set {} = {}").format(Identifier(name), names)
    return SQL("set {} = {}").format(Identifier(name), Literal(value))
