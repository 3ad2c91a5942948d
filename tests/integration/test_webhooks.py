"""Subscriptions from the API to an endpoint, over real topics and a real Postgres."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Never
from uuid import UUID

import httpx
import msgspec
import pytest
from confluent_kafka import TopicPartition
from msgspec.structs import replace
from pulp_accounts.users import Role
from pulp_api.subscriptions import Subscriptions
from pulp_events import admin
from pulp_events.codec import encode
from pulp_events.events import Event, Resource
from pulp_events.ids import new_id
from pulp_events.log import KafkaLog
from pulp_events.ordered_topic import OrderedReader
from pulp_events.reader import Reader, Record
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_events.webhook_log import KafkaWebhookLog
from pulp_processor.delivering.deliverer import Deliverer
from pulp_processor.delivering.sender import Sender
from pulp_processor.delivering.settings import WebhookSettings
from pulp_projections.connection import connect
from pulp_projections.webhooks.projector import forget_webhooks
from pulp_projections.webhooks.reading import waiting_deliveries
from pulp_runtime.preconditions import deliveries
from pulp_runtime.telemetry.tracing import Tracing
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.backends import Backend
from tests.support.events import accepted, finished, started
from tests.support.site import V3, Site, site
from tests.support.traces import ABOVE, PARENT, TRACE, sent, traced_process
from tests.support.webhooks import EndpointServer, Received, endpoint

SUBSCRIPTIONS = f"{V3}/subscriptions/"
QUICK = {
    "PULP_WEBHOOK_ALLOW": "loopback",
    "PULP_WEBHOOK_BACKOFF_S": "0.02",
    "PULP_WEBHOOK_MAX_BACKOFF_S": "0.1",
    "PULP_WEBHOOK_TOTAL_S": "10",
    "PULP_WEBHOOK_ATTEMPTS": "8",
}


class World:
    """An installation whose tasks are in Kafka and in the read model, with an API for subscriptions."""

    def __init__(self, backend: Backend, topics: Topics, log: KafkaLog, api: Site) -> None:
        self.backend, self.topics, self.log, self.api = backend, topics, log, api
        self.is_scoped = False
        self.tracing: Tracing | None = None

    def deliverer(self, **settings: str) -> Deliverer:
        """A deliverer that is not running yet."""
        return Deliverer(
            KafkaWebhookLog(self.log, self.backend.kafka, self.topics.subscriptions),
            self.backend.kafka,
            self.topics.subscriptions,
            self.topics.events,
            self.api.database,
            WebhookSettings.read({**QUICK, **settings}),
            self.log.end_offsets,
            is_scoped=self.is_scoped,
            environment={},
            tracing=self.tracing,
        )

    @asynccontextmanager
    async def delivering(self, **settings: str) -> AsyncIterator[None]:
        """Run a deliverer meanwhile."""
        task = asyncio.create_task(self.deliverer(**settings).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def tell(self, event: Event, partition: int = 0) -> Position:
        """Append the event to Kafka, and project it."""
        position = await self.log.append(event, partition)
        assert await self.api.add(event, partition) == position
        return position

    async def task(
        self, *, actor: str = "user:jo", operation: str = "sync", partition: int = 0
    ) -> tuple[UUID, list[str]]:
        """A whole task, from submission to end; returns its id, and those of its events."""
        task_id = new_id()
        resources = (Resource("repository", "zoo"),)
        made = accepted(task_id, operation=operation, resources=resources)
        made = Event(id=made.id, task_id=task_id, time=made.time, actor=actor, data=made.data)
        events = [made, started(task_id), finished(task_id)]
        for event in events:
            await self.tell(event, partition)
        return task_id, [str(event.id) for event in events]

    async def create(self, url: str, name: str = "chat", user: str = "jo", **body: object) -> dict[str, Any]:
        """A user creates a subscription."""
        answer = await self.api.as_user(user).post(SUBSCRIPTIONS, json={"name": name, "url": url, **body})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def ask(self, made: dict[str, Any], action: str = "", user: str = "jo", **body: object) -> dict[str, Any]:
        """Do something with it, or read it."""
        client, path = self.api.as_user(user), f"{made['pulp_href']}{action}"
        answer = await (client.post(path, json=body) if action.endswith("/") and action else client.get(path))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, made: dict[str, Any], holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The subscription, as soon as it shows this."""
        async with asyncio.timeout(60):
            while not holds(shown := await self.ask(made)):  # noqa: ASYNC110  # the tables tell nobody
                await asyncio.sleep(0.02)
        return shown


