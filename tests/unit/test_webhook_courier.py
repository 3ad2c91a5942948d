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
