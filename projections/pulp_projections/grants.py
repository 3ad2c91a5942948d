"""What each kind of process may do in the database, in one place.

`pulp-tasks database roles` makes a role a process and grants these rights. What a migration or a rebuild makes later is
granted by `apply`, which reads the roles from the table `process_roles`.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, LiteralString

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composable, Composed, Identifier

from pulp_projections.schemas import VIEWS, schema_of


class Process(StrEnum):
    """A kind of process that can have a role of its own."""

    PROCESSOR = "processor"
    API = "api"
    WORKER = "worker"
    READER = "reader"
    """No process of ours: programs that look at the views."""


Rights = Mapping[Process, LiteralString]
_PROCESSOR, _API, _WORKER, _READER = Process
_ALL_OURS: Final[Rights] = {_PROCESSOR: "select", _API: "select", _WORKER: "select"}

TABLES: Final[Mapping[str, Rights]] = {
    "schema_migrations": _ALL_OURS,
    "event_topic": _ALL_OURS,
    # A share lock on the row needs the right to update some column of it; this one has but one value.
    "active_generation": {_PROCESSOR: "select, update (singleton)", _API: "select", _WORKER: "select"},
    "generations": {_API: "select"},
    "process_roles": {},
    "users": {_API: "select, update (password_hash, last_login_at)"},  # what a login renews
    "first_admin": {},
    "quotas": {_API: "select"},
    "quota_buckets": {_API: "select, insert, update, delete"},
    "user_quotas": {_API: "select", _WORKER: "select"},
    "offers": {_PROCESSOR: "select", _API: "select", _WORKER: "select"},
    "operations": {_API: "select", _WORKER: "select, insert, update"},
    "workers": {_PROCESSOR: "select", _API: "select", _WORKER: "select, insert, update, delete"},
    "claims": {_PROCESSOR: "select, update, delete", _API: "select", _WORKER: "select, insert, update, delete"},
    "reservations": {_PROCESSOR: "select, delete", _API: "select", _WORKER: "select, insert, update, delete"},
    "timelines": {_WORKER: "select, insert"},
    "repositories": {_API: "select, insert, update, delete"},
    "removals": {_API: "select, insert, update, delete"},
}
"""Every table in `public`, and every view there that shows no generation.

One that a migration adds needs an entry, also where nobody but the owner uses it.
"""
SEQUENCES: Final[Mapping[str, Rights]] = {"fencing_tokens": {_WORKER: "usage"}}
_PROJECTED: Final[Mapping[str, LiteralString]] = {
    "positions": "select, update",
    "tasks": "select, insert, update",
    "task_resources": "select, insert",
    "task_causes": "select, insert",
    "task_events": "select, insert",
    "task_counts": "select, insert, update",
    "dead_letters": "select, insert, update",
}
"""The tables of a generation, and what the processor does in them. Others read them through the views alone."""
_VIEWS: Final[Mapping[Process, Sequence[str]]] = {
    _PROCESSOR: VIEWS,
    _API: VIEWS,
    _WORKER: ("tasks", "positions"),
    _READER: VIEWS,
}


async def apply(connection: AsyncConnection) -> None:
    """Grant what the roles of the processes need, and take back the rest; in the caller's transaction, as the owner."""
    rows = await (await connection.execute("select process, role from process_roles")).fetchall()
    roles = {Process(process): str(role) for process, role in rows}
    if roles:
        numbers = [row[0] for row in await (await connection.execute("select generation from generations")).fetchall()]
        await connection.execute(SQL("; ").join(statements(roles, numbers)))


def statements(roles: Mapping[Process, str], generations: Iterable[int]) -> list[Composed]:
    """SQL that gives each role just its rights on all tables, views and sequences."""
    numbers = list(generations)
    found: list[Composed] = []
    for process, role in roles.items():
        found += [*_revoke(role, numbers), *_grant(process, role, numbers)]
    return found


def _revoke(role: str, generations: Sequence[int]) -> list[Composed]:
    schemas = ["public", *(schema_of(number) for number in generations)]
    kinds: tuple[LiteralString, ...] = ("all tables in schema", "all sequences in schema", "schema")
    return [
        SQL("revoke all on {} {} from {}").format(SQL(kind), Identifier(schema), Identifier(role))
        for schema in schemas
        for kind in kinds
    ]


def _grant(process: Process, role: str, generations: Sequence[int]) -> list[Composed]:
    public = Identifier("public")
    found = [SQL("grant usage on schema {} to {}").format(public, Identifier(role))]
    for name, rights in TABLES.items():
        if process in rights:
            found.append(_on(rights[process], Identifier("public", name), role))
    for name, rights in SEQUENCES.items():
        if process in rights:
            found.append(
                SQL("grant {} on sequence {} to {}").format(
                    SQL(rights[process]), Identifier("public", name), Identifier(role)
                )
            )
    if generations:  # the views are those of the first one: before it there are none, and it grants them itself
        found += [_on("select", Identifier("public", view), role) for view in _VIEWS[process]]
    if process is Process.PROCESSOR:
        for number in generations:
            schema = schema_of(number)
            found.append(SQL("grant usage on schema {} to {}").format(Identifier(schema), Identifier(role)))
            found += [_on(rights, Identifier(schema, name), role) for name, rights in _PROJECTED.items()]
    return found


def _on(rights: LiteralString, table: Composable, role: str) -> Composed:
    return SQL("grant {} on {} to {}").format(SQL(rights), table, Identifier(role))
