"""Bytes ↔ events of an ordered topic: CloudEvents 1.0 in JSON, structured mode, as for the events of tasks."""

from collections.abc import Callable, Iterable, Mapping
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Final, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct

from pulp_events.codec import Envelope, check_text, one_line, written
from pulp_events.errors import BadInput, UndecodableRecord

D = TypeVar("D", bound=Struct)
_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


class UnknownType(UndecodableRecord):
    """A valid CloudEvent of a type that this version does not know. It has no effect."""


class Decoded(NamedTuple, Generic[D]):
    """An event: its envelope and its data."""

    envelope: Envelope
    data: D


class OrderedCodec(Generic[D]):
    """The codec of one topic."""

    def __init__(
        self, types: Mapping[type[D], str], what: str, check: Callable[[D], Iterable[datetime]] = lambda _: ()
    ) -> None:
        """`types` are the wire types, literals that never change; `what` the events are of, such as `a schedule`.

        `check` returns the times in an event's data, and raises `ValueError` for data that breaks the contract.
        """
        self._types, self._what, self._check = types, what, check
        self._decoders: dict[str, Callable[[Raw], D]] = {
            literal: msgspec.json.Decoder(kind).decode for kind, literal in types.items()
        }

    def encode(
        self, event_id: UUID, subject: UUID, time: datetime, actor: str, data: D, correlation_id: str | None
    ) -> bytes:
        """The value of the event's record. Raises `InvalidEvent` for one that breaks the contract, `EventTooLarge`."""

        def envelope() -> bytes:
            made = Envelope(
                specversion="1.0",
                id=event_id,
                source="/pulp/tasks",
                type=self._types[type(data)],
                subject=subject,
                time=time,
                actor=actor,
                data=Raw(msgspec.json.encode(data)),
                datacontenttype="application/json",
                correlationid=UNSET if correlation_id is None else correlation_id,
            )
            return msgspec.json.encode(made)

        return written(envelope, lambda value: self.decode(key_of_subject(subject), value))

    def decode(self, key: bytes | None, value: bytes | None) -> Decoded[D]:
        """The event of a record. Raises `UnknownType` for another type, else `UndecodableRecord`."""
        try:
            envelope = _decode_envelope(value or b"")
            decode = self._decoders.get(envelope.type)
            data = None if decode is None else decode(envelope.data)
            check_text(value or b"")
            for time in (envelope.time, *(() if data is None else self._check(data))):
                if not MINYEAR < time.year < MAXYEAR:  # in every time zone
                    raise ValueError(f"the time {time} is out of range")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, BadInput) as error:
            raise UndecodableRecord(f"no event of {self._what}: {one_line(error)}") from error
        if key != key_of_subject(envelope.subject):
            raise UndecodableRecord(f"the record's key is not the event's subject {envelope.subject}")
        if data is None:
            raise UnknownType(f"unknown type {envelope.type}")
        return Decoded(envelope, data)


def key_of_subject(subject: UUID) -> bytes:
    """The record's key: the id of the event's subject, as text."""
    return str(subject).encode()
