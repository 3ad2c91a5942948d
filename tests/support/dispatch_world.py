"""A dispatcher at work on random histories, compared with the rules of `dispatch_rules` on the same input.

The log is in memory; projectors, dispatcher and Postgres are real. Workers are rows, and this module invents their
statements.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pulp_accounts import quota_store
from pulp_events.events import Event, Outcome
from pulp_processor.dispatching.dispatch import Hold
from pulp_processor.dispatching.waiting import Order, WaitingTask

from tests.support.dispatch_chance import PROFILES, USERS, task_by_chance
from tests.support.dispatch_probe import REGISTER, ProbedStage
from tests.support.dispatch_rules import Model
from tests.support.events import cancel_requested, finished, started

START_MS: Final = 1_700_000_000_000
FOR_EVER_S: Final = 1e9
WORKER_NAMES: Final = ["x", "y", "z"]
MANY: Final = 30
"""No more arrive while this many wait."""
GATES: Final = 30
"""How often limits change at most: each time a probe waits for a limit of its own user."""
GOING: Final[list[LiteralString]] = [
    "update workers set stopped_at = now() where instance_id = %s",
    "update workers set draining = true where instance_id = %s",
    "update workers set heartbeat_at = now() - interval '1 hour' where instance_id = %s",
]


class Assigned(NamedTuple):
    """A claim, as the worker reads it."""

    hold_id: UUID
    instance: str
    task_id: UUID
    attempt: int
    attempt_id: UUID
    tokens: list[int]


class World:
    """The history so far, as the rules see it."""

    def __init__(self, database: str, connection: AsyncConnection, seed: int) -> None:
        self.random = Random(seed)
        self.model = Model()
        self.stage = ProbedStage(database, connection, lambda: self._now_ms, FOR_EVER_S)
        self.chains: dict[UUID, list[WaitingTask]] = {}
        """The assigned tasks that have not ended, by hold, in order."""
        self.begun: set[UUID] = set()
        self.over: set[UUID] = set()
        """Those that ended without success: their worker has yet to end their claims."""
        self.attempt_ids: dict[UUID, UUID] = {}
        self.attempts: Counter[UUID] = Counter()
        self.tokens: Counter[str] = Counter()
        """The highest that each resource has had before this step; those of this one are `given`."""
        self.given: Counter[str] = Counter()
        self.instances: dict[str, UUID] = {}
        self._count = 0
        self._now_ms = START_MS
        self._gates = GATES

    async def start(self) -> None:
        """Users, workers and the dispatcher come."""
        gates = [f"gate-{number}" for number in range(GATES)]
        for name in (*USERS, *gates):
            await self.stage.rows("insert into users (name, password_hash, role) values (%s, '-', 'submitter')", name)
        for name in gates:
            await quota_store.set_quota(self.stage.connection, name, "running=0")
        await self.stage.start()
        for _ in range(2 * len(WORKER_NAMES)):
            await self.come()

    async def step(self) -> None:
        """Something happens; then the assignments must match the rules."""
        happening: Callable[[], Coroutine[Any, Any, None]] = self.random.choice(
            [self.accept] * (4 if len(self.model.waiting) < MANY else 0)
            + [self.work] * 8
            + [self.end, self.skip] * 2
            + [self.cancel, self.give_back, self.come, self.come, self.go, self.limit, self.replace]
            + [self.several] * 6
        )
        await happening()
        await self.compare(happening.__name__)

    # Events.

    async def accept(self) -> None:
        """Some tasks are submitted."""
        partition = self.random.choice([0, 1])
        for _ in range(self.random.randint(1, 6)):
            self._accept(partition)
        await self.stage.happen(partition)

    async def work(self) -> None:
        """Workers begin and end the tasks that their slots are at."""
        heads = [chain[0] for chain in self.chains.values()]
        partition = self.random.choice(heads).order.partition if heads else 0
        events: list[Event] = []
        for hold_id, chain in list(self.chains.items()):
            head = chain[0]
            if head.order.partition != partition or head.task_id in self.over or self.random.random() < 0.2:
                continue
            if head.task_id not in self.begun:
                self.begun.add(head.task_id)
                attempt_id = self.attempt_ids[head.task_id]
                events.append(started(head.task_id, attempt=self.attempts[head.task_id], attempt_id=attempt_id))
            outcome = self.random.choice(
                [None, Outcome.SUCCESSFUL, Outcome.SUCCESSFUL, Outcome.SUCCESSFUL, Outcome.FAILED]
            )
            if outcome is not None:
                events.append(finished(head.task_id, attempt_id=self.attempt_ids[head.task_id], outcome=outcome))
            if outcome is Outcome.SUCCESSFUL:
                self._leave(hold_id, head)
                for unmet in self.model.unmet.values():
                    unmet.discard(head.task_id)
            elif outcome is Outcome.FAILED:
                self.over.add(head.task_id)
        await self.stage.happen(partition, events)

    async def end(self) -> None:
        """Workers end the claims of tasks that ended without success."""
        left = [
            (hold_id, task) for hold_id, chain in self.chains.items() for task in chain if task.task_id in self.over
        ]
        for hold_id, task in left:
            self._leave(hold_id, task)
        await self._claims_change("delete from claims where task_id = any (%s)", left)

    async def skip(self) -> None:
        """Tasks end that depend on one which has not succeeded and never will."""
        partition = self.random.choice([0, 1])
        assigned = {task.task_id for chain in self.chains.values() for task in chain} - self.over
        events = []
        for task in list(self.model.waiting.values()):
            if (
                task.order.partition == partition
                and self.model.unmet[task.task_id] - assigned - self.model.waiting.keys()
            ):
                self._forget(task)
                events.append(finished(task.task_id, attempt_id=None, outcome=Outcome.SKIPPED))
        await self.stage.happen(partition, events)

    async def cancel(self) -> None:
        """A task that has not begun is cancelled, also one that is assigned; or the request is all there is of it yet."""
        assigned = [
            task for chain in self.chains.values() for task in chain if task.task_id not in self.begun | self.over
        ]
        task = self.random.choice([None, *self.model.waiting.values(), *assigned])
        if task is None:
            return
        events = [cancel_requested(task.task_id)]
        if task in assigned or self.random.random() < 0.5:
            events.append(finished(task.task_id, attempt_id=None, outcome=Outcome.CANCELLED))
        if task in assigned:
            self.over.add(task.task_id)
        else:
            self._forget(task)
        await self.stage.happen(task.order.partition, events)

    async def give_back(self) -> None:
        """A worker releases tasks that it has not begun."""
        hold_id = self.random.choice([None, *self.chains])
        if hold_id is None:
            return
        left = [(hold_id, task) for task in self.chains[hold_id] if task.task_id not in self.begun | self.over]
        for _, task in left:
            self._leave(hold_id, task)
            self.model.waiting[task.task_id] = task
        await self._claims_change("update claims set released_at = now() where task_id = any (%s)", left)

    async def come(self) -> None:
        """A worker registers, perhaps again: as a new process, or as one that had lost its lease."""
        name, profile, slots = self.random.choice(WORKER_NAMES), self.random.choice(PROFILES), self.random.randint(1, 4)
        before = self.instances.get(name)
        instance_id = before if before is not None and self.random.random() < 0.5 else uuid4()
        self.model.workers.pop(str(before), None)
        self.model.workers[str(instance_id)] = profile, slots
        self.instances[name] = instance_id
        queues, operations = sorted(profile.queues), sorted(profile.operations)
        await self.stage.workers_change(REGISTER, name, instance_id, queues, operations, slots)

    async def go(self) -> None:
        """A worker stops, drains, or is past its lease."""
        instance = self.random.choice([None, *self.model.workers])
        if instance is None:
            return
        del self.model.workers[instance]
        await self.stage.workers_change(self.random.choice(GOING), UUID(instance))

    async def limit(self) -> None:
        """Users get other limits."""
        if not self._gates:
            return
        self._gates -= 1
        gate = f"gate-{self._gates}"
        limited = {
            name: self.random.choice([0, 1, 1, 1, 2, 2, 3, 3])
            for name in self.random.sample(USERS, self.random.randint(0, 2))
        }
        probe = await self.stage.probe(0, user=gate)
        async with self.stage.connection.transaction():
            await quota_store.set_quota(self.stage.connection, gate, "running=1")
            for name in USERS:
                text = f"running={limited[name]}" if name in limited else "running=none"
                await quota_store.set_quota(self.stage.connection, name, text)
        self.model.limits = {f"user:{name}": number for name, number in limited.items()}
        self.stage.dispatcher.ahead_s += 10  # limits are looked at every few seconds
        await self.stage.tell("look")
        await self.stage.seen(probe)

    async def replace(self) -> None:
        """Another dispatcher takes over, and things happen meanwhile."""
        await self.stage.stop_dispatcher()
        await self._some()
        self.stage.start_another()
        for hold_id, chain in self.chains.items():  # the new one does not know ended tasks
            self.model.holds[hold_id] = self.model.holds[hold_id]._replace(user=chain[0].created_by)
        await self.stage.happen(0)

    async def several(self) -> None:
        """Several things happen before the dispatcher looks."""
        async with self.stage.at_once():
            await self._some()

    async def _some(self) -> None:
        happenings = [self.accept, self.work, self.work, self.end, self.skip, self.cancel, self.give_back, self.come]
        for happening in self.random.choices(happenings, k=self.random.randint(0, 4)):
            await happening()

    # Assignments.

    async def compare(self, after: str) -> None:
        """Check that the assignments follow the rules and are written correctly."""
        found: dict[UUID, list[Assigned]] = {}
        for claim in await self._claims():
            found.setdefault(claim.hold_id, []).append(claim)
        known = {hold_id: found.pop(hold_id, []) for hold_id in self.chains}
        for hold_id, chain in self.chains.items():
            assert [claim.task_id for claim in known[hold_id]] == [task.task_id for task in chain], after
        new = {claims[0].task_id: claims for claims in found.values()}
        self.given = Counter()
        while (task := self.model.best()) is not None:
            assert task.task_id in new, f"after {after}: {task} may begin, and is not assigned"
            self._assigned(task, new.pop(task.task_id))
        self.tokens |= self.given
        assert not new, f"after {after}: these may not begin: {new}"
        holds = await self.stage.rows("select hold_id from holds where worker = any (%s)", WORKER_NAMES)
        assert {hold_id for (hold_id,) in holds} == set(self.chains), after
        await self._compare_reservations()

    def _assigned(self, head: WaitingTask, claims: list[Assigned]) -> None:
        instance = claims[0].instance
        free = self.model.free(head.offer)
        assert free.get(instance) == min(free.values()), f"{instance} is not the least busy one of {free}"
        # How many share a slot is decided by how long such tasks take; which ones do, by the rules.
        others = self.model.followers(head, instance) if head.exclusive else self.model.others_like(head)
        chain = [head, *others[: len(claims) - 1]]
        assert [claim.task_id for claim in claims] == [task.task_id for task in chain]
        before = self.tokens.copy()
        for task, claim in zip(chain, claims, strict=True):
            self.attempts[task.task_id] += 1
            assert claim.attempt == self.attempts[task.task_id]
            assert claim.attempt_id not in self.attempt_ids.values()
            self.attempt_ids[task.task_id] = claim.attempt_id
            names = sorted(task.exclusive | task.shared)
            for name, token in zip(names, claim.tokens, strict=True):
                assert token > before[name]
                before[name] = token
            self._forget(task)
        hold_id = claims[0].hold_id
        self.chains[hold_id] = chain
        self.given |= before
        self.model.holds[hold_id] = Hold(hold_id, instance, head.created_by, head.exclusive, head.shared)

    async def _claims(self) -> list[Assigned]:
        rows = await self.stage.rows(
            "select hold_id, instance_id::text, task_id, attempt, attempt_id, tokens from claims"
            " where released_at is null and worker = any (%s) order by hold_id, place",
            WORKER_NAMES,
        )
        return [Assigned(*row) for row in rows]

    async def _compare_reservations(self) -> None:
        assert set(await self.stage.rows("select hold_id, resource, exclusive from reservations")) == {
            (hold.hold_id, resource, is_exclusive)
            for hold in self.model.holds.values()
            for resources, is_exclusive in ((hold.exclusive, True), (hold.shared, False))
            for resource in resources
        }

    # How it happens.

    def _accept(self, partition: int) -> None:
        """A task is in the log, and among those that wait.

        Times of acceptance are often equal, and not in the order of arrival: another partition has another clock.
        """
        self._now_ms = START_MS + (self._count // 3 + self.random.randint(0, 2)) * 1000
        accepted_at = datetime.fromtimestamp(self._now_ms / 1000, UTC)
        order = Order(accepted_at, partition, len(self.stage.log.records[partition]))
        others = [task.task_id for task in self.model.waiting.values() if task.order < order]
        self._count += 1
        event, task, depends_on = task_by_chance(self.random, UUID(int=self._count), order, others)
        self.stage.log.put(event, partition)
        self.model.waiting[task.task_id] = task
        self.model.unmet[task.task_id] = depends_on

    async def _claims_change(self, statement: LiteralString, left: list[tuple[UUID, WaitingTask]]) -> None:
        tasks, holds = {task.task_id for _, task in left}, {hold_id for hold_id, _ in left}
        await self.stage.claims_change(statement, tasks, holds)

    def _forget(self, task: WaitingTask) -> None:
        """The task does not wait any more."""
        self.model.waiting.pop(task.task_id)

    def _leave(self, hold_id: UUID, task: WaitingTask) -> None:
        """The task no longer belongs to the hold, which ends with its last task."""
        self.chains[hold_id].remove(task)
        if not self.chains[hold_id]:
            del self.chains[hold_id], self.model.holds[hold_id]
