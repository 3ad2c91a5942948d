"""The work of an elected dispatcher, from its first reading of the tables on."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from pulp_accounts.quotas import DEFAULTS, quota_of
from pulp_accounts.users import Role
from pulp_events.task import State
from pulp_runtime.telemetry.catalog import CLAIM_SECONDS, WAIT_SECONDS
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_processor.dispatching.backing_off import BackingOff
from pulp_processor.dispatching.dispatch import Assignment, Dispatch
from pulp_processor.dispatching.passing_over import passed_over
from pulp_processor.dispatching.tables import DispatchTables, Doubt, Ending, RegisteredWorker, TaskFacts

_PAGE: Final = 1000
"""Waiting tasks that are read at once: the process does other work between two pages."""
_MOST_AT_ONCE: Final = 500
"""Assignments in one statement; with fewer, the first tasks begin before the last are written."""


class Elected:
    """Keeps the core equal to the tables, and writes its decisions. `begin` it first; drop it after any error."""

    def __init__(
        self,
        tables: DispatchTables,
        quotas: Mapping[Role, str],
        unserved_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        *,
        meter: Meter = NO_METER,
    ) -> None:
        """`quotas` are the settings of the roles. See `UNSERVED_S` for `unserved_s`."""
        self.core = Dispatch()
        self.backing_off = BackingOff(clock_s)
        self._tables = tables
        self._meter = meter
        self._quotas = quotas
        self._unserved_s = unserved_s
        self._generation = 0
        self._positions: Mapping[int, int] = {}
        self._workers: dict[str, RegisteredWorker] = {}
        self._limits: dict[str, int] = {}
        self._tasks_of: dict[UUID, set[UUID]] = {}
        """Hold → its tasks whose claims have not ended."""
        self._succeeded: set[UUID] = set()
        """Tasks whose claims end with the next write."""
        self._emptied: list[UUID] = []
        """The same of holds."""

    async def begin(self) -> None:
        """Read everything."""
        moved = await self._tables.moved({})  # first: what moves meanwhile is looked at again
        self._generation, self._positions = moved.generation, moved.positions
        for hold, remaining, succeeded in await self._tables.holds():
            # A dispatcher before this one may have left claims and holds behind: they end with the first write.
            self._succeeded.update(succeeded)
            if remaining:
                self.core.hold(hold)
                self._tasks_of[hold.hold_id] = set(remaining)
            else:
                self._emptied.append(hold.hold_id)
        await self.look_at_workers()
        await self.look_at_limits()
        page: list[TaskFacts] = []
        while page := await self._tables.waiting_after(page[-1] if page else None, _PAGE):
            self._take(page)
            await asyncio.sleep(0)
        await self.look_for_unserved()

    async def look_at_workers(self) -> None:
        """Update the workers: who registered, left or drains."""
        found = {str(worker.instance_id): worker for worker in await self._tables.workers()}
        for instance in self._workers.keys() - found.keys():
            self.core.fleet.remove(instance)
        has_come = False
        for instance, worker in found.items():
            if self._workers.get(instance) != worker:
                self.core.fleet.put(instance, worker.profile, worker.slots, rests=worker.rests)
                has_come = True
        self._workers = found
        if has_come and self.core.passed_over:
            await self.look_for_unserved()  # before anything is assigned to it: those behind them would overtake them

    async def let_rest(self) -> None:
        """Let workers rest that had nothing to do at several looks."""
        tired = self.core.fleet.rest()
        if tired:
            self._workers.update((each, self._workers[each]._replace(rests=True)) for each in tired)
            await self._tables.rest([self._workers[each].instance_id for each in tired])

    async def _wake(self) -> None:
        """Wake resting workers if nobody else has a free slot. They take tasks once they listen."""
        wanted = self.core.fleet.wake()
        if not wanted:
            return
        for instance_id in await self._tables.wake([self._workers[each].instance_id for each in wanted]):
            worker = self._workers[str(instance_id)] = self._workers[str(instance_id)]._replace(rests=False)
            self.core.fleet.put(str(instance_id), worker.profile, worker.slots)

    async def look_at_limits(self) -> None:
        """Update the limits of running tasks per user."""
        limits = {}
        for actor, role, own in await self._tables.quotas():
            running = quota_of(DEFAULTS[role], self._quotas.get(role, ""), own).running
            if running is not None:
                limits[actor] = running
        if limits != self._limits:
            self._limits = limits
            self.core.limit(limits)

    async def look_for_unserved(self) -> None:
        """Pass over tasks that nobody could run for a long time, until somebody can."""
        unserved = passed_over(self.core.waiting.values(), await self._tables.offered(self._unserved_s))
        for task_id in self.core.passed_over - unserved:
            self.core.take_back(task_id)
        for task_id in unserved:
            self.core.pass_over(task_id)

    async def look_at_moves(self, released: Collection[UUID] = ()) -> int:
        """Take note of what the projection has written, and of holds whose claims were ended or released.

        Returns how many tasks have moved. Raises `Deposed` or `Doubt`.
        """
        moved = await self._tables.moved(self._positions)
        if moved.generation != self._generation:
            raise Doubt("another generation of the read model is active")
        self._positions = moved.positions
        self._take(moved.tasks)
        for facts in moved.tasks:
            if facts.state is State.SUCCESSFUL:
                self.core.succeeded(facts.task.task_id)
                if facts.has_succeeded:
                    self.core.ran(facts.task.offer.operation, facts.ran_s)
                    self._succeed(facts)
        known = [hold_id for hold_id in released if hold_id in self._tasks_of]
        if known:
            await self._end(known)
        return len(moved.tasks)

    async def look_for_forgotten(self) -> None:
        """End holds whose notification was missed. Raises `Deposed`."""
        forgotten = set(await self._tables.forgotten()).difference(self._emptied)
        if forgotten:
            await self._end(forgotten)

    async def write(self) -> list[Assignment]:
        """End the holds of tasks that have succeeded, and assign the tasks that can begin now. Raises `Deposed` or
        `Doubt`."""
        for task_id in self.backing_off.due():
            self.core.resume(task_id)
        found = self.core.assign()
        ending, self._succeeded, self._emptied = Ending(self._succeeded, self._emptied), set(), []
        for start in range(0, max(1, len(found)), _MOST_AT_ONCE):
            part = found[start : start + _MOST_AT_ONCE]
            if any(ending) or part:
                await self._write(ending, part)
            ending = Ending()
        await self._wake()
        return found

    async def _write(self, ending: Ending, assignments: Sequence[Assignment]) -> None:
        began_s = time.perf_counter()
        written = await self._tables.write(ending, assignments, self._workers)
        if assignments and self._meter.is_on:
            self._measure(assignments, written.claimed, time.perf_counter() - began_s)
        if written.ended != set(ending.hold_ids):
            raise Doubt("a slot is in use that seemed free")
        gone: list[UUID] = []
        for one in assignments:
            task_ids = {task.task_id for task in one.tasks}
            self._tasks_of[one.hold_id] = task_ids
            if not task_ids <= written.claimed:
                gone.append(one.hold_id)  # some of them have been cancelled meanwhile
        if gone:
            await self._end(gone)

    def _measure(self, assignments: Sequence[Assignment], claimed: Collection[UUID], took_s: float) -> None:
        self._meter.observe(CLAIM_SECONDS, took_s)
        now_s = time.time()
        for task in (task for one in assignments for task in one.tasks if task.task_id in claimed):
            self._meter.observe(WAIT_SECONDS, max(0.0, now_s - task.order.accepted_at.timestamp()), task.offer.queue)

    def _succeed(self, facts: TaskFacts) -> None:
        """Count the hold as free if it was its last task: it ends with the next write, before anything is assigned."""
        assert facts.hold_id is not None
        if facts.task.task_id in self._succeeded:
            return  # known since the first reading
        if facts.hold_id not in self._tasks_of:
            raise Doubt("a claim has a hold that is not known")
        self._succeeded.add(facts.task.task_id)
        self._leave(facts.task.task_id, facts.hold_id)

    async def _end(self, hold_ids: Collection[UUID]) -> None:
        tasks = {task_id: hold_id for hold_id in hold_ids for task_id in self._tasks_of.get(hold_id, ())}
        for hold_id in (await self._tables.write(Ending((), list(hold_ids)), (), {})).ended:
            self._forget(hold_id)
        if not tasks:
            return
        found = await self._tables.some(tasks)
        for facts in found:
            hold_id = tasks[facts.task.task_id]
            if facts.hold_id != hold_id and hold_id in self._tasks_of:
                self._leave(facts.task.task_id, hold_id)
        self._take(found)

    def _leave(self, task_id: UUID, hold_id: UUID) -> None:
        """The claim has ended, or does with the next write. So does the hold if it was its last one."""
        left = self._tasks_of[hold_id]
        left.discard(task_id)
        if not left:
            self._emptied.append(hold_id)
            self._forget(hold_id)

    def _forget(self, hold_id: UUID) -> None:
        self.core.release(hold_id)
        self._tasks_of.pop(hold_id, None)

    def _take(self, tasks: Iterable[TaskFacts]) -> None:
        for facts in tasks:
            task_id = facts.task.task_id
            self.core.remove(task_id)
            self.backing_off.forget(task_id)
            if facts.state is State.WAITING and facts.hold_id is None and not facts.is_parked:
                self.core.add(facts.task)
                if facts.retry_in_s > 0:
                    self.core.back_off(task_id)
                    self.backing_off.put(task_id, facts.retry_in_s)
