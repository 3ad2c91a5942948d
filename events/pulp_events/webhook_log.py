"""Appending to the topic of subscriptions."""

from typing import Protocol

from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.ordered_topic import OrderedLog
from pulp_events.webhook_codec import encode_webhook_event, webhook_key
from pulp_events.webhook_events import WebhookEvent


class WebhookLog(Protocol):
    """Appends the events of subscriptions."""

    async def append(self, event: WebhookEvent) -> int:
        """See `OrderedLog.append`."""
        ...


class KafkaWebhookLog(OrderedLog[WebhookEvent]):
    """A `WebhookLog` on Kafka."""

    def __init__(self, log: KafkaLog, servers: Servers, topic: str) -> None:
        super().__init__(log, servers, topic, webhook_key, encode_webhook_event)
