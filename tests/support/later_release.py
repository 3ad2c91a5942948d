"""A release that has one more version of `started` than this one: a stand-in for what an upgrade brings."""

import pytest
from msgspec.structs import replace
from pulp_events import codec
from pulp_events.events import Event, UnknownEvent
from pulp_events.reader import Record
from pulp_projections import dead_letters
from pulp_projections.writing import fold

_NOW = b"org.pulpproject.task.started.v1"
_LATER = b"org.pulpproject.task.started.v2"


def is_started(record: Record) -> bool:
    """Whether it holds a `started` event of today's version."""
    return _NOW in (record.value or b"")


def written_later(record: Record) -> Record:
    """The record as the later release writes it."""
    assert is_started(record)
    return replace(record, value=(record.value or b"").replace(_NOW, _LATER))


def decode(key: bytes | None, value: bytes | None) -> Event | UnknownEvent:
    """The codec of the later release."""
    return codec.decode(key, value and value.replace(_LATER, _NOW))


def upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process projects, and retries dead letters, as the later release does."""
    monkeypatch.setattr(fold, "decode", decode)
    monkeypatch.setattr(dead_letters, "decode", decode)
