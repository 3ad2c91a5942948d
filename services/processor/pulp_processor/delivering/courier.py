"""The courier of one subscription: it reads, sends, and stores its position. A slow endpoint slows nobody else."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.codec import decode, type_of
from pulp_events.errors import LogError, OffsetOutOfRange, TopicMismatch, UndecodableRecord
from pulp_events.events import Event, UnknownEvent
from pulp_events.filters import Origin, Origins
from pulp_events.reader import Record
from pulp_events.task import Position
from pulp_events.webhook import Webhook
from pulp_projections.away import ANY, each_once, keep_trying
from pulp_projections.reading import queries
from pulp_projections.webhooks import delivering
from pulp_projections.webhooks.delivering import DeliveryReport, DeliveryRow, Superseded
from pulp_runtime.telemetry.tracing import Kind, Span, Tracing, of_task

from pulp_processor.delivering.feed import TaskFeed
from pulp_processor.delivering.outbox import Item, Outbox, Outcome, Place, Policy, Settled, Verdict
from pulp_processor.delivering.rights import sees_all, user_of, visible
from pulp_processor.delivering.sender import SUBSCRIPTION_HEADER, EndpointAnswer, Sender, WebhookMessage

_HELD_BYTES: Final = 4 * 1024 * 1024
"""The most bytes of the events that wait, unless a single event is larger."""
_IDLE_S: Final = 5.0
_PASSED_S: Final = 1.0
"""How long the stored position may lag behind unwanted events: after a restart they are only read again."""
_CATCH_UP_S: Final = 0.05
_PAUSES_S: Final = (1.0, 2.0, 5.0)
_KEPT_DELIVERIES: Final = 10_000
_PRUNE_EVERY: Final = 1000
_CUT: Final = (
    "the log no longer holds the events that come next: Kafka keeps them for a limited time. Redeliver from what it has"
    " (--since beginning), or from now"
)
_log = logging.getLogger("pulp.deliverer")


class Shared(Protocol):
    """What all couriers of a deliverer share."""

    @property
    def feed(self) -> TaskFeed:
        """The log of tasks."""
        ...

    @property
    def topic_id(self) -> str:
        """The id of its topic."""
        ...

    @property
    def roles(self) -> Mapping[str, Role]:
        """The current users."""
        ...

    @property
    def is_scoped(self) -> bool:
        """Whether some users see only some tasks."""
        ...

    @property
    def origins(self) -> Origins:
        """The origins of recent tasks."""
        ...

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """The only connection to Postgres, reserved during the `async with`."""
        ...

    async def park(self, webhook: Webhook, reason: str) -> None:
        """Append the event that parks the subscription."""
        ...


class _Held(NamedTuple):
    """An event that waits to be sent."""

    event_id: UUID
    type: str
    value: bytes
    origin: Origin | None
    """The origin of its task; None also if no filter needs it."""
    traceparent: str | None


class _Answered(NamedTuple):
    item: Item
    answer: EndpointAnswer


class Courier:
    """Delivers for one version of a subscription until it is cancelled, or somebody else has taken over."""

    def __init__(
        self, webhook: Webhook, shared: Shared, sender: Sender, policy: Policy, tracing: Tracing | None = None
    ) -> None:
        """With `tracing` each attempt to deliver an event is a span below the one that sent the event."""
        self.webhook = webhook
        self._tracing = tracing
        self._shared, self._sender, self._policy = shared, sender, policy
        self._wake = asyncio.Event()
        self._held: dict[Position, _Held] = {}
        self._held_bytes = 0
        self._answered: list[_Answered] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._unpruned = _PRUNE_EVERY  # at first too: those that come after short ones would else never prune

    def wake(self) -> None:
        """Wake up: there may be new events."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver; wait while Kafka or Postgres is away."""
        warn = each_once(partial(_log.warning, "a subscription does not deliver now: %s", extra=self._about()))
        try:
            await keep_trying(self._deliver, warn, on=(*ANY, LogError, TimeoutError), pauses_s=_PAUSES_S)
        except Superseded as error:
            _log.info("a subscription is delivered by another one: %s", error, extra=self._about())

    async def _deliver(self) -> None:
        self._held, self._held_bytes, self._answered = {}, 0, []
        try:
            await self._deliver_from_place()
        except OffsetOutOfRange:
            _log.warning("events that a subscription lacks are no longer in the log", extra=self._about())
            await self._give_up(_CUT)
        except TopicMismatch as error:
            await self._give_up(str(error))
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)
            self._sending.clear()

    async def _deliver_from_place(self) -> None:
        async with self._shared.connection() as connection:
            taken = await delivering.take_over(connection, self.webhook.subscription_id)
        if taken.topic_id != self._shared.topic_id:
            raise TopicMismatch(
                "the topic of tasks was created again since the subscription began: its place means nothing any more."
                " Redeliver from a place in the new one"
            )
        places = {partition: taken.cursors.get(partition, 0) for partition in self._shared.feed.ends}
        place = Place(
            cursors=places, ahead=taken.ahead, parked=taken.parked, attempts=taken.attempts, failures=taken.failures
        )
        waits_s = 0.0 if taken.retry_at is None else (taken.retry_at - datetime.now(UTC)).total_seconds()
        waits_s = min(max(0.0, waits_s), self._policy.longest_pause_s)  # whatever the two clocks say
        outbox = Outbox(self._policy, place, random.random, not_before_s=time.monotonic() + waits_s)
        kept, kept_s = outbox.place(), time.monotonic()
        while True:
            self._wake.clear()
            report, reason = self._settle(outbox)
            if reason is None:
                await self._fill(outbox)
                await self._send(outbox)
            is_behind = outbox.place().cursors != kept.cursors
            if report is not None or (is_behind and time.monotonic() - kept_s >= _PASSED_S):
                kept, kept_s = await self._keep(outbox, taken.epoch, report or ([], [], None)), time.monotonic()
                is_behind = False
            if reason is not None:
                await self._give_up(reason)
                return
            if not self._answered and not (self._may_take_more(outbox) and self._has_more(outbox)):
                await self._pause(outbox, _PASSED_S if is_behind else _IDLE_S)

    def _has_more(self, outbox: Outbox) -> bool:
        return self._shared.feed.has_more(outbox.next_offsets)

    def _may_take_more(self, outbox: Outbox) -> bool:
        return outbox.room > 0 and self._held_bytes < _HELD_BYTES

    async def _fill(self, outbox: Outbox) -> None:
        """Take the next events while there is room."""
        if not self._may_take_more(outbox) or not self._has_more(outbox):
            return
        records = await self._shared.feed.page(outbox.next_offsets, max(outbox.room, 100))
        origins = await self._origins([(record, event) for record in records if (event := _event(record)) is not None])
        wanted = self.webhook.endpoint.wanted
        for record in records:
            if not self._may_take_more(outbox):
                return
            position = Position(record.partition, record.offset)
            event = _event(record)
            origin = origins.get(position)
            if event is None or not wanted.matches(type_of(event), event.task_id, origin):
                outbox.offer(position, None)
            elif outbox.offer(position, event.task_id):
                value = record.value or b""
                self._held[position] = _Held(event.id, type_of(event), value, origin, _context(event))
                self._held_bytes += len(value)

    async def _origins(self, events: Sequence[tuple[Record, Event | UnknownEvent]]) -> dict[Position, Origin | None]:
        """The origins of the events' tasks, if the filter or the user's rights need them."""
        wanted, sees_all = self.webhook.endpoint.wanted, self._sees_all()
        asked = [
            (record, event)
            for record, event in events
            if wanted.asks_for_origin(type_of(event), event.task_id)
            or (not sees_all and wanted.matches(type_of(event), event.task_id, None))
        ]
        if not asked:
            return {}
        looking = self._shared.origins.look_up(event for _, event in asked)
        ends: dict[int, int] = {}
        for record, event in asked:
            if event.task_id in looking.missing:
                ends[record.partition] = max(record.offset + 1, ends.get(record.partition, 0))
        found = await self._from_read_model(looking.missing, ends) if ends else {}
        positions = [Position(record.partition, record.offset) for record, _ in asked]
        return dict(zip(positions, looking.origins(found), strict=True))

    async def _from_read_model(self, task_ids: Set[UUID], ends: Mapping[int, int]) -> dict[UUID, Origin]:
        """Wait until the projection has reached these positions; before that, the tasks' origins are unknown."""
        while True:
            async with self._shared.connection() as connection:
                positions = await queries.positions(connection)
                if all(positions.get(partition, 0) >= end for partition, end in ends.items()):
                    return await delivering.origins_of(connection, task_ids)
            await asyncio.sleep(_CATCH_UP_S)

    async def _send(self, outbox: Outbox) -> None:
        items = outbox.take(time.monotonic())
        if not items:
            return
        seen = await self._seen(items)
        secrets = await self._secrets()
        for item in items:
            if item.task_id not in seen:
                self._note(item, EndpointAnswer(Verdict.WITHHELD, None, None, 0))
                continue
            task = asyncio.create_task(self._send_one(item, secrets))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_one(self, item: Item, secrets: Sequence[bytes]) -> None:
        held = self._held[item.position]
        headers = {
            SUBSCRIPTION_HEADER: str(self.webhook.subscription_id),
            "Pulp-Position": str(item.position),
        }
        span = self._begin_span(item, held)
        if span is not None:
            headers["traceparent"] = span.traceparent
        message = WebhookMessage(
            self.webhook.endpoint.url,
            str(held.event_id),
            held.value,
            secrets,
            headers,
            task_id=item.task_id,
            position=item.position,
        )
        try:
            with self._within(span):
                answer = await self._send_message(message)
        except BaseException as error:
            if span is not None:
                span.end(type(error).__name__)
            raise
        if span is not None:
            span.set({} if answer.status is None else {"http.response.status_code": answer.status})
            span.end(None if answer.verdict is Verdict.DELIVERED else answer.verdict.value)
        self._note(item, answer)

    async def _send_message(self, message: WebhookMessage) -> EndpointAnswer:
        try:
            return await self._sender.send(message)
        except Exception as error:  # a bug: without an answer the event, and so its lane, would wait for ever
            _log.exception("a delivery broke", extra={**message.log_fields, **self._about()})
            return EndpointAnswer(Verdict.FAILED, None, f"the deliverer itself failed: {type(error).__name__}", 0)

    def _within(self, span: Span | None) -> AbstractContextManager[None]:
        """Log lines in the block have the ids of the span."""
        return nullcontext() if self._tracing is None else self._tracing.within(span)

    def _begin_span(self, item: Item, held: _Held) -> Span | None:
        if self._tracing is None:
            return None
        attributes = of_task(item.task_id) | {
            "cloudevents.event_id": str(held.event_id),
            "cloudevents.event_type": held.type,
            "http.request.method": "POST",
            "pulp.subscription.id": str(self.webhook.subscription_id),
            "pulp.subscription.name": self.webhook.endpoint.name,
        }
        return self._tracing.begin("deliver", Kind.CLIENT, held.traceparent, attributes)

    def _note(self, item: Item, answer: EndpointAnswer) -> None:
        self._answered.append(_Answered(item, answer))
        self.wake()

    def _sees_all(self) -> bool:
        role = self._shared.roles.get(user_of(self.webhook.created_by))
        return role is not None and sees_all(role, is_scoped=self._shared.is_scoped)

    async def _seen(self, items: Sequence[Item]) -> set[UUID]:
        """Those of the tasks that the subscription's user may see now."""
        task_ids = {item.task_id for item in items}
        if self._sees_all():
            return task_ids
        if user_of(self.webhook.created_by) not in self._shared.roles:
            return set()
        async with self._shared.connection() as connection:
            origins = {item.task_id: self._held[item.position].origin for item in items}
            unknown = {task_id for task_id, origin in origins.items() if origin is None}
            if unknown:  # the user saw all tasks when these were read
                origins |= await delivering.origins_of(connection, unknown)
            return await visible(connection, self.webhook.created_by, origins)

    async def _secrets(self) -> list[bytes]:
        wanted = self.webhook.secrets_at(datetime.now(UTC))
        async with self._shared.connection() as connection:
            found = await delivering.secrets_of(connection, wanted)
        if not found:
            raise TopicMismatch("its secret is not in Postgres: rotate it")
        return found

    def _settle(
        self, outbox: Outbox
    ) -> tuple[tuple[list[DeliveryRow], list[DeliveryRow], str | None] | None, str | None]:
        """The outcomes of the answers: rows to store, and why the endpoint is given up."""
        answered, self._answered = self._answered, []
        if not answered:
            return None, None
        deliveries: list[DeliveryRow] = []
        parked: list[DeliveryRow] = []
        error = reason = None
        now_s = time.monotonic()
        for item, answer in answered:
            settled = outbox.settle(item, answer.verdict, now_s, asked_pause_s=answer.pause_s)
            held = self._held[item.position]
            if settled.outcome is not Outcome.WITHHELD:
                row = _row(item, held, answer, settled, now_s)
                deliveries.append(row)
                error = answer.error or error
                if settled.outcome is Outcome.PARKED:
                    parked.append(row)
                if settled.outcome is Outcome.GIVEN_UP:
                    reason = f"given up after {outbox.failures} failures in a row: {answer.error}"
                    reason = answer.error if answer.verdict is Verdict.GONE else reason
        for position in [each for each in self._held if not outbox.holds(each)]:
            self._held_bytes -= len(self._held.pop(position).value)
        return (deliveries, parked, error), reason

    async def _keep(
        self, outbox: Outbox, epoch: int, found: tuple[list[DeliveryRow], list[DeliveryRow], str | None]
    ) -> Place:
        """Store how far it is. Only then is an event settled for a deliverer that comes after this one."""
        deliveries, parked, error = found
        place = outbox.place()
        left_s = outbox.not_before_s - time.monotonic()
        report = DeliveryReport(
            failures=outbox.failures,
            retry_in_s=left_s if left_s > 0 else None,
            cursors=place.cursors,
            ahead=place.ahead,
            parked=parked,
            deliveries=deliveries,
            error=error,
        )
        self._unpruned += len(deliveries)
        async with self._shared.connection() as connection:
            await delivering.keep(connection, self.webhook.subscription_id, epoch, report)
            if self._unpruned >= _PRUNE_EVERY:
                self._unpruned = 0
                await delivering.prune(connection, self.webhook.subscription_id, most=_KEPT_DELIVERIES)
        return place

    async def _pause(self, outbox: Outbox, most_s: float) -> None:
        due_s = outbox.due_s()
        left_s = most_s if due_s is None else min(most_s, max(0.0, due_s - time.monotonic()))
        try:
            async with asyncio.timeout(left_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _give_up(self, reason: str) -> None:
        """Park the subscription, and wait: its next version has another courier."""
        _log.warning("a subscription is parked: %s", reason, extra=self._about())
        await self._shared.park(self.webhook, reason)
        await asyncio.Event().wait()

    def _about(self) -> dict[str, str]:
        return {"subscription": self.webhook.endpoint.name, "subscription_id": str(self.webhook.subscription_id)}


def _event(record: Record) -> Event | UnknownEvent | None:
    """The event of a record; None if it is not an event, which no subscription gets."""
    try:
        return decode(record.key, record.value)
    except UndecodableRecord:
        return None


def _context(event: Event | UnknownEvent) -> str | None:
    return event.traceparent if isinstance(event, Event) else None


def _row(item: Item, held: _Held, answer: EndpointAnswer, settled: Settled, now_s: float) -> DeliveryRow:
    return DeliveryRow(
        position=item.position,
        event_id=held.event_id,
        event_type=held.type,
        task_id=item.task_id,
        outcome=settled.outcome,
        attempts=settled.attempts,
        status=answer.status,
        error=answer.error,
        took_ms=answer.took_ms,
        retry_in_s=None if settled.next_s is None else max(0.0, settled.next_s - now_s),
    )


def test_event(webhook: Webhook, test_id: UUID, event_type: str, at: datetime) -> bytes:
    """The CloudEvent that a test sends."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": str(test_id),
            "source": f"/pulp/subscriptions/{webhook.subscription_id}",
            "type": event_type,
            "subject": str(webhook.subscription_id),
            "time": at,
            "datacontenttype": "application/json",
            "data": {"subscription": webhook.endpoint.name},
        }
    )
