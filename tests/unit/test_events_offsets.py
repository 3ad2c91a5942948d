"""Asking where the log ends while its topic has no leaders yet."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec
from pulp_events.offsets import Offsets

PLACE = TopicPartition("events", 0)


class JustMade:
    """A cluster where the topic has been made a moment ago: its partition has a leader from the second question on."""

    def __init__(self) -> None:
        self.asked = 0

    def list_offsets(self, requests: Mapping[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        self.asked += 1
        answer: Future[Any] = Future()
        if self.asked == 1:
            answer.set_exception(KafkaException(KafkaError(KafkaError._NOENT, "No leaders found")))
        else:
            answer.set_result(ListOffsetsResultInfo(7, 0, 0))
        return {PLACE: answer}

    def list_topics(self, *arguments: Any, **options: Any) -> None:
        pass


async def test_a_topic_without_leaders_yet_is_asked_again() -> None:
    admin = JustMade()
    assert await Offsets(cast(AdminClient, admin), [PLACE], 10).ask(OffsetSpec.latest()) == {0: 7}
    assert admin.asked == 2
