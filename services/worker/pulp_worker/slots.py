"""The attempts of a worker: as many at once as it has slots, and one after another where tasks follow each other."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from pulp_events.task import FINAL, State

from pulp_worker.attempt import Attempt, Tools
from pulp_worker.claims import Claim, Standing
from pulp_worker.loading import Loaded

_CHAIN_S: Final = 1.0
"""Tasks that follow each other keep their slot for so long; where they take longer, others get a turn."""
_log = logging.getLogger("pulp.worker")


class Slots:
    """Runs claimed tasks. `may_begin` is asked before each task; `freed` is called when a slot has become free."""

    def __init__(
        self,
        operations: Mapping[str, Loaded],
        tools: Tools,
        *,
        may_begin: Callable[[Claim], bool],
        freed: Callable[[], None],
    ) -> None:
        self._operations = operations
        self._tools = tools
        self._may_begin = may_begin
        self._freed = freed
        self._attempts: dict[UUID, Attempt] = {}
        self._followers: dict[UUID, Claim] = {}
        self._chains: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._single = 0
        """Slots of tasks that nothing follows."""

    @property
    def occupied(self) -> int:
        """Slots in use: a task leaves its slot when its end is in the log."""
        return len(self._chains) + self._single

    @property
    def attempts(self) -> list[Attempt]:
        """Those that run, or are not let go of yet."""
        return list(self._attempts.values())

    @property
    def tasks(self) -> "set[asyncio.Task[None]]":
        """What to wait for: when all are done, nothing runs and nothing is claimed."""
        return self._chains | self._tasks

    def is_operating(self) -> bool:
        """Whether any operation runs; from any thread."""
        return any(attempt.is_operating for attempt in self.attempts)

    def take(self, claims: Sequence[Claim]) -> None:
        """Run the tasks one after another in one slot. Those that do not get their turn soon are given back."""
        if len(claims) == 1:
            self._take_one(claims[0])
            return
        chain = asyncio.create_task(self._run_chain(claims), name=f"chain-{claims[0].task_id}")
        self._chains.add(chain)
        chain.add_done_callback(self._leave)

    # What `Standings` asks and tells.

    def claimed(self) -> list[Claim]:
        """The claims of all attempts, and of what follows them."""
        return [*(attempt.claim for attempt in self._attempts.values()), *self._followers.values()]

    def heed(self, claim: Claim, standing: Standing) -> None:
        """Cancel, or stop what others have ended; drop what does not wait any more."""
        if standing.state is State.WAITING:
            return
        self._followers.pop(claim.task_id, None)
        if standing.state is State.RUNNING:
            return
        attempt = self._attempts.get(claim.task_id)
        if attempt is None or not standing.is_current or attempt.claim.attempt_id != claim.attempt_id:
            return
        if standing.state is State.CANCELLING:
            attempt.cancel()
        elif standing.state in FINAL:
            attempt.abandon()

    def _take_one(self, claim: Claim) -> None:
        """A task that nothing follows needs no chain."""
        if not self._may_begin(claim):
            giving_back = asyncio.create_task(self._give_back([claim]))
            self._tasks.add(giving_back)
            giving_back.add_done_callback(self._tasks.discard)
            return
        self._single += 1
        self._start(claim, None, self._left_alone).succeed(None)

    def _left_alone(self) -> None:
        self._single -= 1
        self._freed()

    async def _run_chain(self, claims: Sequence[Claim]) -> None:
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + _CHAIN_S
        self._followers.update((claim.task_id, claim) for claim in claims[1:])
        waiting = list(claims)
        attempt: Attempt | None = None
        while waiting and self._may_begin(waiting[0]):
            claim = waiting.pop(0)
            if attempt is not None and self._followers.pop(claim.task_id, None) is None:
                await self._give_back([claim])  # it was cancelled while it waited
                continue
            attempt, predecessor = self._start(claim, attempt, _nothing), attempt
            if predecessor is not None:
                predecessor.succeed(attempt)
            if waiting and not await _leaves(attempt, ends_at_s - loop.time()):
                await self._give_back(waiting)
                waiting = []
            await attempt.left.wait()
            if not attempt.hands_on or loop.time() > ends_at_s:
                break
        if attempt is not None:
            attempt.succeed(None)
        await self._give_back(waiting)

    def _start(self, claim: Claim, predecessor: Attempt | None, on_left: Callable[[], None]) -> Attempt:
        loaded = self._operations[claim.operation]
        attempt = Attempt(claim, loaded, self._tools, predecessor=predecessor, on_left=on_left)
        self._attempts[claim.task_id] = attempt
        task = asyncio.create_task(attempt.run(), name=f"attempt-{claim.task_id}")
        self._tasks.add(task)

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            if self._attempts.get(claim.task_id) is attempt:
                del self._attempts[claim.task_id]
            if not task.cancelled() and task.exception() is not None:
                _log.error("a claim is left behind", extra={"task_id": claim.task_id}, exc_info=task.exception())

        task.add_done_callback(ended)
        return attempt

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._followers.pop(claim.task_id, None)
        await asyncio.gather(*(self._tools.releases.let_go(claim) for claim in claims))

    def _leave(self, chain: "asyncio.Task[None]") -> None:
        self._chains.discard(chain)
        if not chain.cancelled() and chain.exception() is not None:
            _log.error("claims are left behind", exc_info=chain.exception())
        self._freed()


def _nothing() -> None:
    """The chain notices by itself that its task has left."""


async def _leaves(attempt: Attempt, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await attempt.left.wait()
    except TimeoutError:
        return False
    return True
