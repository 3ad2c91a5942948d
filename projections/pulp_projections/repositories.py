"""Records of repositories: what users have set, and the options that a sync or a publish takes from them.

Their content comes from the results of tasks (`newest`).
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
"""The numbers that are read from the result of a sync."""
TYPE: Final = "repository"
"""The type of the resource that a repository's tasks use."""


class Repository(NamedTuple):
    """A repository's record."""

    repo_id: str
    pulp_id: UUID
    display_name: str | None
    description: str | None
    notes: dict[str, Any]
    sync_options: dict[str, Any]
    """Default arguments of `sync`, the feed among them."""
    publish_options: dict[str, Any]
    created_at: datetime
    created_by: str
    """The user's name as in events."""
    updated_at: datetime
    updated_by: str


class Said(NamedTuple):
    """What users set on a repository."""

    display_name: str | None = None
    description: str | None = None
    notes: Mapping[str, Any] = {}
    sync_options: Mapping[str, Any] = {}
    publish_options: Mapping[str, Any] = {}


class RepositoryRun(NamedTuple):
    """A sync or publish task of a repository."""

    task_id: UUID
    state: str
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    feed: str | None
    counts: dict[str, int]
    """The values of `COUNTED` in its result."""
    error_code: str | None
    error_description: str | None
    """Cut after 1000 characters."""


class Runs(NamedTuple):
    """The newest tasks of a repository."""

    sync: RepositoryRun | None = None
    synced: RepositoryRun | None = None
    """The newest successful sync."""
    publish: RepositoryRun | None = None
    published: RepositoryRun | None = None


class Version(NamedTuple):
    """A version of a repository, created by a sync."""

    number: int
    made_at: datetime | None
    counts: dict[str, int]
    """The values of `COUNTED` in that sync's result."""


class Page(NamedTuple):
    """One page of repositories, and how many match in total."""

    rows: list[Repository]
    total: int


def resource_of(repo_id: str) -> str:
    """The resource (`TYPE:ID`) that the repository's tasks use."""
    return f"{TYPE}:{repo_id}"


def repo_id_of(resource: str) -> str | None:
    """The repository's id if the resource (`TYPE:ID`) is a repository, else None."""
    kind, colon, repo_id = resource.partition(":")
    return repo_id if kind == TYPE and colon and repo_id else None


async def add(connection: AsyncConnection, repo_id: str, said: Said, actor: str) -> Repository | None:
    """Create a record; None if one exists already."""
    return await _one(connection, "add", {"repo_id": repo_id, "actor": actor, **_values(said)})


async def note(connection: AsyncConnection, repo_id: str, actor: str, task_id: UUID) -> bool:
    """Create the record of a repository for which this sync was submitted, and return whether that was necessary."""
    values = {"repo_id": repo_id, "actor": actor, "task_id": task_id, "resource": resource_of(repo_id)}
    cursor = await connection.execute(_SQL["note"], values)
    return await cursor.fetchone() is not None


async def find(connection: AsyncConnection, repo_id: str) -> Repository | None:
    """The record; if the repository was synced and has none, it is created."""
    values = {"repo_id": repo_id, "resource": resource_of(repo_id)}
    return (
        await _one(connection, "of_name", values)
        or await _one(connection, "adopt", values)
        or await _one(connection, "of_name", values)  # another process has created it meanwhile
    )


async def adopt_all(connection: AsyncConnection) -> int:
    """Create the records of all repositories that were synced and have none; return how many."""
    return (await connection.execute(_SQL["adopt_all"])).rowcount


async def find_by_id(connection: AsyncConnection, pulp_id: UUID) -> Repository | None:
    """The record with this id, or None."""
    return await _one(connection, "of_id", {"pulp_id": pulp_id})


async def lock(connection: AsyncConnection, repo_id: str) -> Repository | None:
    """The record, locked until the caller's transaction ends; None if it does not exist."""
    return await _one(connection, "locked", {"repo_id": repo_id})


