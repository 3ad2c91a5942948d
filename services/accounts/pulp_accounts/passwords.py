"""Passwords: how they are hashed (argon2id, RFC 9106), and which are accepted.

A hash is a PHC string that contains its parameters. Hashes of earlier releases (scrypt) are still accepted.
"""

import hashlib
import hmac
import unicodedata
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Final, Self

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pulp_events import declared_settings
from pulp_events.declared_settings import Setting
from pulp_events.errors import BadInput

_LEAST_MEMORY_KIB: Final = 19_456
_LEAST_PASSES: Final = 2
"""The minimum of OWASP's Password Storage Cheat Sheet for one lane."""
MAX_BYTES: Final = 1000
_SCRYPT: Final = "scrypt$"
_WORDS: Final = frozenset(
    {"pulp", "pulptasks", "pulpadmin", "administrator", "changeme", "letmein", "password", "passwort", "welcome"}
)
_ROWS: Final = ("abcdefghijklmnopqrstuvwxyz", "0123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSettings:
    """The cost of a hash, and the least length of a password."""

    memory_kib: Annotated[
        int,
        Setting("PULP_PASSWORD_MEMORY_KIB", "The memory that a hash uses.", least=_LEAST_MEMORY_KIB, most=1_048_576),
    ] = _LEAST_MEMORY_KIB
    passes: Annotated[
        int, Setting("PULP_PASSWORD_PASSES", "The passes over that memory.", least=_LEAST_PASSES, most=100)
    ] = _LEAST_PASSES
    min_length: Annotated[
        int,
        Setting("PULP_PASSWORD_MIN_LENGTH", "The minimum length of a new password, in characters.", least=8, most=128),
    ] = 12

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """From the environment. Raises `SettingsError`, which names the setting."""
        return cls(**declared_settings.read(cls, env))


USUAL: Final = PasswordSettings()


def hash_password(password: str, settings: PasswordSettings = USUAL) -> str:
    """The hash to store, with a new salt. Slow on purpose."""
    return _hasher(settings).hash(_normal(password))


def matches(password: str, password_hash: str) -> bool:
    """Whether this password has this hash; false for an unknown kind of hash. Slow on purpose."""
    if password_hash.startswith(_SCRYPT):
        return _matches_scrypt(password, password_hash)
    try:
        return _hasher(USUAL).verify(password_hash, _normal(password))
    except (Argon2Error, InvalidHashError):
        return False


def is_outdated(password_hash: str, settings: PasswordSettings = USUAL) -> bool:
    """Whether the method or cost of this hash differs from those of `hash_password`."""
    try:
        return password_hash.startswith(_SCRYPT) or _hasher(settings).check_needs_rehash(password_hash)
    except InvalidHashError:
        return True


def check_password(password: str, name: str, settings: PasswordSettings = USUAL) -> None:
    """Raises `BadInput` for a password that the user `name` may not have. The message says why, and never repeats it.

    As NIST SP 800-63B recommends, length counts and kinds of characters do not.
    """
    if not password:
        raise BadInput("the password is empty")
    if len(password.encode(errors="surrogatepass")) > MAX_BYTES:
        raise BadInput(f"the password has more than {MAX_BYTES} bytes")
    if not all(character == " " or character.isprintable() for character in password):
        raise BadInput("the password holds a character that cannot be typed, such as a line break or U+0000")
    if len(_normal(password)) < settings.min_length:
        raise BadInput(
            f"the password has fewer than {settings.min_length} characters: take a longer one, such as some words in a"
            " row (PULP_PASSWORD_MIN_LENGTH)"
        )
    reason = _guessable(password.casefold(), name.casefold())
    if reason is not None:
        raise BadInput(f"the password {reason}, which is tried first by whoever guesses: take another")


def _guessable(password: str, name: str) -> str | None:
    letters = "".join(character for character in password if character.isalpha())
    plain = "".join(character for character in password if character.isalnum())
    core = "".join(character for character in name if character.isalnum())
    if core and (plain in (core, core[::-1]) or letters in (core, core * 2, core[::-1])):
        return "is the user's name, or that with some digits"
    if {plain, password} & _common() or letters in _WORDS:
        return "is a common one"
    if len(set(plain or password)) <= 2:
        return "repeats a character or two"
    if any(_is_run(plain, row) for row in _ROWS):
        return "is a sequence of the alphabet, the digits or the keyboard"
    return None


@cache
def _common() -> frozenset[str]:
    """Passwords that attackers try first, in lower case."""
    return frozenset(files("pulp_projections").joinpath("common_passwords.txt").read_text(encoding="utf-8").split())


def _is_run(text: str, row: str) -> bool:
    """Whether the text follows the row forwards or backwards, perhaps several times."""
    repeated = row * (len(text) // len(row) + 2)
    return len(text) > 3 and (text in repeated or text in repeated[::-1])


def _normal(password: str) -> str:
    """The password in NFC, because keyboards and systems compose accents differently."""
    return unicodedata.normalize("NFC", password)


def _matches_scrypt(password: str, password_hash: str) -> bool:
    """For hashes of earlier releases, which hashed the password as it was typed."""
    try:
        _, salt, key = password_hash.split("$")
        derived = hashlib.scrypt(password.encode(), salt=b64decode(salt), n=2**14, r=8, p=1, dklen=32)
        return hmac.compare_digest(derived, b64decode(key))
    except ValueError:
        return False


@cache
def _hasher(settings: PasswordSettings) -> PasswordHasher:
    return PasswordHasher(time_cost=settings.passes, memory_cost=settings.memory_kib, parallelism=1)
