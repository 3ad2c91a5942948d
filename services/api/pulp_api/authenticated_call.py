"""An authenticated request, as handlers see it: the user, the service, and the options in the headers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from fastapi import Depends, Request
from msgspec.structs import replace
from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.errors import BadInput
from pulp_events.ids import derived_id, new_id
from pulp_events.purging import PurgeArguments
from pulp_events.schedule import Schedule
from pulp_events.task import Position
from pulp_projections.reading.moments import Asked
from pulp_projections.reading.queries import Condition, TaskRow
from pulp_projections.reading.waiting import WaitingFacts, facts_of

from pulp_api.as_of import moment_of_request, reach
from pulp_api.caller import Caller
from pulp_api.canceller import Cancelled
from pulp_api.dead_letters import DeadLetters
from pulp_api.limiting.quotas import Asking, Quotas
from pulp_api.logins import crossing
from pulp_api.logins.auth import Forbidden, Method, Principal
from pulp_api.logins.authenticator import Authenticator
from pulp_api.purging import check_operation, submission_of
from pulp_api.repositories import Editor, Repositories
from pulp_api.request_origin import told
from pulp_api.respond import least_positions
from pulp_api.schedules import NoSchedule, Schedules
from pulp_api.service import Service
from pulp_api.submitting.rerun import Rerun
from pulp_api.submitting.submission import Submission
from pulp_api.submitting.submitter import Submitted
from pulp_api.task_reader import FoundTask, HistoryPage, MissingTask
from pulp_api.task_rights import TaskRights

MAX_REASON: Final = 1024
"""The most characters of a cancel's reason; the event allows no more."""


