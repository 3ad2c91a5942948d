"""Reading the settings of topics while Kafka is changing."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from pulp_events import topic_states
from pulp_events.admin import Connection
from pulp_events.errors import LogUnavailable
from pulp_events.topic_checks import TopicState
from pulp_events.topic_states import newest_time_s


def connection(monkeypatch: pytest.MonkeyPatch, *answers: int | KafkaError) -> Connection:
    """To a cluster whose partitions give these answers: the time of the newest record in ms, or an error."""
    state = TopicState("t", partitions=len(answers), replication=1, offline=0, settings=None)
    monkeypatch.setattr(topic_states, "read_topic", lambda *_, **__: state)

    def list_offsets(wanted: Any, request_timeout: float) -> dict[Any, "Future[Any]"]:
        made: dict[Any, Future[Any]] = {}
        for place, answer in zip(wanted, answers, strict=True):
            made[place] = Future()
            if isinstance(answer, KafkaError):
                made[place].set_exception(KafkaException(answer))
            else:
                made[place].set_result(SimpleNamespace(timestamp=answer))
        return made

    client = SimpleNamespace(list_offsets=list_offsets)
    return cast(Connection, SimpleNamespace(kafka="k", client=client, wait=lambda future, _: future.result()))


def test_the_newest_of_all_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest_time_s(connection(monkeypatch, 2000, 5000, -1), "t") == 5.0
    assert newest_time_s(connection(monkeypatch, -1, -1), "t") is None


def test_a_leader_that_does_not_know_yet_is_no_kafka_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    not_yet = KafkaError(KafkaError.OFFSET_NOT_AVAILABLE)
    assert newest_time_s(connection(monkeypatch, not_yet, 5000), "t") == 5.0
    assert newest_time_s(connection(monkeypatch, not_yet), "t") is None


def test_another_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LogUnavailable, match="does not tell about topic t at k"):
        newest_time_s(connection(monkeypatch, KafkaError(KafkaError._ALL_BROKERS_DOWN)), "t")
