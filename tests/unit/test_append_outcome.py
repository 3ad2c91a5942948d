"""Whether an append was written is judged alike for events, dead letters and audit records, whatever Kafka's client reports."""

import asyncio
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from pulp_events import admin, audit_log, log
from pulp_events.audit import What, audit_record
from pulp_events.errors import AppendOutcomeUnknown, EventTooLarge, LogUnavailable
from pulp_events.outcome import not_accepted
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

NEVER_SENT = {"_QUEUE_FULL", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}
"""What librdkafka says of a message before it has been put into a request."""
CODES = {
    name: code
    for name, code in vars(KafkaError).items()
    if name.isupper() and isinstance(code, int) and name != "NO_ERROR"
}


class Message:
    """A message that was not delivered."""

    def value(self) -> bytes:
        return b"12345"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return -1001


class Reporting:
    """A producer that reports one error for each record."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error
        self._reports: list[Any] = []

    def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
        self._reports.append(on_delivery)

    def flush(self, _: float) -> int:
        for report in self._reports:
            report(self._error, Message())
        return 0


class Refusing(Reporting):
    """A producer that accepts nothing."""

    def produce(self, *_: Any, **__: Any) -> None:
        raise KafkaException(self._error)


class Silent(Reporting):
    """A producer that gets no report about its records."""

    def flush(self, _: float) -> int:
        return len(self._reports)


def append_with(producer: Any) -> None:
    raw_producer.append(producer, "topic", [RawRecord(b"k", b"12345", (), 0)])


def audit_with(monkeypatch: pytest.MonkeyPatch, producer: Any) -> None:
    monkeypatch.setattr(admin, "describe", lambda *_, **__: None)
    monkeypatch.setattr(audit_log, "make_producer", lambda *_, **__: producer)
    audit_log.write_audit("nowhere", "topic", audit_record(What.USER_ADDED, actor="os:root"))


def test_the_client_names_its_codes() -> None:
    assert len(CODES) > 150
    assert {"_FATAL", "_TRANSPORT", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", *NEVER_SENT} <= CODES.keys()


@pytest.mark.parametrize("name", sorted(CODES))
async def test_each_error_of_a_delivery_means_the_same_to_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: type[Exception] = AppendOutcomeUnknown
    if name == "MSG_SIZE_TOO_LARGE":
        expected = EventTooLarge
    elif name in NEVER_SENT:
        expected = LogUnavailable
    error = KafkaError(CODES[name])
    with pytest.raises(expected) as of_letter:
        append_with(Reporting(error))
    delivered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    log._resolve(delivered, error, Message())  # type: ignore[arg-type]
    with pytest.raises(expected) as of_event:
        await delivered
    with pytest.raises(expected) as of_audit:
        audit_with(monkeypatch, Reporting(error))
    assert {type(each.value) for each in (of_letter, of_event, of_audit)} == {expected}


@pytest.mark.parametrize("name", sorted(CODES))
def test_what_the_client_does_not_accept_was_never_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = EventTooLarge if name == "MSG_SIZE_TOO_LARGE" else LogUnavailable
    refusing = Refusing(KafkaError(CODES[name]))
    with pytest.raises(expected) as of_letter:
        append_with(refusing)
    with pytest.raises(expected) as of_audit:
        audit_with(monkeypatch, refusing)
    assert type(of_letter.value) is type(of_audit.value) is expected


def test_an_audit_record_without_an_answer_may_have_been_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AppendOutcomeUnknown, match="no answer"):
        audit_with(monkeypatch, Silent(KafkaError(KafkaError._TRANSPORT)))


def test_a_full_queue_has_sent_nothing() -> None:
    assert isinstance(not_accepted(BufferError("Local: Queue full"), 5, 10), LogUnavailable)
