"""Creates, changes and removes repositories for clients. Every change is audited."""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from msgspec import Raw
from msgspec.json import encode
from psycopg import AsyncConnection
from pulp_events.audit import What
from pulp_events.errors import PulpError
from pulp_events.ids import new_id
from pulp_projections import repositories as store
from pulp_projections.reading.queries import Condition, OperationRow, TaskRow
from pulp_projections.repositories import Repository, Runs, Said, Version

from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import Connect
from pulp_api.pattern_searches import PatternSearches
from pulp_api.submitting.known_operations import KnownOperations
from pulp_api.submitting.repository_bodies import Change, check_said, said_of
from pulp_api.submitting.submission import Submission
from pulp_api.submitting.submitter import Submitted

REMOVAL: Final = "remove-repository"
"""The operation that removes a repository's content. It takes `repo_id` and `missing_ok`."""
_MAKING: Final = "sync"
"""The operation whose first submission creates a repository."""
_ADOPTED_S: Final = 60.0
"""The shortest interval at which a list looks for repositories without a record."""
_log = logging.getLogger("pulp.api")


class NoRepository(PulpError):
    """The repository does not exist."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(f"there is no repository {repo_id!r}")
        self.repo_id = repo_id


class RepositoryExists(PulpError):
    """There is a repository with this id already."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(f"there is a repository {repo_id!r} already: update it, or choose another id")
        self.repo_id = repo_id


@dataclass(frozen=True, slots=True)
class Editor:
    """The user who changes a repository, and the request."""

    actor: str
    address: str | None
    correlation_id: str | None


