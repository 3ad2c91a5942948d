"""Which tasks the user of a subscription may see, decided when their events are delivered."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.filters import Origin
from pulp_projections.webhooks.delivering import with_roles

ALL: Final = frozenset({Role.ADMIN, Role.OPERATOR})
"""The roles that see every task."""
_USER: Final = "user:"


def user_of(actor: str) -> str:
    """The name of the user whom events call `user:NAME`."""
    return actor.removeprefix(_USER)


def sees_all(role: Role, *, is_scoped: bool) -> bool:
    """Whether a user of this role sees every task; with PULP_API_VISIBLE_TASKS=own only some do."""
    return not is_scoped or role in ALL


async def visible(connection: AsyncConnection, actor: str, origins: Mapping[UUID, Origin | None]) -> set[UUID]:
    """Those of the tasks that a user sees who does not see all: own ones, and those with a role on them."""
    own = {task_id for task_id, origin in origins.items() if origin is not None and origin.actor == actor}
    others = origins.keys() - own
    return own | (await with_roles(connection, user_of(actor), others) if others else set())
