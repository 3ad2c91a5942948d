"""What a request handler works with: the caller, the service, and what the request's headers ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from fastapi import Depends, Request
from pulp_accounts.users import Role
from pulp_events.errors import BadInput
from pulp_events.ids import derived_id, new_id
from pulp_events.task import Position

from pulp_api.limiting.quotas import Asking, Quotas
from pulp_api.logins import crossing
from pulp_api.logins.auth import Authenticator, Forbidden, Principal
from pulp_api.repositories import Author, Repositories
from pulp_api.respond import least_positions, time_or_position
from pulp_api.service import LEAST_S, Caller, Cancelled, HistoryPage, Reading, Service, Submitted
from pulp_api.submitting.rerun import Rerun
from pulp_api.submitting.submission import Submission

MAX_REASON: Final = 1024
"""Characters that the reason of a cancel may have, as the event takes them."""


_MAX_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. Every role may read."""

    request: Request
    service: Service
    principal: Principal

    @property
    def caller(self) -> Caller:
        """Whom the events name."""
        admit = partial(self.quotas.submission, self.asking)
        return Caller(actor=self.principal.actor, correlation_id=self.request.state.correlation_id, admit=admit)

    @property
    def quotas(self) -> Quotas:
        """What each user may use."""
        found: Quotas = self.request.app.state.quotas
        return found

    @property
    def asking(self) -> Asking:
        """Whose quotas count."""
        client = self.request.client
        return Asking(self.principal, None if client is None else client.host)

    @property
    def repositories(self) -> Repositories:
        """The repositories."""
        found: Repositories = self.request.app.state.repositories
        return found

    @property
    def author(self) -> Author:
        """Whom the audit names for a change of a repository."""
        return Author(self.principal.actor, self.asking.address, self.request.state.correlation_id)

    def need_submitter(self) -> None:
        """Raises `Forbidden` for who may not submit."""
        self.principal.need(Role.SUBMITTER)

    async def submit(self, submission: Submission) -> Submitted:
        """Submit for the caller; the request's `Idempotency-Key` counts."""
        self.need_submitter()
        submitted = await self.service.submit(submission, self.caller, key=self._key())
        await self.repositories.note(submitted.task, self.author)
        return submitted

    def group(self) -> UUID:
        """A new group, for what this request submits; for one that is repeated with its `Idempotency-Key` the same."""
        key = self._key()
        return new_id() if key is None else derived_id("group", self.principal.actor, key)

    async def rerun(self, task_id: UUID, change: Rerun) -> Submitted:
        """Run a task again for the caller; the request's `Idempotency-Key` counts.

        Whoever may submit may run any task again: every role can read what a submission of the same would need.
        """
        self.need_submitter()
        submitted = await self.service.rerun(task_id, change, self.caller, key=self._key())
        await self.repositories.note(submitted.task, self.author)
        return submitted

    async def change_repository(self) -> None:
        """Count a change of a repository by the caller, who may submit. Raises `Forbidden`, `QuotaExceeded`."""
        self.need_submitter()
        await self.quotas.action(self.asking)

    async def remove_repository(self, repo_id: str) -> Submitted:
        """Remove a repository for the caller, who may submit; the task that removes what it holds."""
        await self.change_repository()

        async def submit(submission: Submission, task_id: UUID) -> Submitted:
            return await self.service.submit(submission, self.caller, task_id=task_id)

        return await self.repositories.remove(repo_id, self.author, submit)

    async def cancel(self, task_id: UUID, reason: str | None = None) -> Cancelled:
        """Cancel for the caller: operators any task, submitters their own."""
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        await self.quotas.action(self.asking)
        if self.principal.role is Role.SUBMITTER:
            task = (await self.service.read(task_id)).task
            if task.created_by != self.principal.actor:
                raise Forbidden(self.principal.actor, f"user {self.principal.name} may cancel own tasks only")
        return await self.service.cancel(task_id, self.caller, reason=reason)

    async def read(self, task_id: UUID) -> Reading:
        """One task, at least as new as `Pulp-Min-Position` asks for; as it was, with the query's `as_of`."""
        as_of = self.request.query_params.get("as_of")
        when = None if as_of is None else time_or_position(as_of)
        return await self.service.read(task_id, least=self._least(), as_of=when)

    async def history(self, task_id: UUID, *, after: Position | None, limit: int) -> HistoryPage:
        """A page of a task's history, at least as new as `Pulp-Min-Position` asks for."""
        return await self.service.history(task_id, least=self._least(), after=after, limit=limit)

    async def at_least_positions(self) -> Mapping[int, int] | None:
        """Wait for what `Pulp-Min-Position` asks for; the next offsets that it means. Raises `PositionNotReached`."""
        least = self._least()
        if least is not None:
            await self.service.positions.reach(least, LEAST_S)
        return least

    def _key(self) -> str | None:
        key = self.request.headers.get("idempotency-key") or None
        if key is not None and len(key) > _MAX_KEY:
            raise BadInput(f"the Idempotency-Key has {len(key)} characters, at most {_MAX_KEY} are taken")
        return key

    def _least(self) -> dict[int, int] | None:
        return least_positions(self.request, self.service.partitions)


async def call(request: Request) -> Call:
    """The dependency that every handler but the open ones has. Raises `Unauthenticated`, `LoginsLimited`, `CrossSite`,
    `NotJson`."""
    crossing.check(request)
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.principal(request)
    request.state.actor = principal.actor  # for the access log
    return Call(request, request.app.state.service, principal)


Calling: TypeAlias = Annotated[Call, Depends(call)]
