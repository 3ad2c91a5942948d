"""Commits of a member of a consumer group while others come and go, with a stand-in for Kafka's client."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pulp_events import group_reader
from pulp_events.errors import LogUnavailable
from pulp_events.group_reader import GroupReader
from pulp_events.kafka import Kafka

MOVED: Final = (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID)


class Client:
    """Refuses a commit for each item of `refusals`; a poll runs `on_poll`."""

    def __init__(self, refusals: Sequence[int]) -> None:
        self.refusals = list(refusals)
        self.committed: list[dict[int, int]] = []
        self.asked: list[bool] = []
        self.on_poll: list[Callable[[], Any]] = []
        self.is_closed = False

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.asked.append(asynchronous)
        if asynchronous:
            return
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))
        self.committed.append({each.partition: each.offset for each in offsets})

    def poll(self, _: float) -> None:
        if self.on_poll:
            self.on_poll.pop(0)()

    def incremental_unassign(self, _: object) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def member(monkeypatch: pytest.MonkeyPatch, *refusals: int) -> tuple[GroupReader, Client, dict[str, Any]]:
    """A reader that has partitions 0 and 1, its client, and the callbacks that the client would call."""
    client, callbacks = Client(refusals), dict[str, Any]()

    def subscribe(_: list[str], **given: Any) -> None:
        callbacks.update(given)

    def made(settings: dict[str, Any]) -> Client:
        callbacks["on_commit"] = settings["on_commit"]
        return client

    monkeypatch.setattr(client, "subscribe", subscribe, raising=False)
    monkeypatch.setattr(group_reader, "Consumer", made)
    reader = GroupReader(Kafka("127.0.0.1:1"), "t", "id", "g", dict, lambda _: None)
    reader._next = {0: 0, 1: 0}  # what an assignment would have left
    return reader, client, callbacks


def places(*partitions: int) -> list[TopicPartition]:
    return [TopicPartition("t", partition) for partition in partitions]


@pytest.mark.parametrize("code", MOVED)
def test_a_member_that_leaves_during_a_rebalance_commits_after_it(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    reader, client, _ = member(monkeypatch, code, code)
    reader.done(0, 5)
    reader.close()
    assert client.committed == [{0: 5}]
    assert client.is_closed


@pytest.mark.parametrize("code", MOVED)
def test_what_another_member_has_after_the_rebalance_is_not_committed(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    reader, client, callbacks = member(monkeypatch, code)
    reader.done(0, 5)
    reader.done(1, 7)
    client.on_poll.append(lambda: callbacks["on_lost"](client, places(0)))
    reader.close()
    assert client.committed == [{1: 7}]


def test_a_rebalance_that_does_not_end_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_reader, "_REBALANCE_S", 0)
    reader, client, _ = member(monkeypatch, *MOVED * 9)
    reader.done(0, 5)
    with pytest.raises(LogUnavailable, match=r"the place in t could not be committed, so some events will come again"):
        reader.close()
    assert client.is_closed


def test_a_commit_that_fails_for_another_reason_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, client, _ = member(monkeypatch, KafkaError.COORDINATOR_NOT_AVAILABLE)
    reader.done(0, 5)
    with pytest.raises(LogUnavailable):
        reader.commit()
    assert client.asked == [False]


@pytest.mark.parametrize("code", MOVED)
def test_a_refused_commit_of_what_goes_away_is_no_fault_of_the_member(
    monkeypatch: pytest.MonkeyPatch, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, client, callbacks = member(monkeypatch, code)
    reader.done(0, 5)
    callbacks["on_revoke"](client, places(0))
    assert reader.poll(0) == {}
    assert "some events will come again" in caplog.text


def test_a_commit_in_the_background_that_failed_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_reader, "_COMMIT_S", -1)
    reader, client, callbacks = member(monkeypatch)
    reader.done(0, 5)
    reader.poll(0)
    callbacks["on_commit"](KafkaError(KafkaError.ILLEGAL_GENERATION), [TopicPartition("t", 0, 5)])
    reader.poll(0)
    callbacks["on_commit"](None, [TopicPartition("t", 0, 5)])
    reader.poll(0)
    assert client.asked == [True, True]
