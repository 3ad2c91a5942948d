"""The courier of a subscription, where its own parts fail."""

import logging
from typing import cast
from uuid import UUID

import pytest
from pulp_events.task import Position
from pulp_events.webhook import Webhook
from pulp_events.webhook_events import Endpoint
from pulp_processor.delivering.courier import Courier, Shared, _Held
from pulp_processor.delivering.outbox import Item, Policy, Verdict
from pulp_processor.delivering.sender import EndpointAnswer, Sender, WebhookMessage
from pulp_processor.delivering.settings import WebhookSettings
from pulp_runtime.telemetry.tracing import Tracing

from tests.support.traces import PARENT, TRACE, traced_process

WEBHOOK = Webhook(
    subscription_id=UUID(int=1),
    endpoint=Endpoint(name="chat", url="https://e.example/"),
    secret_id=UUID(int=2),
    created_by="user:jo",
    created_at_ms=0,
    updated_by="user:jo",
    updated_at_ms=0,
    offset=0,
)


class Broken(Sender):
    """Has a bug."""

    async def send(self, message: WebhookMessage) -> EndpointAnswer:
        raise LookupError("a secret of the server")


class Asking(Sender):
    """Notes the trace within which it is called."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__(WebhookSettings.read({}), {})
        self.tracing, self.messages, self.contexts = tracing, list[WebhookMessage](), list[str | None]()

    async def send(self, message: WebhookMessage) -> EndpointAnswer:
        self.messages.append(message)
        self.contexts.append(self.tracing.current)
        return EndpointAnswer(Verdict.DELIVERED, 204, None, 1)


async def test_what_a_delivery_logs_has_its_task_its_position_and_the_ids_of_its_span() -> None:
    async with traced_process("processor") as (_, spans):
        sender = Asking(spans)
        courier = Courier(WEBHOOK, cast("Shared", None), sender, Policy(), spans)
        item = Item(Position(3, 1042), UUID(int=3))
        courier._held[item.position] = _Held(UUID(int=4), "type", b"{}", None, PARENT)
        await courier._send_one(item, [b"k" * 32])
        assert spans.current is None
    [message], [context] = sender.messages, sender.contexts
    assert context == message.headers["traceparent"]
    assert context is not None
    assert TRACE in context
    fields = message.log_fields
    assert {name: fields[name] for name in ("task_id", "partition", "offset")} == {
        "task_id": str(UUID(int=3)),
        "partition": 3,
        "offset": 1042,
    }


async def test_a_bug_counts_as_a_failure_and_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    courier = Courier(WEBHOOK, cast("Shared", None), Broken(WebhookSettings.read({}), {}), Policy())
    item = Item(Position(0, 7), UUID(int=3))
    courier._held[item.position] = _Held(UUID(int=4), "type", b"{}", None, None)
    with caplog.at_level(logging.ERROR, "pulp.deliverer"):
        await courier._send_one(item, [b"k" * 32])
    [(answered, answer)] = courier._answered
    assert (answered, answer.verdict, answer.error) == (
        item,
        Verdict.FAILED,
        "the deliverer itself failed: LookupError",
    )
    assert "a delivery broke" in caplog.text