@pytest.fixture
async def world(backend: Backend, database: str, topics: Topics) -> AsyncIterator[World]:
    log = KafkaLog(backend.kafka, topics.events, 4)
    try:
        async with site(database) as api:
            yield await prepared(World(backend, topics, log, api))
    finally:
        await log.close()


async def prepared(world: World) -> World:
    """A world whose API has the topic of subscriptions, and some users."""
    transport = world.api.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    app: Any = transport.app
    topic_id = admin.describe(world.backend.kafka, world.topics.events).topic_id
    subscriptions = KafkaWebhookLog(world.log, world.backend.kafka, world.topics.subscriptions)
    app.state.subscriptions = Subscriptions(subscriptions, world.log, topic_id, app.state.service.connection)
    for name, role in (("jo", Role.SUBMITTER), ("kim", Role.SUBMITTER), ("op", Role.OPERATOR), ("vi", Role.VIEWER)):
        await world.api.add_user(name, role)
    return world


def secret_of(made: dict[str, Any], receiver: EndpointServer) -> None:
    """Give the receiver the secret."""
    receiver.secret = Webhook(made["secret"])._whsecret


async def test_an_event_is_delivered_as_it_is_in_the_log_signed_and_as_a_cloudevent(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url("/in?x=1"))
        secret_of(made, receiver)
        event = accepted(new_id(), operation="sync")
        position = await world.tell(event)
        await receiver.have(lambda: len(receiver.taken) == 1)
        [request] = receiver.taken
        assert (request.path, request.event_id, request.position) == ("/in?x=1", str(event.id), position)
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert request.headers["pulp-subscription"] in made["pulp_href"]
        assert httpx.Response(200, content=encode(event)).json() == request.body
        shown = await world.until(made, lambda each: each["delivered"] == 1)
        [row] = (await world.api.as_user("jo").get(f"{made['pulp_href']}deliveries/")).json()["results"]
        assert (row["event_id"], row["outcome"], row["attempts"], row["status"], row["position"]) == (
            *(str(event.id), "delivered", 1, 204),
            str(position),
        )
    assert shown["state"] == "active"
    assert [int(offset) for offset in shown["cursor"].split(".")[1:]] == [1, 0, 0, 0]


async def test_each_attempt_to_deliver_an_event_is_a_span_of_its_trace(world: World) -> None:
    statuses = iter([503, 204, 204])
    async with traced_process("processor") as (made, spans), endpoint(lambda _: next(statuses)) as receiver:
        world.tracing = spans
        async with world.delivering():
            secret_of(await world.create(receiver.url()), receiver)
            traced = replace(accepted(), traceparent=PARENT)
            await world.tell(traced)
            await receiver.have(lambda: len(receiver.requests) == 2)
            await world.tell(accepted())  # without a trace
            await receiver.have(lambda: len(receiver.requests) == 3)
        found = sorted(await sent(made, spans), key=lambda span: span.start_ns)
    assert [(span.name, span.kind, span.trace_id, span.parent_id) for span in found] == [
        ("deliver", "client", TRACE, ABOVE)
    ] * 2
    assert [(span.is_error, span.attributes["http.response.status_code"]) for span in found] == [
        (True, 503),
        (False, 204),
    ]
    assert {span.attributes["pulp.task.id"] for span in found} == {str(traced.task_id)}
    received = [request.headers.get("traceparent") for request in receiver.requests]
    assert received == [*(f"00-{TRACE}-{span.span_id}-01" for span in found), None]


