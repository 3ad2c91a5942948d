"""Every session in Postgres has our settings, whatever its database, role, environment or service file says."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_api.main import connection_pool
from pulp_events.settings import SettingsError
from pulp_projections.connection import SETTINGS, check, connect, connect_blocking

from tests.support.backends import Backend
from tests.support.hostile import FOREIGN, set_for_database, set_for_role, set_in_environment, set_in_service
from tests.support.site import V3, site

_SHOWN = "select name, setting from pg_settings"


async def of_connect(conninfo: str) -> dict[str, str]:
    async with await connect(conninfo, "test") as connection:
        return dict(await (await connection.execute(_SHOWN)).fetchall())


async def of_connect_blocking(conninfo: str) -> dict[str, str]:
    with connect_blocking(conninfo, "test") as connection:
        return dict(connection.execute(_SHOWN).fetchall())


async def of_pool(conninfo: str) -> dict[str, str]:
    async with connection_pool(conninfo, 1) as pool, pool.connection() as connection:
        return dict(await (await connection.execute(_SHOWN)).fetchall())


Maker = Callable[[str], Awaitable[dict[str, str]]]
MAKERS: list[Maker] = [of_connect, of_connect_blocking, of_pool]


def check_pinned(found: dict[str, str], *, statement_timeout: str) -> None:
    by_name = {name.lower(): value for name, value in found.items()}
    wanted = {name: value for name, value in SETTINGS.items() if name not in ("search_path", "statement_timeout")}
    assert {name: by_name[name] for name in wanted} == wanted
    assert by_name["search_path"].replace('"', "") == SETTINGS["search_path"]
    assert by_name["statement_timeout"] == statement_timeout
    assert (by_name["idle_session_timeout"], by_name["transaction_timeout"]) == ("0", "0")
    assert set(wanted) - set(FOREIGN) <= {"standard_conforming_strings", "default_transaction_deferrable"}


KEEP_ALIVE = {
    "is on": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "first after, s": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    "then every, s": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    "given up after": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    "unanswered, ms": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
}


async def test_every_connection_notices_that_the_other_machine_is_gone(database: str) -> None:
    """Even one that only listens, like a worker's: all of them are opened in these three ways."""
    wanted = {name: value for name, (_, _, value) in KEEP_ALIVE.items()}
    async with await connect(database, "test") as listening:
        await listening.execute("listen pulp_dispatch")
        assert keep_alive_of(listening.fileno()) == wanted
    with connect_blocking(database, "test") as blocking:
        assert keep_alive_of(blocking.fileno()) == wanted
    async with connection_pool(database, 1) as pool, pool.connection() as pooled:
        assert keep_alive_of(pooled.fileno()) == wanted


def keep_alive_of(descriptor: int) -> dict[str, int]:
    """What the kernel does for a connection that is silent."""
    with socket.socket(fileno=os.dup(descriptor)) as seen:
        return {name: seen.getsockopt(level, option) for name, (level, option, _) in KEEP_ALIVE.items()}


@pytest.mark.parametrize("make", MAKERS)
async def test_settings_of_the_database(database: str, make: Maker) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await set_for_database(connection)
    check_pinned(await make(database), statement_timeout="30000" if make is of_pool else "0")


@pytest.mark.parametrize("make", MAKERS)
async def test_settings_of_the_role(database: str, make: Maker) -> None:
    role = f"role_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(SQL("create role {} login password 'x'").format(Identifier(role)))
        try:
            await set_for_role(connection, role)
            found = await make(make_conninfo(database, user=role, password="x"))
        finally:
            await connection.execute(SQL("drop role {}").format(Identifier(role)))
    check_pinned(found, statement_timeout="30000" if make is of_pool else "0")


