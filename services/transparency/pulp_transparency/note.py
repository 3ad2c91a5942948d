"""Signed notes (C2SP signed-note) with Ed25519: keys, signing, and what a signature proves. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pulp_transparency.errors import KeyFault, NoteMalformed, SignatureWrong, UnknownKey

_ED25519: Final = b"\x01"
_KEY_BYTES: Final = 32
_PRIVATE: Final = "PRIVATE+KEY+"
_DASH: Final = "\N{EM DASH} "
_NAME: Final = re.compile(r"[^\s+]+")
MOST_NOTE_BYTES: Final = 1_000_000


class Verifier(NamedTuple):
    """A name and a public key."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes in a signature that say which key has signed."""
        return key_id(self.name, self.public)

    @property
    def label(self) -> str:
        """NAME+ID, as in the verifier key."""
        return f"{self.name}+{self.id.hex()}"

    @property
    def vkey(self) -> str:
        """The verifier key, in the format of C2SP."""
        return f"{self.label}+{_text(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """The verifier of a verifier key. Raises `KeyFault`."""
        if is_private(vkey):
            raise KeyFault("a signing key, which is secret, is where a verifier key (NAME+ID+KEY) is expected")
        name, *rest = vkey.strip().split("+", 2)
        if len(rest) != 2 or not _NAME.fullmatch(name):
            raise KeyFault(
                f"{vkey!r} is not a verifier key: NAME+ID+KEY is expected, as pulp-tasks audit keygen prints"
            )
        found = cls(name, _key_of(rest[1], vkey))
        if found.id.hex() != rest[0]:
            raise KeyFault(f"{vkey!r} is not a verifier key: the id of its key and name is {found.id.hex()}")
        return found

    def named(self, name: str) -> Self:
        """The same key under another name."""
        return self._replace(name=name)

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether the signature is this key's, of this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class NoteSigner(NamedTuple):
    """A name and a private key; a `repr` shows neither seed nor key."""

    name: str
    seed: bytes

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key. Raises `KeyFault` for what cannot be a name."""
        if not _NAME.fullmatch(name) or any(ord(each) < 0x20 for each in name):
            raise KeyFault(f"{name!r} cannot be the name of a key: one word without '+' is expected, such as HOST/pulp")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The signer of its encoding. Raises `KeyFault`, which does not repeat it."""
        wrong = "not a signing key: PRIVATE+KEY+NAME+ID+KEY is expected, as pulp-tasks audit keygen writes it"
        name, *rest = text.strip().removeprefix(_PRIVATE).split("+", 2)
        if not text.startswith(_PRIVATE) or len(rest) != 2 or not _NAME.fullmatch(name):
            raise KeyFault(wrong)
        found = cls(name, _key_of(rest[1], None))
        if found.verifier.id.hex() != rest[0]:
            raise KeyFault(wrong)
        return found

    def encode(self) -> str:
        """The private key, in the format of Go's `note` package."""
        return f"{_PRIVATE}{self.verifier.label}+{_text(_ED25519 + self.seed)}"

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self._key.public_key().public_bytes_raw())

    def named(self, name: str) -> Self:
        """The same key under another name."""
        return self._replace(name=name)

    def sign(self, text: str) -> str:
        """The note of a text, which ends with a newline: the same bytes each time."""
        signature = self.verifier.id + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.name} {_text(signature)}\n"

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def __repr__(self) -> str:
        return f"NoteSigner({self.name!r})"


class NoteSignature(NamedTuple):
    """A line below a note."""

    name: str
    id: bytes
    signature: bytes

    @property
    def label(self) -> str:
        """NAME+ID."""
        return f"{self.name}+{self.id.hex()}"


def split(note: str) -> tuple[str, list[NoteSignature]]:
    """The text of a note, with its last newline, and its signatures. Raises `NoteMalformed`."""
    text, gap, lines = note.rpartition("\n\n")
    if len(note) > MOST_NOTE_BYTES:
        raise NoteMalformed(f"a signed note has at most {MOST_NOTE_BYTES:,} bytes")
    if not gap or not text or not lines.endswith("\n"):
        raise NoteMalformed("not a signed note: a text, an empty line and lines of signatures are expected")
    if any(ord(each) < 0x20 and each != "\n" for each in note):
        raise NoteMalformed("a signed note has no control characters")
    return text + "\n", [_signature(line) for line in lines.removesuffix("\n").split("\n")]


def opened(note: str, verifiers: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note, and which of the verifiers have signed it: at least one.

    Raises `NoteMalformed`; `SignatureWrong` if a signature names one of them that has not signed; `UnknownKey` if no
    signature names any.
    """
    text, signatures = split(note)
    known = {(each.name, each.id): each for each in verifiers}
    found: list[Verifier] = []
    for each in signatures:
        verifier = known.get((each.name, each.id))
        if verifier is None:
            continue
        if not verifier.has_signed(text, each.signature):
            raise SignatureWrong(f"key {each.label} has not signed this text: the text or the signature was altered")
        found.append(verifier)
    if not found:
        for each in signatures:
            if any(verifier.has_signed(text, each.signature) for verifier in known.values()):
                raise SignatureWrong(
                    f"a known key has signed it as {each.label}: it is of another log, or its last line was altered"
                )
        signers = tuple(each.label for each in signatures)
        wanted = ", ".join(each.label for each in known.values()) or "none"
        raise UnknownKey(f"signed by {', '.join(signers)}, which is not a known key (known: {wanted})", signers)
    return text, found


def is_private(text: str) -> bool:
    """Whether a text holds a private key: in the format of signed notes, or in PEM."""
    return _PRIVATE in text or "PRIVATE KEY-----" in text


def key_id(name: str, public: bytes) -> bytes:
    """The id of an Ed25519 key under a name."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def decoded(text: str) -> bytes:
    """The bytes of standard base64, with padding and nothing else. Raises `ValueError`."""
    data = base64.b64decode(text, validate=True)
    if _text(data) != text:  # other spellings of the same bytes would let a note change and stay valid
        raise ValueError("not the canonical base64 of these bytes")
    return data


def _signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        data = decoded(encoded)
    except (ValueError, binascii.Error):
        data = b""
    if not line.startswith(_DASH) or not space or not _NAME.fullmatch(name) or len(data) < 5:
        raise NoteMalformed(f"{line[:100]!r} is not the signature of a note: '\N{EM DASH} NAME BASE64' is expected")
    return NoteSignature(name, data[:4], data[4:])


def _key_of(encoded: str, shown: str | None) -> bytes:
    try:
        data = decoded(encoded)
    except (ValueError, binascii.Error):
        data = b""
    if len(data) != 1 + _KEY_BYTES or data[:1] != _ED25519:
        raise KeyFault(f"{'a signing key' if shown is None else repr(shown)} is not a key of Ed25519")
    return data[1:]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
