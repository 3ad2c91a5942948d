"""A run: faults come and go under load; after each the projection must catch up and match the log."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import psycopg

from tests.faults.api_check import compare_api
from tests.faults.arena import Arena
from tests.faults.assigning import PROMISE, assigned, broken_tables, has_taken_over, judge_assigned
from tests.faults.checker import Checked, Checker
from tests.faults.clients import Load
from tests.faults.cluster import PARTITIONS, TOPIC
from tests.faults.dead_letters import judge_dead_letters
from tests.faults.journals import read_journals, uses
from tests.faults.ledger import Ledger
from tests.faults.promises import (
    Reached,
    judge_answers,
    judge_ends,
    judge_history,
    judge_operations,
    reached_cancels,
    started_after_s,
    worker_lost_s,
    zombie_windows_ms,
)
from tests.faults.recurring import RUNS, Run, judge_attempts, judge_purges, judge_schedules
from tests.faults.reference import Reference
from tests.faults.run_state import State
from tests.faults.stage import Fault, Stage

LAG: Final = "lag 0 after the last fault"
CANCEL: Final = "cancel reaches the operation"
_BETWEEN_S: Final = 3.0
_PUT_BACK_S: Final = 15.0
"""More than two heartbeats of a worker, and the time in which it ends an attempt that is lost."""
_CATCH_UP_S: Final = 60.0
_DRAIN_S: Final = 90.0


@dataclass
class Happened:
    """One episode: its faults, begin and end (seconds since the start), and how soon afterwards the lag was 0."""

    faults: list[str]
    began_s: float
    ended_s: float
    lag_s: float | None


@dataclass
class Outcome:
    """The outcome of a run."""

    seed: int
    state: State
    happened: list[Happened] = field(default_factory=list)
    checks: int = 0
    events: int = 0
    tasks: int = 0
    log: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0


class Runner:
    """Runs faults on a running arena. `doing` is the current step, for the live line."""

    def __init__(self, arena: Arena, seed: int, say: Callable[[str], None]) -> None:
        reference = Reference(arena.kafka, TOPIC, PARTITIONS)
        self.state = State(Ledger(), reference, Checker(reference, arena.database.conninfo))
        self.outcome = Outcome(seed, self.state)
        self.doing = "the load alone"
        self._arena = arena
        self._seed = seed
        self._say = say
        self._told = 0

    async def run(self, plan: Iterable[list[Fault]], seconds: float, quiet_s: float = 10.0) -> Outcome:
        """Run episodes of the plan while there is time, then the final checks. The load first runs for `quiet_s`
        without faults. The faults of one episode begin at the same time. An error that ends the run early, such as an
        arena that cannot be restored, is a breach: the outcome contains what was seen until then.
        """
        began = time.monotonic()
        load = Load(self._arena.stack.url, self._arena.auth, self.state.ledger, self._seed)
        try:
            await self._run(load, plan, began + seconds, quiet_s)
        except Exception as error:  # the edge of a run
            self.state.ledger.breach("faults", self.doing, f"the run ended early: {type(error).__name__}: {error}")
            await load.cancel()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    async def _run(self, load: Load, plan: Iterable[list[Fault]], ends: float, quiet_s: float) -> None:
        quiet_from = time.time() * 1000
        await asyncio.sleep(quiet_s)
        for number, chosen in enumerate(plan):
            if time.monotonic() >= ends:
                break
            self.state.quiet_ms.append((quiet_from, time.time() * 1000))
            await self._episode(number, chosen)
            quiet_from = time.time() * 1000
            load.check()
            await asyncio.sleep(_BETWEEN_S)
        self.state.quiet_ms.append((quiet_from, time.time() * 1000))
        self.doing = "draining"
        await load.stop()
        await self._drain()
        self.doing = "checking everything"
        await self._judge()

    async def _episode(self, number: int, chosen: list[Fault]) -> None:
        names = [fault.name for fault in chosen]
        self.doing = " + ".join(names)
        began = time.monotonic()
        stages = [
            Stage(self._arena, self.state, Random(f"{self._seed}/{number}/{fault.name}"), is_alone=len(chosen) == 1)
            for fault in chosen
        ]
        ends = await asyncio.gather(
            *(fault.run(stage) for fault, stage in zip(chosen, stages, strict=True)), return_exceptions=True
        )
        await self._mend(names, [error for error in ends if error is not None])
        ended = time.monotonic()
        self.doing = "until the lag is 0"
        lag = await self._lag(names)
        began_s, ended_s = began - self.state.began_s, ended - self.state.began_s
        self.outcome.happened.append(Happened(names, began_s, ended_s, lag))
        await self._check(self.state.checker.check)
        for breach in self.state.ledger.breaches[self._told :]:
            self._say(f"BREACH {breach}")
        self._told = len(self.state.ledger.breaches)
        told = f"{began_s:6.0f} s  {' + '.join(names)}: {ended - began:.0f} s"
        self._say(f"{told}, lag 0 after {'never' if lag is None else f'{lag:.1f} s'}")

    async def _mend(self, names: list[str], errors: list[BaseException]) -> None:
        """Record a fault that did not end properly as a breach, and continue the run."""
        for error in errors:
            if not isinstance(error, Exception):
                raise error
            self.state.ledger.breach("faults", " + ".join(names), f"{type(error).__name__}: {error}")
        if errors:
            await self._arena.mend()

    async def _lag(self, names: list[str]) -> float | None:
        try:
            seconds = await self._arena.caught_up(_CATCH_UP_S)
        except TimeoutError:
            self.state.ledger.breach("I15", " + ".join(names), f"the lag is not 0 within {_CATCH_UP_S:g} s")
            return None
        self.state.measure(LAG, seconds)
        return seconds

    async def _check(self, compare: Callable[[], Checked]) -> None:
        self.state.checker.postgres = self._arena.database.conninfo
        try:
            checked = await asyncio.to_thread(compare)
            broken = await self._broken_tables()
        except psycopg.OperationalError as error:
            self.state.ledger.breach("I15", "Postgres", f"it does not answer after the fault: {error}")
            return
        except AssertionError as error:
            self.state.ledger.breach("I2", TOPIC, str(error))
            return
        self.outcome.checks += 1
        for difference in checked.differences[:20]:
            where = f"{difference.partition}:{difference.offset}"
            self.state.ledger.breach(difference.promise, where, difference.what)
        for what in broken:
            self.state.ledger.breach(PROMISE, "tables", what)

    async def _broken_tables(self) -> list[str]:
        """What does not fit together.

        On a server that took over, a worker's claim may lack a resource that another one has still to give up. The
        worker tries again with its next heartbeat, and counts the attempt as lost then.
        """
        execute = self._arena.database.execute
        broken = await asyncio.to_thread(broken_tables, execute)
        ends_s = time.monotonic() + _PUT_BACK_S
        while broken and time.monotonic() < ends_s and await asyncio.to_thread(has_taken_over, execute):
            await asyncio.sleep(_BETWEEN_S)
            again = await asyncio.to_thread(broken_tables, execute)
            broken = [each for each in broken if each in again]
        return broken

    async def _drain(self) -> None:
        """Wait until every task has ended and every claim is released."""
        await self._lag(["draining"])
        ends = time.monotonic() + _DRAIN_S
        query = """
            select (select count(*) from tasks where state in ('waiting', 'running', 'cancelling'))
                 + (select count(*) from reservations) + (select count(*) from holds) + (select count(*) from claims)
        """
        while time.monotonic() < ends:
            [(left,)] = await asyncio.to_thread(self._arena.database.execute, query)
            if left == 0:
                return
            await asyncio.sleep(0.5)
        query = "select 'claims', count(*) from claims union all select 'holds', count(*) from holds"
        for what, left in await asyncio.to_thread(self._arena.database.execute, query):
            if left:
                text = f"{left} {what} are left, {_DRAIN_S:g} s after the load's end"
                self.state.ledger.breach("I15", str(what), text)

    async def _judge(self) -> None:
        """Check everything again from the beginning of the log, with a fresh reference."""
        state, arena, outcome = self.state, self._arena, self.outcome
        state.reference.close()
        fresh = Reference(arena.kafka, TOPIC, PARTITIONS)
        earlier = state.reference
        state.reference = fresh
        state.checker = Checker(fresh, arena.database.conninfo)
        await self._check(state.checker.check_all)
        outcome.log = dict(fresh.positions)
        outcome.tasks, outcome.events = len(fresh.all_tasks()), len(fresh.entries())
        for partition, history in earlier.history.items():
            changed = [offset for offset, entry in history.items() if fresh.history[partition].get(offset) != entry]
            if changed and not any(each.promise == "I8" for each in state.ledger.breaches):
                state.ledger.breach("log", f"{partition}:{changed[0]}", "the log itself has changed since it was read")
        lines = await asyncio.to_thread(read_journals, arena.storage)
        found = uses(lines)
        state.counts["attempts seen from inside"] = len({use.attempt for use in found})
        state.counts["writes refused by their fencing token"] = sum(use.is_refused for use in found)
        written = await asyncio.to_thread(assigned, arena.database.execute)
        state.counts["holds that dispatchers assigned"] = sum(each.holds for each in written)
        state.counts["dispatchers that assigned"] = len({each.epoch for each in written})
        found_runs: list[Any] = await asyncio.to_thread(arena.database.execute, RUNS)
        runs = [Run(*row) for row in found_runs]
        state.counts["ticks of schedules that were submitted"] = sum(run.outcome == "submitted" for run in runs)
        rows = fresh.all_tasks().values()
        state.counts["tasks that were purged"] = sum(row["purged_at"] is not None for row in rows)
        state.counts["attempts after which a task was tried again"] = sum(row["failed_attempts"] for row in rows)
        for breaches in (
            judge_answers(state.ledger, fresh),
            judge_history(fresh),
            judge_ends(fresh),
            judge_operations(fresh, found),
            judge_assigned(written),
            judge_attempts(fresh, found),
            judge_purges(state.ledger, fresh),
            judge_schedules(fresh, runs),
        ):
            state.ledger.breaches.extend(breaches)
        for compare in (compare_api, judge_dead_letters):
            state.ledger.breaches.extend(await compare(arena, fresh))
        self._measure_cancels(reached_cancels(fresh, lines, state.quiet_ms))
        state.measured["killed worker's task reads worker-lost"] += worker_lost_s(fresh, state.killed_workers)
        state.measured["operations of a stopped worker after it woke"] += zombie_windows_ms(fresh, lines, state.wakes)
        for bound, seconds in started_after_s(fresh, state.probes):
            state.measure(bound, seconds)
        fresh.close()

    def _measure_cancels(self, found: list[Reached]) -> None:
        for each in found:
            self.state.measure(CANCEL, each.took_ms)
        if found:
            slowest = max(found, key=lambda each: each.took_ms)
            asked = datetime.fromtimestamp(slowest.asked_ms / 1000, UTC).isoformat(timespec="milliseconds")
            self._say(
                f"the slowest cancel without a fault: task {slowest.task_id}, asked {asked}, {slowest.took_ms:.0f} ms"
            )