@pytest.mark.parametrize("make", MAKERS)
async def test_settings_of_the_environment(database: str, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    set_in_environment(monkeypatch)
    check_pinned(await make(database), statement_timeout="30000" if make is of_pool else "0")


@pytest.mark.parametrize("make", MAKERS)
async def test_an_encoding_in_the_environment_that_is_none(
    database: str, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "no-such-encoding")
    assert (await make(database))["client_encoding"] == "UTF8"


@pytest.mark.parametrize("make", MAKERS)
async def test_settings_of_a_service_file(
    database: str, make: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = set_in_service(monkeypatch, tmp_path, conninfo_to_dict(database))
    check_pinned(await make(service), statement_timeout="30000" if make is of_pool else "0")


@pytest.mark.parametrize("make", MAKERS)
async def test_options_of_the_connection_string_that_we_do_not_pin_stay(database: str, make: Maker) -> None:
    found = await make(make_conninfo(database, options="-c datestyle=German -c work_mem=7MB"))
    assert found["work_mem"] == "7168"  # kB
    assert found["DateStyle"] == "ISO, MDY"


@pytest.mark.parametrize("make", MAKERS)
async def test_the_first_host_may_be_gone(database: str, make: Maker) -> None:
    parts = conninfo_to_dict(database)
    both = make_conninfo(database, host=f"{parts['host']},{parts['host']}", port=f"1,{parts['port']}")
    wanted = make_conninfo(both, target_session_attrs="read-write")
    assert (await make(wanted))["DateStyle"] == "ISO, MDY"


@pytest.mark.parametrize("make", MAKERS)
async def test_a_password_file_in_the_connection_string_goes_before_the_environment(
    database: str, make: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("another")
    monkeypatch.setenv("PGPASSWORD", "another")
    monkeypatch.setenv("PULP_POSTGRES_PASSWORD_FILE", str(tmp_path / "password"))
    assert "passfile" in conninfo_to_dict(database)
    assert (await make(database))["DateStyle"] == "ISO, MDY"


async def test_the_api_answers_alike_with_foreign_settings(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute('create schema "pulp"')  # what "$user" names
        await connection.execute('create table "pulp".tasks (nothing integer)')
        await set_for_database(connection, {**FOREIGN, "search_path": '"$user", "pulp", public'})
    set_in_environment(monkeypatch, {**FOREIGN, "search_path": "pulp"})
    async with site(database) as api:
        task_id = await api.task()
        details = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()
        listed = (await api.client.get(f"{V3}/tasks/", params={"state": "waiting"})).json()
        history = await api.client.get(f"{V3}/tasks/{task_id}/history/")
    assert details["pulp_created"].startswith("2023-11-14T22:13:")
    assert details["pulp_created"].endswith("Z")
    assert [each["pulp_href"] for each in listed["results"]] == [details["pulp_href"]]
    assert history.status_code == 200, history.text


@pytest.mark.parametrize("make", MAKERS)
async def test_the_password_is_read_from_its_file_at_each_connection(
    database: str, make: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    role, file = f"role_{uuid4().hex[:12]}", tmp_path / "password"
    file.write_text("first\n")
    parts = {key: value for key, value in conninfo_to_dict(database).items() if key not in ("password", "passfile")}
    conninfo = make_conninfo("", **{**parts, "user": role})
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(SQL("create role {} login password 'first'").format(Identifier(role)))
        monkeypatch.setenv("PULP_POSTGRES_PASSWORD_FILE", str(file))
        monkeypatch.setenv("PGPASSWORD", "another")
        try:
            await make(conninfo)
            await connection.execute(SQL("alter role {} password 'second'").format(Identifier(role)))
            file.write_text("second\n")
            await make(conninfo)
            file.write_text("s3cret-that-is-wrong\n")
            with pytest.raises(psycopg.OperationalError) as refused:
                await (of_connect if make is of_pool else make)(conninfo)
            file.unlink()
            with pytest.raises(psycopg.OperationalError, match="PULP_POSTGRES_PASSWORD_FILE"):
                await (of_connect if make is of_pool else make)(conninfo)
        finally:
            await connection.execute(SQL("drop role {}").format(Identifier(role)))
    assert "s3cret" not in f"{refused.value!r} {refused.value}"


def test_a_password_file_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conninfo = "host=127.0.0.1 user=pulp"
    for path, reason in ((tmp_path / "none", "cannot be read"), (tmp_path, "cannot be read")):
        monkeypatch.setenv("PULP_POSTGRES_PASSWORD_FILE", str(path))
        with pytest.raises(SettingsError, match=reason):
            check(conninfo)
    (empty := tmp_path / "empty").write_text("\n")
    (binary := tmp_path / "binary").write_bytes(b"\xff")
    for path, reason in ((empty, "has no password"), (binary, "not UTF-8")):
        monkeypatch.setenv("PULP_POSTGRES_PASSWORD_FILE", str(path))
        with pytest.raises(SettingsError, match=reason):
            check(conninfo)
    check("host=127.0.0.1 user=pulp password=x")  # the connection string overrides the file


async def test_the_postgres_of_a_local_stack_takes_nobody_without_a_password(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = conninfo_to_dict(backend.postgres)
    if "passfile" not in parts:
        pytest.skip("this Postgres is not one that pulp-tasks has made")
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    without = make_conninfo("", **{key: value for key, value in parts.items() if key != "passfile"})
    for user in ("pulp", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            await connect(make_conninfo(without, user=user), "test")