_MAX_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class AuthenticatedCall:
    """One authenticated request."""

    request: Request
    service: Service
    principal: Principal

    @property
    def caller(self) -> Caller:
        """The user whom events name, and the correlation id."""
        return Caller(
            actor=self.principal.actor,
            correlation_id=self.request.state.correlation_id,
            request=told(self.request, self.principal.method, self.request.app.state.event_origin),
            admit=partial(self.quotas.submission, self.asking),
            visible=self._visible if self.scope else None,
        )

    async def _visible(self, connection: AsyncConnection, task_ids: Collection[UUID]) -> set[UUID]:
        return await self.task_rights.visible(connection, self.principal, task_ids)

    async def hidden(self, connection: AsyncConnection, task_ids: Collection[UUID]) -> frozenset[UUID]:
        """The tasks among these that the user may not see; unknown ones too if not all are visible."""
        return frozenset(task_ids) - await self._visible(connection, task_ids) if task_ids else frozenset()

    async def waiting_facts(self, connection: AsyncConnection, task_id: UUID) -> WaitingFacts | None:
        """Why a task waits, as far as this user may know; None if the task does not exist."""
        facts = await facts_of(connection, task_id, unserved_s=self.service.unserved_s)
        if facts is None or not self.scope:
            return facts
        return replace(facts, reader=self.principal.name, hidden=await self.hidden(connection, facts.named()))

    @property
    def quotas(self) -> Quotas:
        """The quotas of all users."""
        found: Quotas = self.request.app.state.quotas
        return found

    @property
    def asking(self) -> Asking:
        """The user and address whose quotas count."""
        client = self.request.client
        return Asking(self.principal, None if client is None else client.host)

    @property
    def task_rights(self) -> TaskRights:
        """The rules for seeing and cancelling tasks."""
        found: TaskRights = self.request.app.state.task_rights
        return found

    @property
    def scope(self) -> list[Condition]:
        """The condition that restricts a list to the tasks that the user may see. Every query of tasks needs it."""
        scope = self.task_rights.scope(self.principal)
        return [] if scope is None else [scope]

    @property
    def repositories(self) -> Repositories:
        """The repositories."""
        found: Repositories = self.request.app.state.repositories
        return found

    @property
    def editor(self) -> Editor:
        """The user whom the audit names for a change of a repository."""
        return Editor(self.principal.actor, self.asking.address, self.request.state.correlation_id)

    def need_submitter(self) -> None:
        """Raises `Forbidden` if the user may not submit."""
        self.principal.need(Role.SUBMITTER)

    def need_subscriber(self) -> None:
        """Raises `Forbidden` if the user may not make subscriptions."""
        self.principal.need(Role.SUBMITTER, Role.OPERATOR)

    def need_admin(self) -> None:
        """Raises `Forbidden` unless the user is an administrator."""
        self.principal.need()

    def need_operator(self) -> None:
        """Raises `Forbidden` unless the user is an operator or administrator."""
        self.principal.need(Role.OPERATOR)

    def need_auditor(self) -> None:
        """Raises `Forbidden` if the user may not read the audit."""
        self.principal.need(Role.AUDITOR)

    def need_own(self, user: str) -> None:
        """Raises `Forbidden` for what belongs to another user, unless the caller is an administrator."""
        if user != self.principal.name:
            self.principal.need()

    def need_no_token(self, why: str) -> None:
        """Raises `Forbidden`, with the reason, for a caller with a token of ours."""
        if self.principal.method is Method.TOKEN:
            raise Forbidden(self.principal.actor, why)

    def need_no_jwt(self, why: str) -> None:
        """Raises `Forbidden`, with the reason, for a caller with a JWT of an issuer."""
        if self.principal.method is Method.OIDC:
            raise Forbidden(self.principal.actor, why)

    def need_password(self, why: str) -> None:
        """Raises `Forbidden`, with the reason, for a caller who did not send a name and a password."""
        if self.principal.method is not Method.BASIC:
            raise Forbidden(self.principal.actor, why)

    async def submit(self, submission: Submission) -> Submitted:
        """Submit a task as the user, with the request's `Idempotency-Key`."""
        self.need_submitter()
        check_operation(self.principal, submission.operation)
        submitted = await self.service.submitter.submit(submission, self.caller, key=self._key())
        await self.repositories.note(submitted.task, self.editor)
        return submitted

    def group(self) -> UUID:
        """A group for the tasks of this request; a repetition with the same `Idempotency-Key` gets the same group."""
        key = self._key()
        return new_id() if key is None else derived_id("group", self.principal.actor, key)

    async def rerun(self, task_id: UUID, change: Rerun) -> Submitted:
        """Run a task again as the user, with the request's `Idempotency-Key`.

        A user who may submit may rerun any task that the user can read.
        """
        self.need_submitter()
        if self.principal.role is Role.SUBMITTER:
            check_operation(self.principal, (await self.read(task_id)).task.operation)
        submitted = await self.service.submitter.rerun(task_id, change, self.caller, key=self._key())
        await self.repositories.note(submitted.task, self.editor)
        return submitted

    async def change_repository(self) -> None:
        """Admit a change of a repository, for users who may submit. Raises `Forbidden`, `QuotaExceeded`."""
        self.need_submitter()
        await self.quotas.action(self.asking)

    async def remove_repository(self, repo_id: str) -> Submitted:
        """Remove a repository, for users who may submit; returns the task that removes its content."""
        await self.change_repository()

        async def submit(submission: Submission, task_id: UUID) -> Submitted:
            return await self.service.submitter.submit(submission, self.caller, task_id=task_id)

        return await self.repositories.remove(repo_id, self.editor, submit)

    async def cancel(self, task_id: UUID, reason: str | None = None) -> Cancelled:
        """Cancel a task: operators may cancel any task, submitters only their own."""
        await self.admit_cancels()
        return await self.cancel_admitted(task_id, reason)

    async def admit_cancels(self) -> None:
        """Admit the cancels of one request, which are one action however many they are.

        Raises `Forbidden`, `QuotaExceeded`.
        """
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        await self.quotas.action(self.asking)

    async def cancel_admitted(self, task_id: UUID, reason: str | None = None) -> Cancelled:
        """Cancel a task after `admit_cancels`."""
        if self.principal.role is Role.SUBMITTER:
            task = (await self.read(task_id)).task
            if not await self.task_rights.may_cancel(self.principal, task):
                raise Forbidden(self.principal.actor, f"user {self.principal.name} may cancel own tasks only")
        return await self.service.canceller.cancel(task_id, self.caller, reason=reason)

    async def purge(self, wanted: PurgeArguments) -> Submitted:
        """Submit the task that purges all ended tasks that match: operators purge any, submitters their own."""
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        if self.principal.role is Role.SUBMITTER:
            wanted = replace(wanted, created_by=self.principal.actor)
        return await self.service.submitter.submit(submission_of(wanted), self.caller, key=self._key())

    async def hide(self, task_id: UUID) -> Position:
        """Purge one task that has ended, and return where the event is: operators any, submitters their own.

        Raises `MissingTask`, also for a purged one, `TaskNotPurgeable`, `Forbidden`, and the errors of the log.
        """
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        await self.quotas.action(self.asking)
        if self.scope:
            await self.read(task_id)
        owner = self.principal.actor if self.principal.role is Role.SUBMITTER else None
        return await self.service.purger.hide(task_id, self.caller, owner=owner)

    async def cancel_all(self, tasks: Sequence[TaskRow], reason: str | None = None) -> None:
        """Ask the tasks that the user may cancel to stop; returns once the outcome of each request is known.

        Raises `Forbidden` if the user may cancel none of them.
        """
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        await self.quotas.action(self.asking)
        wanted = [task.task_id for task in tasks if await self.task_rights.may_cancel(self.principal, task)]
        if tasks and not wanted:
            raise Forbidden(self.principal.actor, f"user {self.principal.name} may cancel own tasks only")
        await self.service.canceller.request(wanted, self.caller, reason=reason)

    async def read(self, task_id: UUID) -> FoundTask:
        """One task, at least as new as `Pulp-Min-Position`; with the query's `as_of`, as it was then.

        A purged task is missing, unless the query has `purged=true`. Raises `PositionNotReached` for a moment that has
        not come yet.
        """
        as_of = self.request.query_params.get("as_of")
        when = None if as_of is None else moment_of_request(self.request, as_of)
        if as_of is not None and when is not None:
            await reach(self.service, when, as_of)
        or_purged = self.request.query_params.get("purged", "").lower() in ("true", "1")
        return await self._read(task_id, as_of=when, or_purged=or_purged)

    async def _read(self, task_id: UUID, *, as_of: Asked | None = None, or_purged: bool) -> FoundTask:
        """One task that the user may see. Raises `MissingTask`."""
        found = await self.service.tasks.read(task_id, least=self.least_positions(), as_of=as_of, or_purged=or_purged)
        if not await self.task_rights.may_see(self.principal, found.task):
            raise MissingTask(task_id, found.lag)
        return found

    async def read_own(self, task_id: UUID) -> TaskRow:
        """A task on which the user may give roles. Raises `TaskNotFound`, `Forbidden`."""
        task = (await self.read(task_id)).task
        if not await self.task_rights.may_give_roles(self.principal, task):
            why = f"user {self.principal.name} may see and change the roles on own tasks only"
            raise Forbidden(self.principal.actor, why)
        return task

    @property
    def dead_letters(self) -> DeadLetters:
        """The records that cannot be projected."""
        found: DeadLetters = self.request.app.state.dead_letters
        return found

    @property
    def schedules(self) -> Schedules:
        """The schedules."""
        found: Schedules = self.request.app.state.schedules
        return found

    async def read_schedule(self, schedule_id: UUID) -> Schedule:
        """A schedule. Raises `NoSchedule`, also for one that the user may not see."""
        found = await self.schedules.get(schedule_id)
        if not await self.task_rights.may_see_schedule(self.principal, found):
            raise NoSchedule(schedule_id)
        return found

    async def read_own_schedule(self, schedule_id: UUID) -> Schedule:
        """A schedule that the user may change, and give roles on. Raises `NoSchedule`, `Forbidden`."""
        found = await self.read_schedule(schedule_id)
        if not await self.task_rights.may_change_schedule(self.principal, found):
            raise Forbidden(self.principal.actor, f"user {self.principal.name} may change own schedules only")
        return found

    async def history(self, task_id: UUID, *, after: Position | None, limit: int) -> HistoryPage:
        """A page of a task's history, also of a purged one, at least as new as `Pulp-Min-Position`."""
        if self.scope:
            await self._read(task_id, or_purged=True)
        return await self.service.tasks.history(task_id, least=self.least_positions(), after=after, limit=limit)

    async def at_least_positions(self) -> Mapping[int, int] | None:
        """Wait until the projection has reached `Pulp-Min-Position`, and return its next offsets.

        It also waits, briefly, for the user's own latest writes. Raises `PositionNotReached`.
        """
        least = self.least_positions()
        if least is not None:
            await self.service.freshness.reach(least)
        await self.service.freshness.show(self.service.writes.of(self.principal.actor))
        return least

    def _key(self) -> str | None:
        key = self.request.headers.get("idempotency-key") or None
        if key is not None and len(key) > _MAX_KEY:
            raise BadInput(f"the Idempotency-Key has {len(key)} characters, at most {_MAX_KEY} are taken")
        return key

    def least_positions(self) -> dict[int, int] | None:
        """The next offsets that the request names. Raises `BadInput`."""
        return least_positions(self.request, self.service.partitions)


async def authenticated_call(request: Request) -> AuthenticatedCall:
    """The dependency of every handler that is not open to anonymous users.

    Raises `Unauthenticated`, `LoginsLimited`, `CrossSite`, `NotJson`.
    """
    crossing.check(request)
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.principal(request)
    request.state.actor, request.state.auth = principal.actor, principal.method.value  # for the logs
    return AuthenticatedCall(request, request.app.state.service, principal)


Authenticated: TypeAlias = Annotated[AuthenticatedCall, Depends(authenticated_call)]
