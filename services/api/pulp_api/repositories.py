"""Repositories as clients make, change and remove them. Every change is audited."""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from msgspec import Raw
from msgspec.json import encode
from pulp_events.audit import What
from pulp_events.errors import PulpError
from pulp_events.ids import new_id
from pulp_projections import repositories as store
from pulp_projections.reading.queries import Condition, OperationRow, TaskRow
from pulp_projections.repositories import Repository, Runs, Said, Version

from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import Connect
from pulp_api.service import Submitted
from pulp_api.submitting.known_operations import KnownOperations
from pulp_api.submitting.repository_bodies import Change, check_said, said_of
from pulp_api.submitting.submission import Submission

REMOVAL: Final = "remove-repository"
"""The operation that removes what a repository holds. It takes `repo_id` and `missing_ok`."""
_MAKING: Final = "sync"
"""The operation whose first submission makes a repository."""
_ADOPTED_S: Final = 60.0
"""So often, at most, a list looks for repositories without a record."""
_log = logging.getLogger("pulp.api")


class NoRepository(PulpError):
    """There is no such repository."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(f"there is no repository {repo_id!r}")
        self.repo_id = repo_id


class RepositoryExists(PulpError):
    """There is a repository with this id already."""

    def __init__(self, repo_id: str) -> None:
        super().__init__(f"there is a repository {repo_id!r} already: update it, or choose another id")
        self.repo_id = repo_id


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a repository, and by which request."""

    actor: str
    address: str | None
    correlation_id: str | None


class Shown(NamedTuple):
    """A repository with the newest tasks that have worked on it."""

    record: Repository
    runs: Runs

    @property
    def feed(self) -> str | None:
        """Where a sync that names no feed fetches from; None if it must name one."""
        last = None if self.runs.sync is None else self.runs.sync.feed
        return self.record.sync_options.get("feed") or last

    @property
    def feed_source(self) -> str | None:
        """Who says so: the `repository`, or its newest `sync`."""
        if self.record.sync_options.get("feed"):
            return "repository"
        return None if self.feed is None else "sync"

    @property
    def counts(self) -> Mapping[str, int]:
        """What its newest successful sync has told, of `COUNTED`; empty before there is one."""
        return {} if self.runs.synced is None else self.runs.synced.counts


class ShownPage(NamedTuple):
    """Some repositories, and how many there are in all."""

    rows: list[Shown]
    total: int


class Repositories:
    """The repositories of one installation."""

    def __init__(self, connect: Connect, audit: Audit, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect, self._audit, self._clock_s = connect, audit, clock_s
        self._operations = KnownOperations(connect)
        self._adopts_at_s = -math.inf

    async def page(
        self, conditions: Sequence[Condition], *, order: LiteralString, limit: int | None, offset: int = 0
    ) -> ShownPage:
        """The repositories for which every condition holds, and their newest tasks."""
        await self._adopt()
        async with self._connect() as connection:
            page = await store.page(connection, conditions, order=order, limit=limit, offset=offset)
            runs = await store.newest(connection, [row.repo_id for row in page.rows])
        return ShownPage([Shown(row, runs[row.repo_id]) for row in page.rows], page.total)

    async def get(self, repo_id: str) -> Shown:
        """One repository. Raises `NoRepository`."""
        async with self._connect() as connection:
            record = await store.find(connection, repo_id)
            if record is None:
                raise NoRepository(repo_id)
            return Shown(record, (await store.newest(connection, [repo_id]))[repo_id])

    async def by_id(self, pulp_id: UUID) -> Repository:
        """The record with this id. Raises `NoRepository`."""
        async with self._connect() as connection:
            record = await store.find_by_id(connection, pulp_id)
        if record is None:
            raise NoRepository(str(pulp_id))
        return record

    async def versions(self, repo_id: str) -> list[Version]:
        """The versions that tasks tell of, newest first."""
        async with self._connect() as connection:
            return await store.versions(connection, repo_id)

    async def create(self, repo_id: str, change: Change, by: Author) -> Repository:
        """Make a repository. Raises `RepositoryExists`, `BadRepository`."""
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

    async def update(self, repo_id: str, change: Change, by: Author) -> Repository:
        """Change what is said of a repository. Raises `NoRepository`, `BadRepository`."""
        operations = await self._declared(change)  # before a connection is held: this may need one
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
        self, repo_id: str, by: Author, submit: Callable[[Submission, UUID], Awaitable[Submitted]]
    ) -> Submitted:
        """Remove a repository's record, and submit the task that removes what it holds, behind those that still run.

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

    async def note(self, task: TaskRow, by: Author) -> None:
        """Make a record for the repository of a sync that was submitted, unless it has one. Never raises.

        The task is in the log by now, so no error may say otherwise; `get` makes up for a record that is missing.
        """
        found = [store.repo_id_of(key) for key in task.exclusive_resources] if task.operation == _MAKING else []
        for repo_id in filter(None, found):
            try:
                async with self._connect() as connection:
                    is_new = await store.note(connection, repo_id, by.actor, task.task_id)
            except psycopg.Error as error:
                _log.warning("a repository was not recorded", extra={"repository": repo_id, "error": error})
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
        except psycopg.Error as error:  # such as on a standby: what has a record is told all the same
            _log.warning("repositories without a record were not looked for", extra={"error": error})

    async def _declared(self, change: Change) -> dict[str, OperationRow]:
        return {name: await self._operations.get(name) for name in change.operations}

    def _note(self, what: What, by: Author, repo_id: str, *, detail: str = "") -> None:
        self._audit.note_change(
            what, actor=by.actor, address=by.address, target=repo_id, detail=detail, correlation_id=by.correlation_id
        )
