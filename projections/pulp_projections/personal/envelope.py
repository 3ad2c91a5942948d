"""The envelope that replaces the value of a personal argument in events: its format, and finding one. Pure.

An envelope is a JSON object with the key `pulp_personal`. Only the API creates them, and it refuses submissions that
have such an object as an argument, so a value in the log that looks like one comes from the API or from a foreign
producer; the cipher tells which. Nothing here decrypts.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

MARK: Final = "pulp_personal"
"""The key of every envelope. Its value is the version."""
PERSONAL: Final = "x-pulp-personal"
"""In the JSON Schema of an argument: the argument that names the subject."""
ERASED: Final = "(erased)"
"""Shown in place of a value whose key was destroyed."""
UNREADABLE: Final = "(unreadable)"
"""Shown in place of a value that this installation has not encrypted for this task."""
_QUICK: Final = f'"{MARK}"'.encode()
_PAD_BYTES: Final = 32
_raw_by_name: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class Sight(StrEnum):
    """What a reader gets of a personal argument."""

    SHOWN = "shown"
    ERASED = "erased"
    UNREADABLE = "unreadable"


class SealedValue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An encrypted value. `nonce` and `data` are in base64; `data` ends with the tag of AES-GCM."""

    pulp_personal: Literal[1] = 1
    key: UUID
    """The id of the subject's key: random, so it says nothing about the subject."""
    nonce: bytes
    data: bytes


class Opened(NamedTuple):
    """Arguments as a reader may see them."""

    arguments: Raw
    personal: Mapping[str, Sight]
    """The state of each personal argument, by name."""

    def not_shown(self) -> list[str]:
        """The names of those whose value is not known."""
        return [name for name, sight in self.personal.items() if sight is not Sight.SHOWN]


def context_of(holder: UUID, name: str) -> bytes:
    """The associated data: a value cannot be moved to another task, schedule or argument."""
    return b"personal-argument/1\0" + holder.bytes + name.encode()


def padded(value: bytes) -> bytes:
    """The JSON text padded with spaces, so that the length of the ciphertext reveals less."""
    return value + b" " * (-len(value) % _PAD_BYTES)


def may_hold(arguments: bytes) -> bool:
    """Whether there may be an envelope; False is certain for arguments that the API wrote."""
    return _QUICK in arguments


def is_reserved(value: object) -> bool:
    """Whether a value of an argument looks like an envelope, right or wrong."""
    return isinstance(value, dict) and MARK in value


def found_in(arguments: bytes) -> Iterator[tuple[str, SealedValue | None]]:
    """The name of each argument that looks like an envelope; None for one that is damaged."""
    if not may_hold(arguments):
        return
    for name, text in _by_name(arguments).items():
        if _QUICK in bytes(text) and is_reserved(value := msgspec.json.decode(text)):
            yield name, _envelope(value)


def with_values(arguments: bytes, values: Mapping[str, bytes]) -> Raw:
    """The arguments with other JSON texts for some of them; the rest keeps its text."""
    if not values:
        return Raw(arguments)
    changed = {name: Raw(text) for name, text in values.items()}
    return Raw(msgspec.json.encode({**_by_name(arguments), **changed}))


def personal_in(schema: Mapping[str, Any]) -> dict[str, str]:
    """The personal arguments of a declaration, each with the argument that names its subject."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return {name: each[PERSONAL] for name, each in properties.items() if isinstance(each.get(PERSONAL), str)}


def _by_name(arguments: bytes) -> dict[str, Raw]:
    try:
        return _raw_by_name(arguments)
    except msgspec.ValidationError:  # null, where a list had no room for the arguments
        return {}


def _envelope(value: Any) -> SealedValue | None:
    try:
        found = msgspec.convert(value, SealedValue)
    except (msgspec.ValidationError, ValueError):
        return None
    # Base64 has several texts for the same bytes: only the one that the API writes counts.
    return found if msgspec.to_builtins(found) == value else None
