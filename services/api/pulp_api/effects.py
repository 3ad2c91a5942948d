"""The effect of an event that this API has appended to an ordered topic, once a processor has projected it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from psycopg import AsyncConnection
from pulp_events.errors import PositionNotReached

from pulp_api.logins.auth import Connect

_EFFECT_S: Final = 8.0
"""How long a change waits for its projection: longer than the election of a dispatcher takes."""
_LOOK_S: Final = (0.01, 0.02, 0.04, 0.1)


async def effect_of(
    connect: Connect,
    look: Callable[[AsyncConnection, int], Awaitable[str | None]],
    offset: int,
    what: str,
    patience_s: float = _EFFECT_S,
) -> str:
    """The effect of the event at the offset. Raises `PositionNotReached` if that is not known in time."""
    ends_s = asyncio.get_running_loop().time() + patience_s
    looks = 0
    while asyncio.get_running_loop().time() < ends_s:
        async with connect() as connection:
            effect = await look(connection, offset)
        if effect is not None:
            return effect
        await asyncio.sleep(_LOOK_S[min(looks, len(_LOOK_S) - 1)])
        looks += 1
    raise PositionNotReached(
        f"the change of the {what} is recorded, and not projected yet: is a processor up? It takes effect as soon as"
        " one is"
    )