class ShownRepository(NamedTuple):
    """A repository with its newest tasks."""

    record: Repository
    runs: Runs

    @property
    def feed(self) -> str | None:
        """The feed of a sync that names none; None if it must name one."""
        last = None if self.runs.sync is None else self.runs.sync.feed
        return self.record.sync_options.get("feed") or last

    @property
    def feed_source(self) -> Literal["repository", "sync"] | None:
        """The source of the feed: the `repository`, or its newest `sync`."""
        if self.record.sync_options.get("feed"):
            return "repository"
        return None if self.feed is None else "sync"

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts that its newest successful sync reported; empty before the first one."""
        return {} if self.runs.synced is None else self.runs.synced.counts


class ShownPage(NamedTuple):
    """A page of repositories, and their total number."""

    rows: list[ShownRepository]
    total: int


class Repositories:
    """The repositories of one installation."""

    def __init__(
        self,
        connect: Connect,
        pattern_searches: PatternSearches,
        audit: Audit,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._pattern_searches = connect, pattern_searches
        self._audit, self._clock_s = audit, clock_s
        self._operations = KnownOperations(connect)
        self._adopts_at_s = -math.inf

    async def page(
        self, conditions: Sequence[Condition], *, order: LiteralString, limit: int | None, offset: int = 0
    ) -> ShownPage:
        """A page of the repositories that meet every condition, with their newest tasks."""
        await self._adopt()
        async with self._connect() as connection:
            page = await store.page(connection, conditions, order=order, limit=limit, offset=offset)
            return ShownPage(await _shown(connection, page.rows), page.total)

    async def search(
        self,
        conditions: Sequence[Condition],
        *,
        order: LiteralString,
        limit: int,
        offset: int,
        has_patterns: bool = False,
    ) -> list[ShownRepository]:
        """The same without the total; with regular expressions raises what `PatternSearches` does."""
        await self._adopt()
        opened = self._pattern_searches.transaction() if has_patterns else self._connect()
        async with opened as connection:
            rows = await store.rows(connection, conditions, order=order, limit=limit, offset=offset)
            return await _shown(connection, rows)

    async def get(self, repo_id: str) -> ShownRepository:
        """One repository. Raises `NoRepository`."""
        async with self._connect() as connection:
            record = await store.find(connection, repo_id)
            if record is None:
                raise NoRepository(repo_id)
            return ShownRepository(record, (await store.newest(connection, [repo_id]))[repo_id])

    async def by_id(self, pulp_id: UUID) -> Repository:
        """The record with this id. Raises `NoRepository`."""
        async with self._connect() as connection:
            record = await store.find_by_id(connection, pulp_id)
        if record is None:
            raise NoRepository(str(pulp_id))
        return record

    async def versions(self, repo_id: str) -> list[Version]:
        """The versions that syncs have reported, newest first."""
        async with self._connect() as connection:
            return await store.versions(connection, repo_id)

    async def create(self, repo_id: str, change: Change, by: Editor) -> Repository:
        """Create a repository. Raises `RepositoryExists`, `BadRepository`."""
        said = change.on(Said())
        check_said(said, await self._declared(change))
        async with self._connect() as connection:
            record = None
            if await store.find(connection, repo_id) is None:
                record = await store.add(connection, repo_id, said, by.actor)
        if record is None:
            raise RepositoryExists(repo_id)
        self._note(What.REPOSITORY_CREATED, by, repo_id)
        return record

    async def update(self, repo_id: str, change: Change, by: Editor) -> Repository:
        """Change a repository. Raises `NoRepository`, `BadRepository`."""
        operations = await self._declared(change)  # before this method takes a connection, as it may need one
        async with self._connect() as connection, connection.transaction():
            record = await store.lock(connection, repo_id) or await store.find(connection, repo_id)
            if record is None:
                raise NoRepository(repo_id)
            before = said_of(record)
            said = change.on(before)
            if said == before:
                return record
            check_said(said, operations)
            changed = await store.change(connection, repo_id, said, by.actor)
        if changed is None:
            raise NoRepository(repo_id)
        names = [name for name in Said._fields if getattr(said, name) != getattr(before, name)]
        self._note(What.REPOSITORY_UPDATED, by, repo_id, detail=", ".join(names))
        return changed

    async def remove(
        self, repo_id: str, by: Editor, submit: Callable[[Submission, UUID], Awaitable[Submitted]]
    ) -> Submitted:
        """Remove a repository's record, and submit the task that removes its content, after its unfinished tasks.

        The record comes back if the task could not be submitted. Raises `NoRepository`, and what `submit` raises.
        """
        await self._operations.get(REMOVAL)
        task_id = new_id()
        async with self._connect() as connection:
            await store.find(connection, repo_id)
            removed = await store.remove(connection, repo_id, task_id)
        if removed is None:
            raise NoRepository(repo_id)
        try:
            submitted = await submit(
                Submission(operation=REMOVAL, arguments=Raw(encode({"repo_id": repo_id, "missing_ok": True}))), task_id
            )
        except Exception:
            async with self._connect() as connection:
                await store.put_back(connection, removed, task_id)
            raise
        self._note(What.REPOSITORY_REMOVED, by, repo_id, detail=f"task {submitted.task.task_id}")
        return submitted

    async def note(self, task: TaskRow, by: Editor) -> None:
        """Create the record of a submitted sync's repository, unless it has one. Never raises.

        The task is already in the log, so no error may suggest otherwise; `get` creates a missing record later.
        """
        found = [store.repo_id_of(key) for key in task.exclusive_resources] if task.operation == _MAKING else []
        for repo_id in filter(None, found):
            try:
                async with self._connect() as connection:
                    is_new = await store.note(connection, repo_id, by.actor, task.task_id)
            except psycopg.Error as error:
                _log.warning("cannot create the record of a repository", extra={"repository": repo_id, "error": error})
                continue
            if is_new:
                self._note(What.REPOSITORY_CREATED, by, repo_id, detail=f"by sync, task {task.task_id}")

    async def _adopt(self) -> None:
        if self._clock_s() < self._adopts_at_s:
            return
        self._adopts_at_s = self._clock_s() + _ADOPTED_S
        try:
            async with self._connect() as connection:
                await store.adopt_all(connection)
        except psycopg.Error as error:  # such as on a standby: repositories with a record are still listed
            _log.warning("cannot look for repositories without a record", extra={"error": error})

    async def _declared(self, change: Change) -> dict[str, OperationRow]:
        return {name: await self._operations.get(name) for name in change.operations}

    def _note(self, what: What, by: Editor, repo_id: str, *, detail: str = "") -> None:
        self._audit.note_change(
            what, actor=by.actor, address=by.address, target=repo_id, detail=detail, correlation_id=by.correlation_id
        )


async def _shown(connection: AsyncConnection, rows: Sequence[Repository]) -> list[ShownRepository]:
    runs = await store.newest(connection, [row.repo_id for row in rows])
    return [ShownRepository(row, runs[row.repo_id]) for row in rows]
