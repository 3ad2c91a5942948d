"""What Kafka's retention does, at once and at a place that the test chooses."""

from collections.abc import Mapping

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient


def delete_records(kafka: str, topic: str, before: Mapping[int, int]) -> None:
    """Everything before these offsets is gone."""
    client = AdminClient({"bootstrap.servers": kafka})  # its futures never end when it is let go
    futures = client.delete_records([TopicPartition(topic, partition, offset) for partition, offset in before.items()])
    for future in futures.values():
        future.result(30)
