"""The deliverer: it projects the topic of subscriptions, and runs a courier for each active one.

It runs alongside the elected dispatcher. An earlier deliverer that still runs by mistake can store nothing, so it
cannot move a position; at worst an event is sent twice, with the same id.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, Never
from uuid import UUID

import httpcore
from psycopg import AsyncConnection
from pulp_accounts import quota_store
from pulp_accounts.users import Role
from pulp_events import admin
from pulp_events.errors import LogError, ReadError, TopicMismatch
from pulp_events.filters import Origins
from pulp_events.ids import derived_id
from pulp_events.kafka import Servers
from pulp_events.ordered_topic import OrderedReader, TopicRange, look_at_topic
from pulp_events.webhook import Webhook, WebhookState
from pulp_events.webhook_events import SubscriptionParked, WebhookEvent
from pulp_events.webhook_log import WebhookLog
from pulp_projections.away import ANY, each_once, keep_trying
from pulp_projections.connection import connect
from pulp_projections.topic_projector import PositionMoved
from pulp_projections.webhooks import delivering
from pulp_projections.webhooks.projector import TEST_TYPE, WebhookProjector
from pulp_runtime.outgoing.network import Resolve, resolve
from pulp_runtime.telemetry.tracing import Tracing

from pulp_processor.delivering.courier import Courier, test_event
from pulp_processor.delivering.feed import TaskFeed
from pulp_processor.delivering.outbox import Verdict
from pulp_processor.delivering.sender import SUBSCRIPTION_HEADER, EndpointAnswer, Sender, WebhookMessage
from pulp_processor.delivering.settings import WebhookSettings

DELIVERER: Final = "deliverer"
"""The actor of its decisions."""
_PERIOD_S: Final = 1.0
_TOPIC_PERIOD_S: Final = 5.0
_MOST_REASON: Final = 1024
_TESTS_EACH: Final = 2
"""Tests of one subscription that are sent at a time."""
_PAUSES_S: Final = (1.0, 2.0, 5.0)
_log = logging.getLogger("pulp.deliverer")


class Deliverer:
    """Delivers for all subscriptions of an installation; `run` it as a companion of the elected dispatcher."""

    def __init__(
        self,
        log: WebhookLog,
        servers: Servers,
        topic: str,
        tasks_topic: str,
        conninfo: str,
        settings: WebhookSettings,
        ends_of_tasks: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        is_scoped: bool,
        environment: Mapping[str, str] | None = None,
        lookup: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`topic` is the topic of subscriptions; `ends_of_tasks` are the end offsets of the topic of tasks.

        `is_scoped`: users who do not see all tasks get only events of their own tasks. `environment` names proxies.
        `lookup` and `network` replace the network in tests.
        """
        self._log, self._servers, self._topic, self._tasks_topic = log, servers, topic, tasks_topic
        self._conninfo, self._settings, self._ends_of_tasks = conninfo, settings, ends_of_tasks
        self._is_scoped = is_scoped
        self._environment = os.environ if environment is None else environment
        self._lookup, self._network, self.tracing = lookup, network, tracing

    async def run(self) -> Never:
        """Run for ever; wait while Kafka, its topics or Postgres are away."""
        warn = each_once(partial(_log.warning, "subscriptions do not deliver now: %s"))
        expected = (*ANY, LogError, ReadError, PositionMoved, TimeoutError)
        await keep_trying(self._connect_and_run, warn, on=expected, pauses_s=_PAUSES_S)
        raise AssertionError("it ends by cancelling only")

    def sender(self) -> Sender:
        """For one subscription, so that none waits for the connections of another one."""
        return Sender(self._settings, self._environment, lookup=self._lookup, network=self._network)

    async def _connect_and_run(self) -> Never:
        kafka = admin.connect(self._servers)
        kafka.client.poll(0)
        found = await asyncio.to_thread(look_at_topic, kafka, self._topic)
        async with await connect(self._conninfo, "pulp-deliverer") as connection:
            projector = WebhookProjector(connection, self._topic)
            reader = OrderedReader(self._servers, self._topic, await projector.locate(found), found)
            try:
                async with await connect(self._conninfo, "pulp-deliverer/couriers") as lent:
                    office = _Office(self, lent)
                    try:
                        await self._follow(kafka, projector, reader, office, found)
                    finally:
                        await office.close()
            finally:
                await reader.close()
        raise AssertionError("it follows for ever")

    async def _follow(
        self,
        kafka: admin.Connection,
        projector: WebhookProjector,
        reader: OrderedReader,
        office: "_Office",
        found: TopicRange,
    ) -> Never:
        """Look after the couriers once all that the topic held at the start, `found`, is projected.

        Before that, a later event may have paused, parked or removed a subscription that seems to be active.
        """
        looked_at_s = described_at_s = float("-inf")
        while True:
            records = await reader.poll(_PERIOD_S)
            await projector.project(records)
            await projector.check_position()
            has_caught_up = projector.next_offset >= found.end
            if has_caught_up and (records or time.monotonic() - looked_at_s >= _PERIOD_S):
                looked_at_s = time.monotonic()
                await office.look()
            if time.monotonic() - described_at_s >= _TOPIC_PERIOD_S:
                described_at_s = time.monotonic()
                kafka.client.poll(0)  # otherwise its log lines pile up
                if (await asyncio.to_thread(admin.describe, kafka, self._topic)).topic_id != found.topic_id:
                    raise TopicMismatch(f"topic {self._topic} was created again")

    async def start_feed(self, wake: Callable[[], None]) -> tuple[TaskFeed, str]:
        """The log of tasks from its end on, and the id of its topic."""
        ends = await self._ends_of_tasks()
        kafka = admin.connect(self._servers)
        topic_id = (await asyncio.to_thread(admin.describe, kafka, self._tasks_topic)).topic_id
        return TaskFeed(self._servers, self._tasks_topic, ends, wake), topic_id

    async def park(self, webhook: Webhook, reason: str) -> None:
        """Park the subscription; only the first such event for a version counts."""
        event = WebhookEvent(
            id=derived_id("subscription parked", webhook.subscription_id, webhook.version),
            subscription_id=webhook.subscription_id,
            time=datetime.now(UTC),
            actor=DELIVERER,
            data=SubscriptionParked(version=webhook.version, reason=reason[:_MOST_REASON]),
        )
        await self._log.append(event)

    @property
    def settings(self) -> WebhookSettings:
        """The limits and pauses of deliveries."""
        return self._settings

    @property
    def is_scoped(self) -> bool:
        """Whether some users see only some tasks."""
        return self._is_scoped


