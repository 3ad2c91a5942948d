"""One role in Postgres for each kind of process, with the rights that it needs and no others."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier, Literal
from pulp_projections import grants
from pulp_projections.grants import Process
from pulp_projections.migrations import migrate
from pulp_runtime.preconditions.database import DatabaseFacts, look

HIDDEN: Final = "********"
"""Printed in place of a password."""


class Role(NamedTuple):
    """The role of a process; `exists` says whether the server has it already."""

    process: Process
    name: str
    exists: bool


class Plan(NamedTuple):
    """The work to be done in a database."""

    database: str
    owner: str
    makes_owner: bool
    """The owner is a new role; it becomes the owner of the database, too."""
    pending: tuple[str, ...]
    """Migrations that are applied first, as the owner."""
    roles: tuple[Role, ...]
    generations: tuple[int, ...]


async def plan(connection: AsyncConnection, prefix: str) -> Plan:
    """Plan the missing roles, named PREFIX_PROCESS. The owner is the role that owns the tables; without tables it is
    this connection's role, or the new role PREFIX_owner if that is a superuser. Raises `psycopg.Error`.
    """
    facts = await look(connection)
    wanted = {process: f"{prefix}_{process.value}" for process in Process}
    cursor = await connection.execute(
        "select rolname, rolsuper from pg_roles where rolname = any (%s)",
        [[facts.role, f"{prefix}_owner", *wanted.values()]],
    )
    known: dict[str, bool] = dict(await cursor.fetchall())
    owner = facts.owner or (f"{prefix}_owner" if known[facts.role] else facts.role)
    return Plan(
        facts.name,
        owner,
        makes_owner=facts.owner is None and owner != facts.role,
        pending=facts.pending,
        roles=tuple(Role(process, name, name in known) for process, name in wanted.items()),
        generations=await _generations(connection, facts),
    )


async def carry_out(connection: AsyncConnection, plan: Plan, passwords: Mapping[str, str]) -> None:
    """Create the roles and grant their rights in one transaction.

    `passwords` are by role; a role without one keeps what it has. They are sent as SCRAM verifiers, so a log of
    statements on the server shows none. Raises `psycopg.Error`; nothing is changed then.
    """
    secrets = {role: _verifier(connection, role, password) for role, password in passwords.items()}
    async with connection.transaction():
        for statement in ownership(plan, secrets):
            await connection.execute(statement)
        await connection.execute(SQL("set local role {}").format(Identifier(plan.owner)))
        await migrate(connection)
        await connection.execute("reset role")
        for statement in logins(plan, secrets):
            await connection.execute(statement)


def ownership(plan: Plan, secrets: Mapping[str, str]) -> list[Composed]:
    """SQL that creates the owner if it does not exist."""
    if not plan.makes_owner:
        return []
    owner, database = Identifier(plan.owner), Identifier(plan.database)
    return [
        _role(plan.owner, exists=False, secret=secrets.get(plan.owner)),
        SQL("alter database {} owner to {}").format(database, owner),
        SQL("grant usage, create on schema public to {}").format(owner),
    ]


def logins(plan: Plan, secrets: Mapping[str, str]) -> list[Composed]:
    """SQL that makes the roles of the processes, and grants them their rights."""
    database = Identifier(plan.database)
    found = [
        SQL("revoke connect, temporary on database {} from public").format(database),
        SQL("revoke create on schema public from public").format(),
    ]
    for process, name, exists in plan.roles:
        if not exists or name in secrets:
            found.append(_role(name, exists=exists, secret=secrets.get(name)))
        # The processor uses temporary tables for the rows of a large batch.
        rights = SQL("connect, temporary" if process is Process.PROCESSOR else "connect")
        found.append(SQL("grant {} on database {} to {}").format(rights, database, Identifier(name)))
        found.append(
            SQL(
                "insert into public.process_roles (process, role) values ({}, {})"
                " on conflict (process) do update set role = excluded.role"
            ).format(Literal(process.value), Literal(name))
        )
    roles = {each.process: each.name for each in plan.roles}
    return [*found, *grants.statements(roles, plan.generations)]


def script(plan: Plan, with_password: Mapping[str, Any]) -> list[str]:
    """All SQL of the plan, with passwords hidden."""
    hidden = dict.fromkeys(with_password, HIDDEN)
    migrations = [f"-- as {plan.owner}: {', '.join(plan.pending)}"] if plan.pending else []
    first, rest = ownership(plan, hidden), logins(plan, hidden)
    return [
        *(f"{each.as_string()};" for each in first),
        *migrations,
        *(f"{each.as_string()};" for each in rest),
    ]


def _role(name: str, *, exists: bool, secret: str | None) -> Composed:
    change = SQL("alter role {} login" if exists else "create role {} login").format(Identifier(name))
    return change if secret is None else change + SQL(" password {}").format(Literal(secret))


def _verifier(connection: AsyncConnection, role: str, password: str) -> str:
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return made.decode()


async def _generations(connection: AsyncConnection, facts: DatabaseFacts) -> tuple[int, ...]:
    if not facts.has_tables:
        return ()
    return tuple(row[0] for row in await (await connection.execute("select generation from generations")).fetchall())
