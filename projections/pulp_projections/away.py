"""What "Postgres is away, try again" means, and how a process tries again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import psycopg
from psycopg import errors

T = TypeVar("T")
Errors = tuple[type[Exception], ...]
AWAY: Final[Errors] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,  # a standby, until it takes over
    errors.IdleInTransactionSessionTimeout,
)
"""Postgres cannot be reached, has ended the session, or takes no writes now: the same call may succeed later."""
ANY: Final[Errors] = (psycopg.Error,)
"""For a loop that must go on whatever Postgres says, such as about a missing right that an operator is about to
grant."""


def reason_of(error: BaseException) -> str:
    """The error's message on one line; libpq's messages have several."""
    return " ".join(str(error).split())


def each_once(tell: Callable[[str], None]) -> Callable[[Exception, float], None]:
    """For `keep_trying`: logs why a loop waits, once for each reason."""
    told = ""

    def failed(error: Exception, _: float) -> None:
        nonlocal told
        if (reason := reason_of(error)) != told:
            told = reason
            tell(reason)

    return failed


async def keep_trying(
    action: Callable[[], Awaitable[T]],
    failed: Callable[[Exception, float], Awaitable[None] | None],
    *,
    on: Errors = AWAY,
    pauses_s: Sequence[float] = (0.5,),
) -> T:
    """Call `action` until it raises no error of `on`, and return its result.

    `failed(error, pause_s)` runs before each pause: it logs, cleans up, and raises to give up. The pauses are taken in
    order; the last one repeats.
    """
    failures = 0
    while True:
        try:
            return await action()
        except on as error:
            pause_s = pauses_s[min(failures, len(pauses_s) - 1)]
            failures += 1
            waiting = failed(error, pause_s)
            if waiting is not None:
                await waiting
        await asyncio.sleep(pause_s)
