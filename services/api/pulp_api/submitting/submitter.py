"""Submitting a task: check and complete it, then append `accepted`; with an Idempotency-Key, once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Raw
from msgspec.structs import replace as replace_fields
from pulp_events.errors import BadInput, TaskUnfinished
from pulp_events.events import SOURCE, Accepted, Event
from pulp_events.ids import derived_id, new_id
from pulp_events.log import TimedLog
from pulp_events.schedule_events import source_of, tag_of
from pulp_events.task import FINAL, Ignored, Position, Reason, evolve
from pulp_events.topics import partition_of
from pulp_projections.personal.envelope import Sight
from pulp_projections.reading import queries
from pulp_projections.reading.queries import TaskRow, task_row
from pulp_projections.reading.reruns import reruns

from pulp_api.caller import Caller
from pulp_api.freshness import CATCH_UP_S, UNREADABLE, Freshness, behind
from pulp_api.logins.auth import Connect
from pulp_api.recent_writes import RecentWrites
from pulp_api.submitting import remembering, submission
from pulp_api.submitting.known_operations import KnownOperations
from pulp_api.submitting.known_queues import KnownQueues
from pulp_api.submitting.personal import PersonalArguments
from pulp_api.submitting.relatives import check_relatives
from pulp_api.submitting.rerun import Rerun, submission_of
from pulp_api.submitting.submission import MOST_TAGS, Draft, Submission
from pulp_api.task_reader import MissingTask, TaskReader

MAX_ARGUMENT_BYTES: Final = 256 * 1024
"""The default limit on a task's arguments; progress and result have the same limit."""


class KeyReused(BadInput):
    """The Idempotency-Key was used before with another submission."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A durable submission. `task` is waiting if this request created it, and else as the projection has it."""

    task: TaskRow
    position: Position
    warnings: Sequence[str] = ()
    """Why no worker can run it now."""