async def change(connection: AsyncConnection, repo_id: str, said: Said, actor: str) -> Repository | None:
    """Replace everything that users set; None if the record does not exist."""
    return await _one(connection, "change", {"repo_id": repo_id, "actor": actor, **_values(said)})


class Removed(NamedTuple):
    """A record that was removed, and the id of the task of an earlier removal of the same name, if any."""

    record: Repository
    removal_before: UUID | None


async def remove(connection: AsyncConnection, repo_id: str, task_id: UUID) -> Removed | None:
    """Remove the record, and hide earlier tasks once `task_id` is in the log; None if the record does not exist."""
    resource = resource_of(repo_id)
    async with connection.transaction():
        record = await _one(connection, "remove", {"repo_id": repo_id})
        if record is None:
            return None
        row = await (await connection.execute(_SQL["removal"], {"resource": resource})).fetchone()
        await connection.execute(_SQL["note_removal"], {"resource": resource, "task_id": task_id})
    return Removed(record, None if row is None else row[0])


async def put_back(connection: AsyncConnection, removed: Removed, task_id: UUID) -> None:
    """Undo `remove`, because the task could not be submitted."""
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
    """Operation → its default arguments; {} for a repository without a record."""
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
    """The repositories that meet every condition over `repositories r`."""
    found = await rows(connection, conditions, order=order, limit=limit, offset=offset)
    count: LiteralString = "select count(*) from repositories r" + _where(conditions)
    counted = await (await connection.execute(count, parameters_of(conditions))).fetchone()
    assert counted is not None
    return Page(found, counted[0])


async def rows(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString,
    limit: int | None,
    offset: int,
) -> list[Repository]:
    """The same without their total number."""
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    statement: LiteralString = "select " + _COLUMNS + " from repositories r" + _where(conditions)
    statement += " order by " + order + " limit %(limit)s offset %(skip)s"
    return [Repository(*row) for row in await (await connection.execute(statement, values)).fetchall()]


def _where(conditions: Sequence[Condition]) -> LiteralString:
    return " where " + " and ".join(each.sql for each in conditions) if conditions else ""


async def newest(connection: AsyncConnection, repo_ids: Sequence[str]) -> dict[str, Runs]:
    """Repository → its newest tasks since it was created."""
    found: dict[str, dict[str, RepositoryRun]] = {repo_id: {} for repo_id in repo_ids}
    by_resource = {resource_of(repo_id): repo_id for repo_id in repo_ids}
    values = {"resources": list(by_resource), "counted": list(COUNTED)}
    for resource, operation, is_successful, *run in await (await connection.execute(_NEWEST, values)).fetchall():
        kind = _SUCCESSFUL[operation] if is_successful else operation
        found[by_resource[resource]][kind] = RepositoryRun(*run)
    return {repo_id: Runs(**runs) for repo_id, runs in found.items()}


async def versions(connection: AsyncConnection, repo_id: str) -> list[Version]:
    """The versions in the results of the newest thousand successful syncs, newest first."""
    values = {"resource": resource_of(repo_id), "counted": list(COUNTED)}
    found: dict[int, Version] = {}
    for counts, finished_at in await (await connection.execute(_VERSIONS, values)).fetchall():
        if "version" in counts:  # the oldest sync that reports a version has created it
            found[counts["version"]] = Version(counts["version"], finished_at, counts)
    return sorted(found.values(), key=lambda version: version.number, reverse=True)


async def _one(connection: AsyncConnection, name: str, values: Mapping[str, Any]) -> Repository | None:
    statement = SQL(_SQL[name]).format(columns=SQL(_COLUMNS))
    row = await (await connection.execute(statement, values)).fetchone()
    return None if row is None else Repository(*row)


def _values(said: Said) -> dict[str, Any]:
    notes, sync, publish = (Jsonb(dict(each)) for each in (said.notes, said.sync_options, said.publish_options))
    return said._asdict() | {"notes": notes, "sync_options": sync, "publish_options": publish}
