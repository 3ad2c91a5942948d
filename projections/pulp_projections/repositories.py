"""Repositories as records: what users say of them, and what a sync or a publish takes from that.

What they hold is not here: the results of tasks tell it (`newest`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections", "repositories.sql")
_COLUMNS: Final = _SQL["columns"]
_COUNTS: Final = SQL(_SQL["counts"]).format(result=SQL("t.result"))
_NEWEST: Final = SQL(_SQL["newest"]).format(counts=_COUNTS)
_VERSIONS: Final = SQL(_SQL["versions"]).format(counts=_COUNTS)
_SUCCESSFUL: Final = {"sync": "synced", "publish": "published"}
COUNTED: Final = ("packages", "errata", "package_groups", "modules", "tree_files", "version")
"""What is read of the result of a sync."""
TYPE: Final = "repository"
"""Of the resource that tasks use."""


class Repository(NamedTuple):
    """A repository's record."""

    repo_id: str
    pulp_id: UUID
    display_name: str | None
    description: str | None
    notes: dict[str, Any]
    sync_options: dict[str, Any]
    """Arguments of `sync` that a submission may leave out; the feed among them."""
    publish_options: dict[str, Any]
    created_at: datetime
    created_by: str
    """As events name users."""
    updated_at: datetime
    updated_by: str


class Said(NamedTuple):
    """What users say of a repository."""

    display_name: str | None = None
    description: str | None = None
    notes: Mapping[str, Any] = {}
    sync_options: Mapping[str, Any] = {}
    publish_options: Mapping[str, Any] = {}


class Run(NamedTuple):
    """A task that has worked on a repository."""

    task_id: UUID
    state: str
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    feed: str | None
    counts: dict[str, int]
    """What its result says, of `COUNTED`."""
    error_code: str | None
    error_description: str | None
    """At most 1000 characters of it."""


class Runs(NamedTuple):
    """The newest tasks of a repository."""

    sync: Run | None = None
    synced: Run | None = None
    """The newest sync that was successful."""
    publish: Run | None = None
    published: Run | None = None


class Version(NamedTuple):
    """A version that a sync has made."""

    number: int
    made_at: datetime | None
    counts: dict[str, int]
    """What the sync has told of it."""


class Page(NamedTuple):
    """Some repositories, and how many there are in all."""

    rows: list[Repository]
    total: int


def resource_of(repo_id: str) -> str:
    """The resource (`TYPE:ID`) that the repository's tasks use."""
    return f"{TYPE}:{repo_id}"


def repo_id_of(resource: str) -> str | None:
    """The repository that a resource (`TYPE:ID`) is; None for any other."""
    kind, colon, repo_id = resource.partition(":")
    return repo_id if kind == TYPE and colon and repo_id else None


async def add(connection: AsyncConnection, repo_id: str, said: Said, actor: str) -> Repository | None:
    """Make a record; None if there is one already."""
    return await _one(connection, "add", {"repo_id": repo_id, "actor": actor, **_values(said)})


async def note(connection: AsyncConnection, repo_id: str, actor: str, task_id: UUID) -> bool:
    """Make sure of a record for a repository that this sync was submitted for; whether it was made now."""
    values = {"repo_id": repo_id, "actor": actor, "task_id": task_id, "resource": resource_of(repo_id)}
    cursor = await connection.execute(_SQL["note"], values)
    return await cursor.fetchone() is not None


async def find(connection: AsyncConnection, repo_id: str) -> Repository | None:
    """The record, which is made if there is none though the repository was synced."""
    values = {"repo_id": repo_id, "resource": resource_of(repo_id)}
    return (
        await _one(connection, "of_name", values)
        or await _one(connection, "adopt", values)
        or await _one(connection, "of_name", values)  # another process has made it meanwhile
    )


async def adopt_all(connection: AsyncConnection) -> int:
    """Make the records of all repositories that were synced and have none; how many were made."""
    return (await connection.execute(_SQL["adopt_all"])).rowcount


async def find_by_id(connection: AsyncConnection, pulp_id: UUID) -> Repository | None:
    """The record with this id."""
    return await _one(connection, "of_id", {"pulp_id": pulp_id})


async def lock(connection: AsyncConnection, repo_id: str) -> Repository | None:
    """The record, which nobody else changes until the caller's transaction ends."""
    return await _one(connection, "locked", {"repo_id": repo_id})