async def test_a_secret_is_shown_once_and_is_in_no_event_and_no_other_answer(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url())
        rotated = await world.ask(made, "rotate-secret/", overlap_seconds=60)
        texts = [str(await world.ask(made)), (await world.api.as_user("jo").get(SUBSCRIPTIONS)).text]
    assert made["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    kafka, topic = world.backend.kafka, world.topics.subscriptions
    with Reader(kafka, topic, {0: 0}) as reader:
        for _, records in reader.until(admin.end_offsets(kafka, topic, 1)):
            texts += [str(record) for record in records]
    for secret in (made["secret"], rotated["secret"]):
        raw = Webhook(secret)._whsecret
        for text in texts:
            assert secret.removeprefix("whsec_") not in text
            assert raw.hex() not in text
            assert repr(raw)[2:-1] not in text


async def test_filters_decide_by_type_and_by_the_task(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url(), filter={"types": ["finished"], "operations": ["sync"]})
        secret_of(made, receiver)
        await world.task(operation="publish")
        task_id, ids = await world.task(operation="sync", partition=1)
        await receiver.have(lambda: bool(receiver.taken))
    assert [(each.body["subject"], each.event_id) for each in receiver.taken] == [(str(task_id), ids[2])]


async def test_a_user_gets_only_what_the_user_may_see_and_that_is_decided_at_delivery(world: World) -> None:
    world.is_scoped = True
    async with endpoint() as receiver, endpoint() as operators, world.delivering():
        for user, server in (("jo", receiver), ("op", operators)):
            made = await world.create(server.url(), name=f"of-{user}", user=user)
            secret_of(made, server)
        own, ids = await world.task(actor="user:jo")
        kims, _ = await world.task(actor="user:kim")
        await operators.have(lambda: len(operators.taken) == 6)
        await receiver.have(lambda: len(receiver.taken) == 3)
        assert {each.body["subject"] for each in receiver.taken} == {str(own)}
        assert [each.event_id for each in receiver.taken] == ids
        await world.api.execute("insert into task_roles values (%s, 'jo', 'viewer')", kims)
        await world.tell(finished(kims))
        await receiver.have(lambda: len(receiver.taken) == 4)
    assert receiver.taken[-1].body["subject"] == str(kims)


async def test_an_endpoint_that_fails_gets_the_events_again_in_order_with_the_same_ids(world: World) -> None:
    answers: Iterator[int | tuple[int, dict[str, str]]]
    answers = iter([503, 500, 204, (429, {"Retry-After": "0"}), 302, 204, 204])
    async with endpoint(lambda _: next(answers)) as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        _, ids = await world.task()
        await receiver.have(lambda: len(receiver.taken) == 3)
        shown = await world.until(made, lambda each: each["delivered"] == 3)
    assert [each.event_id for each in receiver.taken] == ids
    assert [each.event_id for each in receiver.requests] == [ids[0]] * 3 + [ids[1]] * 3 + [ids[2]]
    assert shown["failures_in_a_row"] == 0
    assert "redirects are not followed" in shown["last_error"]


async def test_a_dead_endpoint_slows_nobody(world: World) -> None:
    async def hang(_: Received) -> int:
        await asyncio.sleep(3600)
        return 204

    async with endpoint(hang) as dead, endpoint() as receiver, world.delivering(PULP_WEBHOOK_TOTAL_S="60"):
        stuck = await world.create(dead.url(), name="stuck")
        secret_of(stuck, dead)
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        for number in range(20):
            await world.task(partition=number % 4)
        await receiver.have(lambda: len(receiver.taken) == 60, limit_s=30)
        assert dead.most_open <= 8
        shown = await world.ask(stuck)
    assert shown["delivered"] == 0
    assert [int(offset) for offset in shown["cursor"].split(".")[1:]] == [0, 0, 0, 0], (
        "it still has everything before it"
    )


async def test_after_the_limit_it_is_parked_and_goes_on_from_there_when_resumed(world: World) -> None:
    is_up = False
    async with endpoint(lambda _: 204 if is_up else 503) as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        first, ids = await world.task()
        shown = await world.until(made, lambda each: each["state"] == "parked")
        assert shown["reason"] == "given up after 8 failures in a row: the endpoint answered 503"
        async with await connect(world.api.database, "test") as connection:
            [waiting] = await waiting_deliveries(connection)
            [finding] = await deliveries.look(connection)
        assert (waiting.name, waiting.state, waiting.events, waiting.parked_tasks) == ("chat", "parked", 3, 0)
        assert waiting.oldest_s > 0
        assert (finding.check, finding.subject) == ("subscription-parked", "chat")
        assert finding.mend == "mend the endpoint; then: pulp-admin subscriptions resume chat"
        asked = len(receiver.requests)
        second, more = await world.task()
        is_up = True
        assert len(receiver.requests) == asked, "a parked subscription is left alone"
        assert (await world.ask(made, "resume/"))["state"] == "active"
        await receiver.have(lambda: len(receiver.taken) == 6)
        await world.until(made, lambda each: each["delivered"] == 6)
        async with await connect(world.api.database, "test") as connection:
            assert [(each.events, each.oldest_s) for each in await waiting_deliveries(connection)] == [(0, 0.0)]
            assert await deliveries.look(connection) == []
    for task_id, expected in ((first, ids), (second, more)):
        assert [each.event_id for each in receiver.taken if each.body["subject"] == str(task_id)] == expected


async def test_the_log_of_deliveries_is_bounded_although_the_deliverer_is_restarted_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_processor.delivering.courier._KEPT_DELIVERIES", 2)
    made: dict[str, Any] = {}

    async def is_kept(number: int) -> bool:
        if (await world.ask(made))["delivered"] < number:
            return False
        return bool((await world.ask(made, "deliveries/?limit=1"))["count"] == min(number, 2))

    async with endpoint() as receiver:
        for number in range(1, 5):
            async with world.delivering():
                if not made:
                    made = await world.create(receiver.url())
                    secret_of(made, receiver)
                await world.tell(accepted(new_id()))
                async with asyncio.timeout(30):
                    while not await is_kept(number):  # noqa: ASYNC110  # the tables tell nobody
                        await asyncio.sleep(0.02)


async def test_where_the_log_was_cut_it_is_parked_and_says_how_to_go_on(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        await world.ask(made, "pause/")
        _, ids = await world.task()
        place = TopicPartition(world.topics.events, 0, 2)
        client = admin.connect(world.backend.kafka).client
        await asyncio.to_thread(client.delete_records([place], request_timeout=20)[place].result, 30)
        await world.ask(made, "resume/")
        shown = await world.until(made, lambda each: each["state"] == "parked")
        assert shown["reason"] == (
            "the log no longer holds the events that come next: Kafka keeps them for a limited time. Redeliver from"
            " what it has (--since beginning), or from now"
        )
        again = {"since": shown["cursor"]}
        cut_off = await world.api.as_user("jo").post(f"{made['pulp_href']}redeliver/", json=again)
        assert cut_off.status_code == 400
        assert cut_off.json()["since"][0].startswith("event 0:0 comes next, and the log begins at 0:2: Kafka")
        await world.ask(made, "redeliver/", since="beginning")
        await receiver.have(lambda: bool(receiver.taken))
    assert [each.event_id for each in receiver.taken] == ids[2:]


async def test_an_event_that_is_refused_parks_its_task_and_a_redelivery_brings_it(world: World) -> None:
    takes_all = False
    bad: list[str] = []

    def answer(request: Received) -> int:
        return 422 if not takes_all and request.body["subject"] in bad else 204

    async with endpoint(answer) as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        other, _ = await world.task()
        await receiver.have(lambda: len(receiver.taken) == 3)
        task_id = new_id()
        bad.append(str(task_id))
        events = [accepted(task_id), started(task_id), finished(task_id)]
        for event in events:
            await world.tell(event, 1)
        shown = await world.until(made, lambda each: each["parked_tasks"] == 1)
        _, later = await world.task(partition=1)
        await receiver.have(lambda: len(receiver.taken) == 6)
        assert shown["state"] == "active"
        [parked] = shown["parked"]
        assert (parked["task"], parked["position"]) == (f"{V3}/tasks/{task_id}/", "1:0")
        assert parked["error"] == "the endpoint answered 422: it does not take this event"
        async with await connect(world.api.database, "test") as connection:
            [finding] = await deliveries.look(connection)
            [waiting] = await waiting_deliveries(connection)
        assert (finding.check, finding.wrong.partition(",")[0]) == ("subscription-tasks-parked", "1 task is parked")
        assert waiting.parked_tasks == 1
        takes_all = True
        assert (await world.ask(made, "redeliver/"))["parked_tasks"] == 0
        await receiver.have(lambda: len([each for each in receiver.taken if each.body["subject"] in bad]) == 3)
    again = [each.event_id for each in receiver.taken if each.body["subject"] in bad]
    assert again == [str(event.id) for event in events]
    assert str(other) not in [each.body["subject"] for each in receiver.taken[6:]], "nothing before it is sent again"
    assert later[0] in [each.event_id for each in receiver.taken[3:6]]


async def test_a_redelivery_from_a_cursor_sends_the_same_ids_again(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        await world.task()
        cursor = (await world.until(made, lambda each: each["delivered"] == 3))["cursor"]
        _, ids = await world.task()
        await world.until(made, lambda each: each["delivered"] == 6)
        await world.ask(made, "redeliver/", since=cursor)
        await receiver.have(lambda: len(receiver.taken) == 9)
    assert [each.event_id for each in receiver.taken[3:]] == ids * 2


async def test_a_redelivery_ends_the_retries_of_before(world: World) -> None:
    pauses = {"PULP_WEBHOOK_BACKOFF_S": "60", "PULP_WEBHOOK_MAX_BACKOFF_S": "60"}
    async with endpoint(lambda _: 503) as receiver, world.delivering(**pauses):
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        await world.task()
        await world.until(made, lambda each: each["failures_in_a_row"] == 1)
        assert (await world.ask(made, "deliveries/?outcome=retried"))["count"] == 1
        await world.ask(made, "redeliver/", since="now")
        assert (await world.ask(made, "deliveries/?outcome=retried"))["count"] == 0
        [row] = (await world.ask(made, "deliveries/?limit=10"))["results"]
    assert (row["outcome"], row["attempts"], row["next_attempt"]) == ("given-up", 1, None)


async def test_for_a_while_two_secrets_sign_and_then_only_the_new_one(world: World) -> None:
    async with endpoint() as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        rotated = await world.ask(made, "rotate-secret/", overlap_seconds=3600)
        await world.tell(accepted(new_id()))
        await receiver.have(lambda: len(receiver.taken) == 1)
        [request] = receiver.taken
        signatures = request.headers["webhook-signature"].split(" ")
        assert len(signatures) == 2
        ended = await world.ask(made, "rotate-secret/", overlap_seconds=0)
        secret_of(ended, receiver)
        await world.tell(accepted(new_id()))
        await receiver.have(lambda: len(receiver.taken) == 2)
        assert len(receiver.taken[1].headers["webhook-signature"].split(" ")) == 1
    assert receiver.refused == []
    body = encode_json(receiver.taken[1].body)
    for old in (made["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(body, dict(receiver.taken[1].headers))


def encode_json(body: Any) -> bytes:
    """As some JSON."""
    return msgspec.json.encode(body)


async def test_a_pause_keeps_the_place_and_a_deleted_one_gets_nothing(world: World) -> None:
    async with endpoint() as receiver, endpoint() as other, world.delivering():
        made = await world.create(receiver.url())
        witness = await world.create(other.url(), name="witness")
        secret_of(made, receiver)
        secret_of(witness, other)
        assert (await world.ask(made, "pause/"))["state"] == "paused"
        _, ids = await world.task()
        await other.have(lambda: len(other.taken) == 3)
        assert receiver.requests == []
        await world.ask(made, "resume/")
        await receiver.have(lambda: len(receiver.taken) == 3)
        assert [each.event_id for each in receiver.taken] == ids
        assert (await world.api.as_user("jo").delete(made["pulp_href"])).status_code == 204
        await world.task()
        await other.have(lambda: len(other.taken) == 6)
        assert len(receiver.requests) == 3
        assert await world.api.execute("select count(*) from subscription_secrets") == [(1,)]
        assert (await world.api.as_user("jo").get(made["pulp_href"])).status_code == 404


async def test_a_test_is_sent_once_and_told(world: World) -> None:
    answers = iter([204, 500])
    async with endpoint(lambda _: next(answers)) as receiver, world.delivering():
        made = await world.create(receiver.url())
        secret_of(made, receiver)
        first, second = await world.ask(made, "test/"), await world.ask(made, "test/")
    assert (first["outcome"], first["status"], first["task"]) == ("delivered", 204, None)
    assert (second["outcome"], second["error"]) == ("failed", "the endpoint answered 500")
    assert [each.body["type"] for each in receiver.requests] == ["org.pulpproject.subscription.test.v1"] * 2
    assert [each.event_id for each in receiver.requests] == [first["event_id"], second["event_id"]]


async def test_a_test_that_a_bug_ends_is_told_and_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(*_: object) -> Never:
        raise LookupError("a secret of the server")

    monkeypatch.setattr(Sender, "send", break_down)
    async with world.delivering():
        found = await world.ask(await world.create("https://e.example/"), "test/")
    assert (found["outcome"], found["error"]) == ("failed", "the deliverer itself failed: LookupError")
    assert [line.__dict__["event"] for line in caplog.records if line.getMessage() == "a test broke"] == [
        found["event_id"]
    ]


async def test_filling_the_tables_again_and_another_deliverer_send_nothing(world: World) -> None:
    async with endpoint() as receiver:
        async with world.delivering():
            made = await world.create(receiver.url(), since="beginning")
            secret_of(made, receiver)
            await world.task()
            await world.until(made, lambda each: each["delivered"] == 3)
            await world.ask(made, "redeliver/", since="beginning")
            before = await world.until(made, lambda each: each["delivered"] == 6)
        async with await connect(world.api.database, "test") as connection:
            await forget_webhooks(connection)
        async with world.delivering():
            async with asyncio.timeout(30):
                while (await world.api.as_user("jo").get(made["pulp_href"])).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            _, ids = await world.task()
            after = await world.until(made, lambda each: each["delivered"] == 9)
    assert [each.event_id for each in receiver.taken[6:]] == ids
    assert before["cursor"] != after["cursor"]


async def test_filling_the_tables_again_starts_nothing_before_the_last_event_is_projected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endpoint() as receiver, endpoint() as other:
        async with world.delivering():
            paused = await world.create(receiver.url())
            secret_of(paused, receiver)
            await world.ask(paused, "pause/")
            removed = await world.create(receiver.url(), name="removed")
            assert (await world.api.as_user("jo").delete(removed["pulp_href"])).status_code == 204
            witness = await world.create(other.url(), name="witness")
            secret_of(witness, other)
            await world.task()
            await world.until(witness, lambda each: each["delivered"] == 3)
        async with await connect(world.api.database, "test") as connection:
            await forget_webhooks(connection)
        read_all = OrderedReader.poll

        async def read_slowly(reader: OrderedReader, timeout_s: float) -> Sequence[Record]:
            records = await read_all(reader, timeout_s)
            if records and records[0].offset > 0:  # a courier that the previous page has started sends meanwhile
                with contextlib.suppress(TimeoutError):
                    await receiver.have(lambda: bool(receiver.requests or receiver.refused), limit_s=1)
            return records

        read_page = Reader.poll
        monkeypatch.setattr(Reader, "poll", lambda reader, timeout_s, **_: read_page(reader, timeout_s, most=1))
        monkeypatch.setattr(OrderedReader, "poll", read_slowly)
        ends = admin.end_offsets(world.backend.kafka, world.topics.subscriptions, 1)
        async with world.delivering():
            await world.tell(accepted(new_id()))
            await other.have(lambda: len(other.taken) == 4)
        assert (receiver.requests, receiver.refused) == ([], [])
        assert admin.end_offsets(world.backend.kafka, world.topics.subscriptions, 1) == ends, "and it changes nothing"


async def test_tests_of_one_subscription_delay_no_others(world: World) -> None:
    hold = asyncio.Event()

    async def hang(_: Received) -> int:
        await hold.wait()
        return 204

    async with endpoint(hang) as dead, endpoint() as receiver, world.delivering(PULP_WEBHOOK_TOTAL_S="60"):
        stuck = await world.create(dead.url(), name="stuck")
        secret_of(stuck, dead)
        waiting = [asyncio.create_task(world.api.as_user("jo").post(f"{stuck['pulp_href']}test/")) for _ in range(21)]
        try:
            await dead.have(lambda: dead.open_requests == 2)
            pending = "select count(*) from subscription_deliveries where outcome = 'pending'"
            async with asyncio.timeout(30):
                while await world.api.execute(pending) != [(21,)]:  # noqa: ASYNC110  # the tables tell nobody
                    await asyncio.sleep(0.02)
            made = await world.create(receiver.url(), user="kim")
            secret_of(made, receiver)
            assert (await world.ask(made, "test/", user="kim"))["outcome"] == "delivered"
            assert (await world.api.as_user("jo").delete(stuck["pulp_href"])).status_code == 204
            assert {(await each).status_code for each in waiting} == {404}, "none waits for ever"
        finally:
            hold.set()
            await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_removed_subscription_leaves_no_rows_also_when_the_tables_are_filled_again(world: World) -> None:
    tables = ("progress", "cursors", "parked", "deliveries", "secrets")
    counts = " union all ".join(f"select count(*) from subscription_{each}" for each in tables)

    def answer(request: Received) -> int:
        return 422 if request.body["type"].endswith(".finished.v1") else 204

    async with endpoint(answer) as receiver:
        async with world.delivering():
            made = await world.create(receiver.url())
            secret_of(made, receiver)
            await world.task()
            await world.until(made, lambda each: each["parked_tasks"] == 1)
            await world.ask(made, "test/")
            assert all(count > 0 for (count,) in await world.api.execute(counts))
            assert (await world.api.as_user("jo").delete(made["pulp_href"])).status_code == 204
            assert {count for (count,) in await world.api.execute(counts)} == {0}
            assert (await world.api.as_user("jo").get(f"{made['pulp_href']}deliveries/")).status_code == 404
        async with await connect(world.api.database, "test") as connection:
            await forget_webhooks(connection)
        requests = len(receiver.requests)
        async with world.delivering():
            made = await world.create(receiver.url())  # with the same name: the earlier one is projected as removed
            assert [count for (count,) in await world.api.execute(counts)] == [1, 4, 0, 0, 1]
        assert len(receiver.requests) == requests


async def test_filling_the_tables_again_keeps_the_secrets_that_sign_and_no_others(world: World) -> None:
    secrets = "select secret_id from subscription_secrets order by created_at"
    async with endpoint() as receiver:
        async with world.delivering():
            made = await world.create(receiver.url())
            for _ in range(3):
                await world.api.execute("update subscription_secrets set created_at = created_at - interval '1 day'")
                rotated = await world.ask(made, "rotate-secret/", overlap_seconds=3600)
            secret_of(rotated, receiver)
            kept = await world.api.execute(secrets)
            assert len(kept) == 2
            await world.api.execute("update subscription_secrets set created_at = created_at - interval '1 day'")
        async with await connect(world.api.database, "test") as connection:
            await forget_webhooks(connection)
        async with world.delivering():
            await world.tell(accepted(new_id()))
            await receiver.have(lambda: len(receiver.taken) == 1)
            assert await world.api.execute(secrets) == kept
    assert len(receiver.taken[0].headers["webhook-signature"].split(" ")) == 2


async def test_a_test_is_not_sent_again_however_old_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_processor.delivering.courier._KEPT_DELIVERIES", 1)
    monkeypatch.setattr("pulp_processor.delivering.courier._PRUNE_EVERY", 1)
    async with endpoint() as receiver:
        async with world.delivering():
            made = await world.create(receiver.url())
            secret_of(made, receiver)
            await world.ask(made, "test/")
            await world.task()
            await world.until(made, lambda each: each["delivered"] == 3)
        async with await connect(world.api.database, "test") as connection:
            await forget_webhooks(connection)
        async with world.delivering():
            await world.tell(accepted(new_id()))
            await receiver.have(lambda: len(receiver.requests) == 5)
            assert (await world.ask(made, "test/"))["outcome"] == "delivered"  # all earlier ones are decided now
    tests = [each.event_id for each in receiver.requests if each.body["type"].endswith("subscription.test.v1")]
    assert len(tests) == 2, "one each"


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"url": "ftp://example.org/"}, "url", "valid http or https URL"),
        ({"url": "http://example.org:99999/"}, "url", "valid http or https URL"),
        ({"url": "https://jo:secret@example.org/"}, "url", "user name or password"),
        ({"url": "http://127.1/"}, "url", "Write an address in full"),
        ({"since": "yesterday-ish"}, "since", "expected is beginning, now"),
        ({"filter": {"types": ["ended"]}}, "detail", "no event has this type"),
        ({"filter": {"types": ["finished", "undecodable"]}}, "filter", "a subscription delivers only events"),
        ({"secret": "x"}, "detail", "secret is not a known field (known are: name, url, filter, since)"),
    ],
)
async def test_what_cannot_be_delivered_is_refused_with_the_field(
    world: World, body: dict[str, Any], field: str, words: str
) -> None:
    answer = await world.api.as_user("jo").post(
        SUBSCRIPTIONS, json={"name": "chat", "url": "https://e.example/", **body}
    )
    assert answer.status_code == 400
    assert words in str(answer.json()[field])


async def test_what_any_submitter_may_make_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.subscriptions.MOST_OF_A_USER", 2)
    async with world.delivering():
        made = [await world.create("https://e.example/", name=f"of-jo-{number}") for number in range(2)]
        body = {"name": "one-more", "url": "https://e.example/"}
        refused = await world.api.as_user("jo").post(SUBSCRIPTIONS, json=body)
        assert (refused.status_code, refused.json()["detail"]) == (
            400,
            "user jo has 2 subscriptions, at most 2 are allowed: delete one that is not needed any more, or ask an"
            " administrator to make it",
        )
        assert (await world.api.as_user("kim").post(SUBSCRIPTIONS, json=body)).status_code == 201, (
            "others have their own"
        )
        for number in range(3):
            answer = await world.api.client.post(SUBSCRIPTIONS, json={**body, "name": f"of-admin-{number}"})
            assert answer.status_code == 201
        await world.api.as_user("jo").delete(made[0]["pulp_href"])
        await world.create("https://e.example/", name="instead")


async def test_who_may_make_and_see_subscriptions(world: World) -> None:
    async with world.delivering():
        made = await world.create("https://chat.example.org/")
        names: dict[str, list[str]] = {}
        for user in ("jo", "kim", "op", "vi"):
            found = (await world.api.as_user(user).get(SUBSCRIPTIONS)).json()["results"]
            names[user] = [each["name"] for each in found]
        assert names == {"jo": ["chat"], "kim": [], "op": [], "vi": []}
        assert [each["name"] for each in (await world.api.client.get(SUBSCRIPTIONS)).json()["results"]] == ["chat"]
        body = {"name": "x", "url": "https://e.example/"}
        assert (await world.api.as_user("vi").post(SUBSCRIPTIONS, json=body)).status_code == 403
        same = await world.api.as_user("kim").post(SUBSCRIPTIONS, json={"name": "chat", "url": "https://e.example/"})
        assert (same.status_code, same.json()) == (400, {"name": ["This field must be unique."]})
        kept = await world.api.execute("select subscription_id from subscription_secrets")
        assert [str(each) for (each,) in kept] == [made["pulp_href"].split("/")[-2]], "that of nobody is deleted"
        for action in ("pause/", "resume/", "redeliver/", "rotate-secret/", "test/"):
            assert (await world.api.as_user("kim").post(f"{made['pulp_href']}{action}")).status_code == 404
        assert (await world.api.as_user("kim").delete(made["pulp_href"])).status_code == 404
        assert (await world.api.client.delete(made["pulp_href"])).status_code == 204
