"""Who may see and change a task or a schedule, and grant roles on it, for lists and streams alike."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_accounts import object_roles, users
from pulp_accounts.object_roles import ObjectKind, ObjectRole, Roled
from pulp_accounts.users import Role
from pulp_events.schedule import Schedule
from pulp_projections.reading import queries
from pulp_projections.reading.queries import Condition, TaskRow

from pulp_api.logins.auth import Connect, Forbidden, Method, Principal

_ALL: Final = frozenset({Role.ADMIN, Role.OPERATOR})
"""The roles that see and cancel every task."""
_SEEING_ALL: Final = _ALL | {Role.AUDITOR}
"""The roles that see every task."""


class TaskRights:
    """The rights of users on single tasks and schedules.

    Everybody may see all of them, unless `is_scoped`: then viewers and submitters see those that they created, and
    those on which they have a role. Administrators and operators see all, and cancel all tasks; auditors see all;
    administrators change all schedules.
    """

    def __init__(self, connect: Connect, *, is_scoped: bool) -> None:
        self._connect, self._is_scoped = connect, is_scoped

    def scope(self, principal: Principal) -> Condition | None:
        """The condition on the tasks that a user may see; None for one who may see all."""
        if self._sees_all(principal):
            return None
        return Condition(
            "(t.created_by = %(scope_actor)s"
            " or t.task_id in (select r.task_id from task_roles r where r.user_name = %(scope_user)s))",
            {"scope_actor": principal.actor, "scope_user": principal.name},
        )

    def schedule_scope(self, principal: Principal) -> Condition | None:
        """The condition on the schedules that a user may see; None for one who may see all."""
        if self._sees_all(principal):
            return None
        return Condition(
            "(s.created_by = %(scope_actor)s"
            " or s.schedule_id in (select r.schedule_id from schedule_roles r where r.user_name = %(scope_user)s))",
            {"scope_actor": principal.actor, "scope_user": principal.name},
        )

    async def may_see_schedule(self, principal: Principal, schedule: Schedule) -> bool:
        """Whether the user may see a schedule, with its arguments and the outcomes of its ticks."""
        return self._sees_all(principal) or bool(await self._roles(principal, roled_schedule(schedule)))

    async def may_change_schedule(self, principal: Principal, schedule: Schedule) -> bool:
        """Administrators may change and remove any schedule, and give roles on it; submitters only their own."""
        return principal.role is Role.ADMIN or await self._owns(principal, roled_schedule(schedule))

    def _sees_all(self, principal: Principal) -> bool:
        return not self._is_scoped or principal.role in _SEEING_ALL

    async def need_sight_of_user(self, principal: Principal) -> None:
        """Raises `Forbidden` for a token that sees fewer tasks than its user: what it makes must not tell it more."""
        if principal.method is not Method.TOKEN or self._sees_all(principal):
            return
        async with self._connect() as connection:
            user = await users.credentials(connection, principal.name)
        if user is not None and user.role in _SEEING_ALL:
            raise Forbidden(
                principal.actor,
                f"a subscription delivers what its user may see: user {principal.name} sees all tasks, this token (role"
                f" {principal.role}) only own ones. Use a token with the role {user.role}, or the password",
            )

    async def may_see(self, principal: Principal, task: TaskRow) -> bool:
        """Whether the user may see a task, with its arguments, result, error and history."""
        return self._sees_all(principal) or bool(await self._roles(principal, roled_task(task)))

    async def visible(self, connection: AsyncConnection, principal: Principal, task_ids: Collection[UUID]) -> set[UUID]:
        """The tasks among these that the user may see and that are projected."""
        scope = self.scope(principal)
        if scope is None:
            return set(task_ids)
        among = Condition("t.task_id = any (%(ids)s)", {"ids": list(task_ids)})
        order = "t.task_id"
        found = await queries.task_ids(connection, [among, scope], order=order, limit=len(task_ids), offset=0)
        return set(found)

    async def may_cancel(self, principal: Principal, task: TaskRow) -> bool:
        """Operators and administrators may cancel any task; submitters only their own."""
        return principal.role in _ALL or await self._owns(principal, roled_task(task))

    def may_purge(self, principal: Principal, task: TaskRow) -> bool:
        """Operators and administrators may purge any task; submitters only those that they submitted."""
        return principal.role in _ALL or (principal.role is Role.SUBMITTER and task.created_by == principal.actor)

    async def may_give_roles(self, principal: Principal, task: TaskRow) -> bool:
        """Administrators may give roles on any task; submitters only on their own."""
        return principal.role is Role.ADMIN or await self._owns(principal, roled_task(task))

    async def _owns(self, principal: Principal, of: Roled) -> bool:
        """Whether the user owns an object and may use that: a viewer owns nothing, whatever was given."""
        return principal.role is Role.SUBMITTER and ObjectRole.OWNER in await self._roles(principal, of)

    async def _roles(self, principal: Principal, of: Roled) -> set[ObjectRole]:
        """The user's roles on an object; its author owns it."""
        if of.created_by == principal.actor:
            return {ObjectRole.OWNER}
        async with self._connect() as connection:
            return await object_roles.of_user(connection, of, principal.name)


def roled_task(task: TaskRow) -> Roled:
    """A task, as an object on which users have roles."""
    return Roled(ObjectKind.TASK, task.task_id, task.created_by)


def roled_schedule(schedule: Schedule) -> Roled:
    """A schedule, as an object on which users have roles."""
    return Roled(ObjectKind.SCHEDULE, schedule.schedule_id, schedule.created_by)
