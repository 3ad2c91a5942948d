"""What a request handler works with: the caller, the service, and the request's correlation id."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from fastapi import Request
from pulp_events.task import Position
from pulp_projections.queries import TaskRow
from pulp_projections.users import Role

from pulp_api.auth import Authenticator, Forbidden, Principal
from pulp_api.respond import least_positions
from pulp_api.service import Accepted202, Service
from pulp_api.submission import Submission


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    request: Request
    service: Service
    principal: Principal
    correlation_id: str

    async def submit(self, submission: Submission) -> Accepted202:
        """Submit for the caller; the request's `Idempotency-Key` counts."""
        self.principal.need(Role.SUBMITTER)
        key = self.request.headers.get("idempotency-key")
        return await self.service.submit(
            submission, actor=self.principal.actor, correlation_id=self.correlation_id, key=key or None
        )

    async def cancel(self, task_id: UUID, reason: str | None = None) -> tuple[TaskRow, Position | None]:
        """Cancel for the caller: operators any task, submitters their own."""
        self.principal.need(Role.OPERATOR, Role.SUBMITTER)
        if self.principal.role is Role.SUBMITTER:
            task = (await self.service.read(task_id)).task
            if task.created_by != self.principal.actor:
                raise Forbidden(f"user {self.principal.name} may cancel own tasks only")
        return await self.service.cancel(
            task_id, actor=self.principal.actor, reason=reason, correlation_id=self.correlation_id
        )

    async def at_least_positions(self) -> None:
        """Wait for what `Pulp-Min-Position` asks for. Raises `PositionNotReached`."""
        least = least_positions(self.request)
        if least is not None:
            await self.service.positions.reach(least, 5.0)


async def call(request: Request) -> Call:
    """The dependency that every handler but the open ones has. Raises `Unauthenticated`."""
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.principal(request)
    return Call(request, request.app.state.service, principal, correlation_id_of(request))


def correlation_id_of(request: Request) -> str:
    """The request's `Correlation-ID` if it is a GUID, else a fresh one; the same for the whole request."""
    found: str | None = getattr(request.state, "correlation_id", None)
    if found is None:
        try:
            found = str(UUID(request.headers.get("correlation-id", "")))
        except ValueError:
            found = str(uuid4())
        request.state.correlation_id = found
    return found
