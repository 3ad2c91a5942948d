"""AES-256-GCM for personal values and for the keys themselves. Pure, except for random keys and nonces."""

import secrets
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pulp_projections.personal.envelope import (
    ERASED,
    UNREADABLE,
    Opened,
    SealedValue,
    Sight,
    context_of,
    found_in,
    padded,
    with_values,
)

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_SHOWN_AS: Final = {Sight.ERASED: f'"{ERASED}"'.encode(), Sight.UNREADABLE: f'"{UNREADABLE}"'.encode()}


class Undecipherable(ValueError):
    """The bytes were not encrypted with this key and these associated data, or were changed since."""


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


def encrypt(key: bytes, text: bytes, context: bytes) -> bytes:
    """A fresh nonce, and the ciphertext with its tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, context)


def decrypt(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The plaintext. Raises `Undecipherable`."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise Undecipherable("not encrypted with this key for this place") from error


def seal(key_id: UUID, key: bytes, value: bytes, holder: UUID, name: str) -> SealedValue:
    """The envelope of an argument's JSON text, for one task or schedule."""
    sealed = encrypt(key, padded(value), context_of(holder, name))
    return SealedValue(key=key_id, nonce=sealed[:NONCE_BYTES], data=sealed[NONCE_BYTES:])


def opened(arguments: bytes, holder: UUID, keys: Mapping[UUID, bytes | None]) -> Opened:
    """The arguments with the values of all envelopes. `keys` has None for a key that was destroyed.

    A text in place of an unavailable value says so. Never raises, whatever the arguments contain.
    """
    values: dict[str, bytes] = {}
    sights: dict[str, Sight] = {}
    for name, envelope in found_in(arguments):
        sights[name], value = _value(envelope, holder, name, keys)
        values[name] = _SHOWN_AS[sights[name]] if value is None else value
    return Opened(with_values(arguments, values), sights)


def _value(
    envelope: SealedValue | None, holder: UUID, name: str, keys: Mapping[UUID, bytes | None]
) -> tuple[Sight, bytes | None]:
    if envelope is None or envelope.key not in keys:
        return Sight.UNREADABLE, None
    key = keys[envelope.key]
    if key is None:
        return Sight.ERASED, None
    try:
        text = decrypt(key, envelope.nonce + envelope.data, context_of(holder, name))
    except Undecipherable:
        return Sight.UNREADABLE, None
    return Sight.SHOWN, text.rstrip(b" ")