class Submitter:
    """Submits tasks for clients."""

    def __init__(
        self,
        log: TimedLog,
        tasks: TaskReader,
        freshness: Freshness,
        connect: Connect,
        writes: RecentWrites,
        personal: PersonalArguments,
        *,
        partitions: int,
        max_argument_bytes: int,
        queues: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        """`queues` are queues that a submission may name even if no worker has served them."""
        self._log = log
        self._tasks = tasks
        self._freshness = freshness
        self._connect = connect
        self._writes = writes
        self.personal = personal
        self._partitions = partitions
        self._max_argument_bytes = max_argument_bytes
        self._operations = KnownOperations(connect)
        self._queues = KnownQueues(connect, queues)
        self._clock = clock

    async def submit(
        self,
        body: Submission,
        caller: Caller,
        *,
        key: str | None = None,
        rerun_of: UUID | None = None,
        task_id: UUID | None = None,
        schedule_id: UUID | None = None,
    ) -> Submitted:
        """Append `accepted`; returns once it is durable. Repeating a submission with the same `key` creates one task.

        `rerun_of` is the task that this one reruns. `task_id` is the new task's id, if there is no `key`, and
        `schedule_id` the schedule that submits it. Raises `BadInput`, `KeyReused`, `LogUnavailable`,
        `AppendOutcomeUnknown`.
        """
        submission.check_size(body, self._max_argument_bytes)
        draft = submission.drafted(body, await self._operations.get(body.operation))
        if key is None:
            submitted = await self._submit_anew(draft, caller, rerun_of, task_id or new_id(), schedule_id)
        else:
            submitted = await self._submit_once(draft, caller, key, rerun_of)
        return replace(submitted, warnings=submission.warnings_of(body, draft.operation))

    async def check(self, body: Submission) -> None:
        """Check a schedule's submissions, as far as they do not depend on the time. Raises `BadInput`."""
        submission.check_size(body, self._max_argument_bytes)
        draft = submission.drafted(body, await self._operations.get(body.operation))
        await self._queues.check(body.queue, draft.operation.name)

    async def sealed(self, body: Submission, holder: UUID) -> Raw:
        """The arguments of a schedule's submissions, in the form in which the schedule may store them."""
        return await self.personal.sealed(await self._operations.get(body.operation), body.arguments, holder)

    async def rerun(self, task_id: UUID, change: Rerun, caller: Caller, *, key: str | None = None) -> Submitted:
        """Submit a task that has ended again, with the change, as a new task that names it.

        Raises `MissingTask`, `TaskUnfinished`, `ReadModelUnavailable` if the projection is too far behind to tell,
        and what `submit` raises.
        """
        try:
            found = await self._tasks.read(task_id)
        except MissingTask as error:
            if error.lag is None:
                raise
            raise behind(error.lag) from error
        if found.task.state not in FINAL:
            raise TaskUnfinished(task_id) if found.lag is None else behind(found.lag)
        given = submission.arguments_of(change.arguments)
        task = replace_fields(found.task, arguments=await self.personal.known(task_id, found.task.arguments, given))
        body = submission_of(task, change, await self._operations.get(task.operation))
        return await self.submit(body, caller, key=key, rerun_of=task_id)

    async def _submit_anew(
        self, draft: Draft, caller: Caller, rerun_of: UUID | None, task_id: UUID, schedule_id: UUID | None
    ) -> Submitted:
        data = await self._sealed(draft, await self._completed(draft, rerun_of, caller), task_id)
        partition = self._partition_of(task_id, data)
        if schedule_id is None:
            return await self._append(data, caller, task_id, new_id(), partition, rerun_of)
        data = replace_fields(data, tags=(*data.tags[: MOST_TAGS - 1], tag_of(schedule_id)))
        event_id = derived_id(task_id, "accepted")
        return await self._append(data, caller, task_id, event_id, partition, rerun_of, source_of(schedule_id))

    async def _submit_once(self, draft: Draft, caller: Caller, key: str, rerun_of: UUID | None) -> Submitted:
        await self._freshness.catch_up()
        known = await self._known(caller.actor, key)
        if known is None:
            data = await self._completed(draft, rerun_of, caller)
            partition = self._partition_of(derived_id(caller.actor, key), data)
            task_id = derived_id(caller.actor, key, partition)
            data = await self._sealed(draft, data, task_id)
            mine = await self._append(data, caller, task_id, derived_id(task_id, "accepted"), partition, rerun_of)
            if await self._freshness.effect_of(mine.position, CATCH_UP_S) != Reason.DUPLICATE:
                return mine
            try:
                known = await self._known(caller.actor, key)  # another request with the key came first
            except UNREADABLE:
                return mine  # the event is durable, so the answer must not be an error
            if known is None:
                return mine
        if rerun_of is None:
            draft = await remembering.with_options(draft, self._connect, self._freshness.catch_up)
        opened, sights = await self.personal.task(known)
        unknown = [name for name, sight in sights.items() if sight is not Sight.SHOWN]
        if (
            not submission.is_same(remembering.as_then(draft, opened), opened, unknown)
            or await self._cause_of(known.task_id) != rerun_of
        ):
            raise KeyReused(f"the Idempotency-Key came before with another submission, task {known.task_id}")
        return Submitted(known, Position(known.partition, known.accepted_offset))

    async def _completed(self, draft: Draft, rerun_of: UUID | None, caller: Caller) -> Accepted:
        await self._queues.check(draft.submission.queue, draft.operation.name)
        if rerun_of is None:  # a rerun keeps the first task's options, whatever its repository says now
            draft = await remembering.with_options(draft, self._connect, self._freshness.catch_up)
        data = await remembering.completed(draft, self._connect, self._freshness.catch_up)
        await check_relatives(data, self._connect, self._freshness, caller.visible)
        return data

    async def _sealed(self, draft: Draft, data: Accepted, task_id: UUID) -> Accepted:
        """The data with personal arguments encrypted for this task; no other form may be written."""
        arguments = await self.personal.sealed(draft.operation, data.arguments, task_id)
        return data if arguments is data.arguments else replace_fields(data, arguments=arguments)

    async def _append(
        self,
        data: Accepted,
        caller: Caller,
        task_id: UUID,
        event_id: UUID,
        partition: int,
        rerun_of: UUID | None,
        source: str = SOURCE,
    ) -> Submitted:
        event = Event(
            id=event_id,
            task_id=task_id,
            time=self._clock(),
            actor=caller.actor,
            data=replace_fields(data, request=caller.request),
            correlation_id=caller.correlation_id,
            causation_id=None if rerun_of is None else str(rerun_of),
            source=source,
        )
        position = await self._write(event, partition, caller, data)
        self._writes.note(caller.actor, position)
        # The task as reads will show it, with our time in place of the broker's, which is not known here.
        task = evolve(None, event, position, int(event.time.timestamp() * 1000))
        assert not isinstance(task, Ignored)
        return Submitted(task_row(task, []), position)

    async def _write(self, event: Event, partition: int, caller: Caller, data: Accepted) -> Position:
        if caller.admit is None:
            return await self._log.append(event, partition)
        admission = await caller.admit(data)
        try:
            position = await self._log.append(event, partition)
        except Exception as error:
            admission.failed(error)
            raise
        admission.written(position)
        return position

    def _partition_of(self, task_id: UUID, data: Accepted) -> int:
        return partition_of(task_id, data.resources, self._partitions)

    async def _known(self, actor: str, key: str) -> TaskRow | None:
        """The task that an earlier request with this key created, in whichever partition."""
        ids: Sequence[UUID] = [derived_id(actor, key, partition) for partition in range(self._partitions)]
        async with self._connect() as connection:
            condition = queries.Condition("t.task_id = any (%(ids)s)", {"ids": list(ids)})
            found = await queries.tasks(connection, [condition], limit=1)
        return found[0] if found else None

    async def _cause_of(self, task_id: UUID) -> UUID | None:
        async with self._connect() as connection:
            return (await reruns(connection, task_id)).rerun_of