class _Office:
    """The couriers, and what they share. Without active subscriptions it does not read the log of tasks."""

    def __init__(self, deliverer: Deliverer, connection: AsyncConnection) -> None:
        self.topic_id = ""
        self.roles: Mapping[str, Role] = {}
        self.is_scoped = deliverer.is_scoped
        self.origins = Origins()
        self._deliverer, self._connection = deliverer, connection
        self._turn = asyncio.Lock()
        self._feed: TaskFeed | None = None
        self._couriers: dict[UUID, tuple[Courier, asyncio.Task[None]]] = {}
        self._tests: dict[UUID, asyncio.Task[None]] = {}

    @property
    def feed(self) -> TaskFeed:
        """The log of tasks."""
        assert self._feed is not None, "it is there while a courier is"
        return self._feed

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """The connection, for one at a time."""
        async with self._turn:
            yield self._connection

    async def park(self, webhook: Webhook, reason: str) -> None:
        """See `Deliverer.park`."""
        await self._deliverer.park(webhook, reason)

    async def look(self) -> None:
        """Run couriers for exactly the active subscriptions, each in its current version; and send tests."""
        async with self.connection() as connection:
            webhooks = {each.subscription_id: each for each in await delivering.all_webhooks(connection)}
            self.roles = {user.name: user.role for user in await quota_store.list_quotas(connection)}
            tests = await delivering.pending_tests(connection, most_each=_TESTS_EACH)
        active = {key: each for key, each in webhooks.items() if each.state is WebhookState.ACTIVE}
        ended = [
            key
            for key, (courier, task) in self._couriers.items()
            if task.done() or key not in active or active[key].version != courier.webhook.version
        ]
        await self._end(ended)
        if active.keys() and self._feed is None:
            self._feed, self.topic_id = await self._deliverer.start_feed(self._wake)
        for key in active.keys() - self._couriers.keys():
            self._start(active[key])
        if not active and self._feed is not None:
            feed, self._feed = self._feed, None
            await feed.close()
        for subscription_id, test_id in tests:
            if test_id not in self._tests and subscription_id in webhooks:
                task = asyncio.create_task(self._test(webhooks[subscription_id], test_id))
                self._tests[test_id] = task
                task.add_done_callback(partial(self._forget_test, test_id))

    async def close(self) -> None:
        """End everything."""
        tests = list(self._tests.values())
        for task in tests:
            task.cancel()
        await asyncio.gather(*tests, return_exceptions=True)
        await self._end(list(self._couriers))
        if self._feed is not None:
            await self._feed.close()

    def _forget_test(self, test_id: UUID, _: "asyncio.Task[None]") -> None:
        self._tests.pop(test_id, None)

    def _wake(self) -> None:
        for courier, _ in self._couriers.values():
            courier.wake()

    def _start(self, webhook: Webhook) -> None:
        sender = self._deliverer.sender()
        courier = Courier(webhook, self, sender, self._deliverer.settings.policy, self._deliverer.tracing)

        async def run() -> None:
            try:
                await courier.run()
            finally:
                await sender.close()

        self._couriers[webhook.subscription_id] = courier, asyncio.create_task(run())

    async def _end(self, keys: list[UUID]) -> None:
        tasks = [self._couriers.pop(key)[1] for key in keys]
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found  # a courier waits by itself while a server is away, so this is a bug

    async def _test(self, webhook: Webhook, test_id: UUID) -> None:
        now = datetime.now(UTC)
        async with self.connection() as connection:
            secrets = await delivering.secrets_of(connection, webhook.secrets_at(now))
        body = test_event(webhook, test_id, TEST_TYPE, now)
        headers = {SUBSCRIPTION_HEADER: str(webhook.subscription_id)}
        message = WebhookMessage(webhook.endpoint.url, str(test_id), body, secrets, headers)
        sender = self._deliverer.sender()
        try:
            answer = EndpointAnswer(Verdict.FAILED, None, "its secret is not in Postgres: rotate it", 0)
            if secrets:
                answer = await sender.send(message)
        except Exception as error:  # a bug: without an outcome the test would be sent again each second
            _log.exception("a test broke", extra=message.log_fields)
            answer = EndpointAnswer(Verdict.FAILED, None, f"the deliverer itself failed: {type(error).__name__}", 0)
        finally:
            await sender.close()
        with contextlib.suppress(*ANY):  # it is sent again
            async with self.connection() as connection:
                await delivering.end_test(
                    connection,
                    test_id,
                    outcome="delivered" if answer.verdict is Verdict.DELIVERED else "failed",
                    status=answer.status,
                    error=answer.error,
                    took_ms=answer.took_ms,
                )
