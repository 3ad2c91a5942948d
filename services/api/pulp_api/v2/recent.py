"""The default list of tasks: those that have not ended, or ended recently."""

from datetime import UTC, datetime, timedelta

from pulp_projections.reading import queries
from pulp_projections.reading.queries import Condition

from pulp_api.authenticated_call import AuthenticatedCall


def recent_then(now: datetime, listed_s: float) -> Condition:
    """The tasks that had not ended then, or not long before."""
    ended_since = now - timedelta(seconds=listed_s)
    return Condition("(not is_final(t.state) or t.finished_at >= %(ended_since)s)", {"ended_since": ended_since})


async def recent(call: AuthenticatedCall) -> list[Condition]:
    """The tasks that have not ended, or not long ago."""
    ended_since = datetime.now(UTC) - timedelta(seconds=call.service.listed_s)
    async with call.service.connection() as connection:
        first = await queries.unfinished_since(connection, ended_since)
    recent = Condition(
        "(not is_final(t.state) or t.finished_at >= %(ended_since)s)",
        {"ended_since": ended_since},
    )
    # Where the index in the order of submission begins to have some of them.
    begin = Condition("t.accepted_at >= %(first)s", {"first": ended_since if first is None else first})
    return [recent, begin]