async def change(connection: AsyncConnection, repo_id: str, said: Said, actor: str) -> Repository | None:
    """Put what is said in place of what was; None if there is no record."""
    return await _one(connection, "change", {"repo_id": repo_id, "actor": actor, **_values(said)})


class Removed(NamedTuple):
    """A record that was removed, and the removal that the repository's name had had before."""

    record: Repository
    removal_before: UUID | None


async def remove(connection: AsyncConnection, repo_id: str, task_id: UUID) -> Removed | None:
    """Remove the record, and have earlier tasks forgotten once `task_id` is in the log; None if there is none."""
    resource = resource_of(repo_id)
    async with connection.transaction():
        record = await _one(connection, "remove", {"repo_id": repo_id})
        if record is None:
            return None
        row = await (await connection.execute(_SQL["removal"], {"resource": resource})).fetchone()
        await connection.execute(_SQL["note_removal"], {"resource": resource, "task_id": task_id})
    return Removed(record, None if row is None else row[0])


async def put_back(connection: AsyncConnection, removed: Removed, task_id: UUID) -> None:
    """Undo `remove`: the task was not submitted."""
    record = removed.record
    resource = resource_of(record.repo_id)
    values = record._asdict() | {
        name: Jsonb(getattr(record, name)) for name in ("notes", "sync_options", "publish_options")
    }
    async with connection.transaction():
        await connection.execute(_SQL["forget_removal"], {"resource": resource, "task_id": task_id})
        if removed.removal_before is not None:
            before = {"resource": resource, "task_id": removed.removal_before}
            await connection.execute(_SQL["note_removal"], before)
        await connection.execute(_SQL["put_back"], values)


async def options_of(connection: AsyncConnection, repo_id: str) -> dict[str, dict[str, Any]]:
    """Operation → arguments that its submissions may leave out; empty for a repository without a record."""
    row = await (await connection.execute(_SQL["options"], {"repo_id": repo_id})).fetchone()
    return {} if row is None else {"sync": row[0], "publish": row[1]}


async def page(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString,
    limit: int | None,
    offset: int,
) -> Page:
    """The repositories for which every condition (over `repositories r`) holds."""
    where: LiteralString = " where " + " and ".join(each.sql for each in conditions) if conditions else ""
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    statement: LiteralString = "select " + _COLUMNS + " from repositories r" + where
    statement += " order by " + order + " limit %(limit)s offset %(skip)s"
    rows = [Repository(*row) for row in await (await connection.execute(statement, values)).fetchall()]
    count: LiteralString = "select count(*) from repositories r" + where
    counted = await (await connection.execute(count, values)).fetchone()
    assert counted is not None
    return Page(rows, counted[0])


async def newest(connection: AsyncConnection, repo_ids: Sequence[str]) -> dict[str, Runs]:
    """Repository → its newest tasks since it was made."""
    found: dict[str, dict[str, Run]] = {repo_id: {} for repo_id in repo_ids}
    by_resource = {resource_of(repo_id): repo_id for repo_id in repo_ids}
    values = {"resources": list(by_resource), "counted": list(COUNTED)}
    for resource, operation, is_successful, *run in await (await connection.execute(_NEWEST, values)).fetchall():
        kind = _SUCCESSFUL[operation] if is_successful else operation
        found[by_resource[resource]][kind] = Run(*run)
    return {repo_id: Runs(**runs) for repo_id, runs in found.items()}


async def versions(connection: AsyncConnection, repo_id: str) -> list[Version]:
    """The versions that the newest thousand successful syncs tell of, newest first."""
    values = {"resource": resource_of(repo_id), "counted": list(COUNTED)}
    found: dict[int, Version] = {}
    for counts, finished_at in await (await connection.execute(_VERSIONS, values)).fetchall():
        if "version" in counts:  # the oldest that tells of it has made it
            found[counts["version"]] = Version(counts["version"], finished_at, counts)
    return sorted(found.values(), key=lambda version: version.number, reverse=True)


async def _one(connection: AsyncConnection, name: str, values: Mapping[str, Any]) -> Repository | None:
    statement = SQL(_SQL[name]).format(columns=SQL(_COLUMNS))
    row = await (await connection.execute(statement, values)).fetchone()
    return None if row is None else Repository(*row)


def _values(said: Said) -> dict[str, Any]:
    notes, sync, publish = (Jsonb(dict(each)) for each in (said.notes, said.sync_options, said.publish_options))
    return said._asdict() | {"notes": notes, "sync_options": sync, "publish_options": publish}
