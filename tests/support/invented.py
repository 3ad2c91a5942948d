"""Invented tasks as rows in Postgres, and as the plain lists from which the rules of dispatch are worked out."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pulp_processor.dispatching.dispatch import Hold
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask

from tests.support.assigned import assign
from tests.support.claim_rows import KNOWN, QUEUES, Placed, insert
from tests.support.dispatch_rules import Model

_EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def place_all(connection: AsyncConnection, tasks: list[Placed]) -> list[Placed]:
    """Write the rows; the tasks that have a hold each, without those that conflict with an earlier one of them."""
    held: list[Placed] = []
    await connection.execute("truncate generation_1.tasks, generation_1.task_resources, claims, holds cascade")
    for task in tasks:
        await insert(connection, task, dependencies(task, tasks))
        if task.row.claim == "released":
            await connection.execute(
                "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, released_at)"
                " values (%s, 7, gen_random_uuid(), 'other', gen_random_uuid(), 0, '2026-11-24T12:00Z')",
                [task.task_id],
            )
        elif task.row.claim == "held" and not any(task.conflicts(other) for other in held):
            held.append(task)
            await assign(connection, task.task_id, worker="other", uses=task.modes)
    return held


def dependencies(task: Placed, tasks: list[Placed]) -> list[UUID]:
    """The ids that its numbers stand for; a number beyond the last task is a task that does not exist."""
    return [tasks[number].task_id if number < len(tasks) else uuid4() for number in task.row.depends_on]


def model_of(tasks: list[Placed], held: list[Placed]) -> Model:
    """The tasks that wait without a claim, and the holds."""
    model = Model()
    for task in tasks:
        exclusive = frozenset(key for key, is_exclusive in task.modes.items() if is_exclusive)
        shared = frozenset(task.modes) - exclusive
        if task in held:
            model.holds[task.task_id] = Hold(task.task_id, "other", "x", exclusive, shared)
        elif task.row.state == "waiting":
            accepted_at = _EPOCH + timedelta(seconds=task.row.accepted_s)
            model.waiting[task.task_id] = WaitingTask(
                task_id=task.task_id,
                order=Order(accepted_at, task.row.partition, task.offset),
                offer=Offer(task.row.queue, task.row.operation),
                priority=task.row.priority,
                created_by="user:x",
                exclusive=exclusive,
                shared=shared,
            )
            model.unmet[task.task_id] = {
                UUID(int=number)
                for number in task.row.depends_on
                if number >= len(tasks) or tasks[number].row.state != "successful"
            }
            if is_passed_over(task, tasks, held):
                model.passed_over.add(task.task_id)
    return model


def is_passed_over(task: Placed, tasks: list[Placed], held: list[Placed]) -> bool:
    """Whether nobody can run the task, or one that it depends on: all have waited for longer than others wait for them."""
    line, numbers = [task], set[int]()
    for each in line:
        if each.row.queue not in QUEUES or each.row.operation not in KNOWN:
            return True
        for number in each.row.depends_on:
            if number < len(tasks) and number not in numbers:
                numbers.add(number)
                if tasks[number].row.state == "waiting" and tasks[number] not in held:
                    line.append(tasks[number])
    return False
