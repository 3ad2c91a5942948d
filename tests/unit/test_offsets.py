"""The end of the log is requested again if Kafka does not know it at the moment."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec
from pulp_events import admin
from pulp_events.errors import LogRefused, LogUnavailable
from pulp_events.kafka import Kafka
from pulp_events.offsets import Offsets
from pulp_events.refusals import Refusals


class Brokers:
    """An admin client that gives these answers: an offset, or the code of an error."""

    def __init__(self, *answers: int | KafkaError) -> None:
        self.left = list(answers)

    def list_offsets(self, wanted: dict[TopicPartition, OffsetSpec], **_: Any) -> dict[TopicPartition, Future[Any]]:
        answer = self.left.pop(0)
        future: Future[Any] = Future()
        if isinstance(answer, KafkaError):
            future.set_exception(KafkaException(answer))
        else:
            future.set_result(ListOffsetsResultInfo(answer, -1, -1))
        return dict.fromkeys(wanted, future)

    def poll(self, _: float) -> None:
        """Run the pending callbacks."""

    def list_topics(self, *_: Any) -> None:
        """Finds the leaders; nothing to do here."""


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._NOENT,  # for a topic created a moment ago, whose partitions have no leaders yet
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.KAFKA_STORAGE_ERROR,
    ],
)
async def test_what_passes_is_asked_again(code: int) -> None:
    brokers: Any = Brokers(KafkaError(code), KafkaError(code), 7)
    assert await Offsets(brokers, [TopicPartition("events", 0)], timeout_s=10).ask(OffsetSpec.latest()) == {0: 7}
    assert brokers.left == []


def connection(*answers: "KafkaError | int") -> admin.Connection:
    """A connection to brokers that give these answers."""
    client: Any = Brokers(*answers)
    return admin.Connection(Kafka("anywhere"), client, Refusals(Kafka("anywhere")))


def test_a_tool_does_not_ask_for_ever() -> None:
    with pytest.raises(LogUnavailable, match=r"events at anywhere within 0\.1 s"):
        admin.end_offsets(connection(*[OFFSET_INVALID] * 100), "events", 1, timeout_s=0.1)


def test_a_tool_asks_again_as_well() -> None:
    brokers = connection(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), OFFSET_INVALID, 7)
    assert admin.end_offsets(brokers, "events", 1) == {0: 7}


@pytest.mark.parametrize("passes", [OFFSET_INVALID, KafkaError(KafkaError.LEADER_NOT_AVAILABLE)])
async def test_process_and_tool_judge_an_answer_alike(passes: "int | KafkaError") -> None:
    brokers: Any = Brokers(passes, 7)
    assert await Offsets(brokers, [TopicPartition("events", 0)], timeout_s=10).ask(OffsetSpec.latest()) == {0: 7}
    assert admin.end_offsets(connection(passes, 7), "events", 1) == {0: 7}


async def test_what_does_not_pass_is_told() -> None:
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(LogRefused, match="Kafka at anywhere lacks a right for this client"):
        admin.begin_offsets(connection(refusal), "events", 1)
    brokers: Any = Brokers(refusal)
    with pytest.raises(LogUnavailable, match="TOPIC_AUTHORIZATION_FAILED"):
        await Offsets(brokers, [TopicPartition("events", 0)], timeout_s=10).ask(OffsetSpec.latest())
