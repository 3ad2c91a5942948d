"""The slots of a worker that are in use: each is a hold, whose tasks run one after another."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Final
from uuid import UUID

from pulp_worker.attempt import Attempt, Tools
from pulp_worker.attempt_parts import (
    AwaitingTurn,
    Begin,
    Confirming,
    Gone,
    Released,
    Withdraw,
    lets_next_begin,
    needs_looks,
)
from pulp_worker.attempt_state import has_passed
from pulp_worker.claims import Claim, Look
from pulp_worker.loading import Loaded

_CHAIN_S: Final = 1.0
"""How long the tasks of a hold have to begin; those that have not begun by then are released, so that others get a
turn."""
_log = logging.getLogger("pulp.worker")


class Holds:
    """Runs the assigned tasks. `may_begin` is called before each task, and `on_change` when an attempt has changed."""

    def __init__(
        self,
        operations: Mapping[str, Loaded],
        tools: Tools,
        *,
        may_begin: Callable[[Claim], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._operations = operations
        self._tools = tools
        self._may_begin = may_begin
        self._on_change = on_change
        self._attempts: dict[UUID, Attempt] = {}
        self._holds: defaultdict[UUID, list[Attempt]] = defaultdict(list)
        self._empty = asyncio.Event()
        self._empty.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts whose claims are not known to be ended or released."""
        return list(self._attempts.values())

    @property
    def claims(self) -> list[Claim]:
        """The claims of these attempts."""
        return [attempt.claim for attempt in self._attempts.values()]

    @property
    def hold_ids(self) -> list[UUID]:
        """The ids of the holds in use."""
        return list(self._holds)

    @property
    def begun(self) -> list[Claim]:
        """The claims that do not wait for others in their slots; the others are looked at when they begin."""
        return [each.claim for each in self._attempts.values() if not isinstance(each.state, AwaitingTurn)]

    def confirmable(self, positions: Mapping[int, int]) -> list[Claim]:
        """The claims of attempts whose start the projection has passed: a look shows whether the start took effect."""
        return [
            attempt.claim
            for attempt in self._attempts.values()
            if isinstance(attempt.state, Confirming) and has_passed(positions, attempt.state.position)
        ]

    def is_operating(self) -> bool:
        """Whether any operation runs; from any thread."""
        return any(attempt.is_operating for attempt in self.attempts)

    def needs_looks(self) -> bool:
        """Whether a move of the projection may matter to an attempt."""
        return any(needs_looks(attempt.state) for attempt in self._attempts.values())

    async def until_empty(self) -> None:
        """Returns when no attempt is left."""
        await self._empty.wait()

    def take(self, claims: Iterable[Claim]) -> None:
        """Run assigned tasks; their claims come in the order of their places."""
        new: set[UUID] = set()
        for claim in claims:
            attempt = Attempt(
                claim, self._operations[claim.operation], self._tools, spawn=self._spawn, on_change=self._changed
            )
            self._attempts[claim.attempt_id] = attempt
            self._holds[claim.hold_id].append(attempt)
            self._empty.clear()
            new.add(claim.hold_id)
        for hold_id in new:
            self._advance(hold_id)
            if hold_id in self._holds and len(self._holds[hold_id]) > 1:
                asyncio.get_running_loop().call_later(_CHAIN_S, self._withdraw, hold_id)

    def see(self, look: Look) -> None:
        """Pass the result of a look to the attempts."""
        for attempt_id, status in look.statuses.items():
            attempt = self._attempts.get(attempt_id)
            if attempt is not None:
                attempt.see(status, look.positions)

    def withdraw(self) -> None:
        """Release everything that has not begun."""
        for hold_id in list(self._holds):
            self._withdraw(hold_id)

    async def abandon(self) -> None:
        """Stop waiting for operations, claims and the log, whatever their outcome."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _withdraw(self, hold_id: UUID) -> None:
        for attempt in list(self._holds.get(hold_id, ())):
            attempt.feed(Withdraw())

    def _changed(self, attempt: Attempt) -> None:
        hold_id = attempt.claim.hold_id
        if isinstance(attempt.state, Gone):
            del self._attempts[attempt.claim.attempt_id]
            self._holds[hold_id].remove(attempt)
            if not self._holds[hold_id]:
                del self._holds[hold_id]
            if not self._attempts:
                self._empty.set()
        elif isinstance(attempt.state, Released) and not attempt.state.may_follow:
            self._withdraw(hold_id)  # otherwise the next one would overtake it
        self._advance(hold_id)
        self._on_change()

    def _advance(self, hold_id: UUID) -> None:
        """Let the first task that waits for its turn begin, if those before it allow that."""
        may_begin = True
        for attempt in list(self._holds.get(hold_id, ())):
            if isinstance(attempt.state, AwaitingTurn) and may_begin:
                attempt.feed(Begin() if self._may_begin(attempt.claim) else Withdraw())
            may_begin = may_begin and lets_next_begin(attempt.state, shares=bool(attempt.claim.tokens))

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a claim is left behind", exc_info=task.exception())
