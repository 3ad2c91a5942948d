"""The rights of each kind of process in the database.

`pulp-tasks database roles` creates one role for each kind of process and grants it these rights. `apply` grants the
rights on what a migration or a rebuild creates later, to the roles in the table `process_roles`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    """Other programs that read the views."""


Rights = Mapping[Process, LiteralString]
_PROCESSOR, _API, _WORKER, _READER = Process
_ALL_OURS: Final[Rights] = {_PROCESSOR: "select", _API: "select", _WORKER: "select"}

TABLES: Final[Mapping[str, Rights]] = {
    "schema_migrations": _ALL_OURS,
    "event_topic": _ALL_OURS,
    # A share lock on the row requires the right to update one of its columns; this column has only one possible value.
    "active_generation": {_PROCESSOR: "select, update (singleton)", _API: "select", _WORKER: "select"},
    "generations": {_API: "select"},
    "detached_history": {_PROCESSOR: "select", _API: "select", _READER: "select"},
    "detached_effects": {_API: "select"},
    "detached_ends": {_API: "select"},
    "process_roles": {},
    "users": {_API: "select, update (password_hash, last_login_at)"},  # which a login updates
    "first_admin": {},
    "quotas": {_PROCESSOR: "select", _API: "select"},
    "quota_buckets": {
        _PROCESSOR: "select, insert, update, delete",  # of the tasks that schedules submit
        _API: "select, insert, update, delete",
    },
    "former_users": {_API: "select"},
    "user_quotas": {_PROCESSOR: "select", _API: "select"},
    "offers": {_PROCESSOR: "select", _API: "select"},
    "operations": {_PROCESSOR: "select", _API: "select", _WORKER: "select, insert, update"},
    "workers": {
        _PROCESSOR: "select, update (resting)",  # the dispatcher lets workers rest
        _API: "select",
        _WORKER: "select, insert, update, delete",
    },
    "dispatcher": {_PROCESSOR: "select, update", _API: "select"},
    # After a failover a worker puts back what it holds.
    "holds": {_PROCESSOR: "select, insert, delete", _API: "select", _WORKER: "select, insert, delete"},
    "claims": {_PROCESSOR: "select, insert, update, delete", _API: "select", _WORKER: "select, insert, update, delete"},
    "reservations": {_PROCESSOR: "select, insert", _API: "select", _WORKER: "select, insert"},
    "timelines": {_PROCESSOR: "select, insert", _WORKER: "select, insert"},
    "repositories": {_PROCESSOR: "select", _API: "select, insert, update, delete"},
    "removals": {
        _PROCESSOR: "select",  # a submission checks whether a repository was removed since an earlier task
        _API: "select, insert, update, delete",
    },
    "schedule_topic": {_PROCESSOR: "select, insert, update", _API: "select"},
    "schedules": {_PROCESSOR: "select, insert, update", _API: "select"},
    "schedule_runs": {_PROCESSOR: "select, insert, update", _API: "select"},
    "schedule_events": {_PROCESSOR: "select, insert", _API: "select"},
    "subscription_topic": {_PROCESSOR: "select, insert, update", _API: "select"},
    "subscriptions": {_PROCESSOR: "select, insert, update", _API: "select"},
    "subscription_events": {_PROCESSOR: "select, insert", _API: "select"},
    "subscription_secrets": {_PROCESSOR: "select, delete", _API: "insert"},  # nobody can ask the API for a secret again
    "subscription_progress": {_PROCESSOR: "select, insert, update, delete", _API: "select"},
    "subscription_cursors": {_PROCESSOR: "select, insert, update, delete", _API: "select"},
    "subscription_parked": {_PROCESSOR: "select, insert, delete", _API: "select"},
    "subscription_deliveries": {_PROCESSOR: "select, insert, update, delete", _API: "select"},
    "tokens": {_API: "select, insert, update, delete"},
    "sessions": {_API: "select, insert, delete"},
    "task_roles": {_PROCESSOR: "select", _API: "select, insert, delete"},
    "schedule_roles": {_API: "select, insert, delete"},
    # Submissions create keys; a share lock on the index requires the right to update a column.
    "subject_index": {
        _PROCESSOR: "select, insert, update (singleton)",
        _API: "select, insert, update (singleton)",
    },
    "subjects": {_PROCESSOR: "select, insert", _API: "select, insert, update", _WORKER: "select"},
    "subject_uses": {_PROCESSOR: "select, insert", _API: "select, insert"},
}
"""Every table in `public`, and every view there that does not show a generation.

A table that a migration adds needs an entry, even if only the owner uses it.
"""
SEQUENCES: Final[Mapping[str, Rights]] = {"fencing_tokens": {_PROCESSOR: "usage"}}
FUNCTIONS: Final[Mapping[LiteralString, Collection[Process]]] = {
    "public.vouch_user(text, text, text)": {_API},
    "public.make_history_months(integer, timestamptz)": {_PROCESSOR},
}
"""Functions that run with more rights than their callers have."""
_PROJECTED: Final[Mapping[str, LiteralString]] = {
    "positions": "select, update",
    "tasks": "select, insert, update",
    "task_resources": "select, insert",
    "task_causes": "select, insert",
    "task_events": "select, insert",
    "task_counts": "select, insert, update",
    "task_days": "select, insert, update",
    "dead_letters": "select, insert, update, delete",
}
"""The tables of a generation, and the processor's rights on them. Other processes read only the views."""
_VIEWS: Final[Mapping[Process, Sequence[str]]] = {
    _PROCESSOR: VIEWS,
    _API: VIEWS,
    _WORKER: ("tasks", "positions"),
    _READER: VIEWS,
}


async def apply(connection: AsyncConnection) -> None:
    """Grant the roles what they need and revoke the rest. Call it as the owner, in a transaction."""
    rows = await (await connection.execute("select process, role from process_roles")).fetchall()
    roles = {Process(process): str(role) for process, role in rows}
    if roles:
        numbers = [row[0] for row in await (await connection.execute("select generation from generations")).fetchall()]
        await connection.execute(SQL("; ").join(statements(roles, numbers)))


def statements(roles: Mapping[Process, str], generations: Iterable[int]) -> list[Composed]:
    """SQL that gives each role exactly its rights on all tables, views and sequences."""
    numbers = list(generations)
    found: list[Composed] = []
    for process, role in roles.items():
        found += [*_revoke(role, numbers), *_grant(process, role, numbers)]
    return found


def _revoke(role: str, generations: Sequence[int]) -> list[Composed]:
    schemas = ["public", *(schema_of(number) for number in generations)]
    kinds: tuple[LiteralString, ...] = ("all tables in schema", "all sequences in schema", "schema")
    functions = [
        SQL("revoke all on function {} from {}").format(SQL(function), Identifier(role)) for function in FUNCTIONS
    ]
    return functions + [
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
    for function, processes in FUNCTIONS.items():
        if process in processes:
            found.append(SQL("grant execute on function {} to {}").format(SQL(function), Identifier(role)))
    if generations:  # without a generation there are no views; creating the first one applies the grants again
        found += [_on("select", Identifier("public", view), role) for view in _VIEWS[process]]
    if process is Process.PROCESSOR:
        for number in generations:
            schema = schema_of(number)
            found.append(SQL("grant usage on schema {} to {}").format(Identifier(schema), Identifier(role)))
            found += [_on(rights, Identifier(schema, name), role) for name, rights in _PROJECTED.items()]
    return found


def _on(rights: LiteralString, table: Composable, role: str) -> Composed:
    return SQL("grant {} on {} to {}").format(SQL(rights), table, Identifier(role))
