"""Formats of text arguments that JSON Schema does not define, by the name that a schema uses as `format`.

The API checks them before it accepts a submission, and a worker when it decodes the arguments, with the same functions.
Each returns an error message, or None, and never repeats the text, which may contain a secret.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

MOST_URL_CHARACTERS: Final = 2000
MOST_ID_CHARACTERS: Final = 200
_MOST_ID_BYTES: Final = 200
_WITHOUT_ADDRESS: Final = frozenset({".", "..", "search"})
"""Clients remove the first two from a path, and the third is the path of searches in Pulp 2's dialect."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""A control character, a line break of any kind among them."""
_NO_URL: Final = re.compile(r"[\s\\<>\"^`{|}]|" + CONTROL.pattern)
_INSTEAD: Final = "; where the operation takes a credential, name one that the workers have"
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_PARTS: Final = ("token", "secret", "passw", "passphrase", "signature", "credential", "apikey", "accesskey")
_SECRET_WORDS: Final = frozenset({"auth", "authorization", "jwt", "key", "pass", "pwd", "session", "sid", "sig"})
"""A query parameter counts as a secret if its name contains one of the parts, or one of the words as a whole:
`X-Amz-Signature`, `accessToken`, `api_key`, but not `keyword`."""


def http_url(text: str) -> str | None:
    """An http or https URL with a host and without secrets, since the log keeps arguments for ever."""
    parts = _split(text)
    if parts is None:
        return "an http or https URL with a host is expected, such as https://example.org/repos/zoo/"
    if "@" in parts.netloc:
        return (
            "a URL with a user name or password is refused, since arguments are kept in the log for ever:"
            f" give the URL without them{_INSTEAD}"
        )
    word = _secret_word(parts.query) or _secret_word(parts.fragment)
    if word is not None:
        return (
            f"a URL with a secret in its query (a parameter named like {word!r}) is refused, since arguments are kept"
            f" in the log for ever: give the URL without it{_INSTEAD}"
        )
    return None


def repository_id(text: str) -> str | None:
    """The id of a repository, which must be usable as a folder name and as a path segment of a URL."""
    if not text or text != text.strip() or len(text) > MOST_ID_CHARACTERS or CONTROL.search(text):
        return (
            f"a repository's id is expected: 1 to {MOST_ID_CHARACTERS} characters, no control characters, no blank at"
            " either end"
        )
    if text in _WITHOUT_ADDRESS:
        return "no repository can be called 'search', '.' or '..', since no address can name it: choose another id"
    if len(_folder_name(text)) > _MOST_ID_BYTES:
        return f"the id is too long for the name of a folder: percent-encoded it may have {_MOST_ID_BYTES} bytes"
    return None


FORMS: Final[Mapping[str, Callable[[str], str | None]]] = {"http-url": http_url, "repository-id": repository_id}
"""The check of each format."""


def _split(text: str) -> SplitResult | None:
    if len(text) > MOST_URL_CHARACTERS or _NO_URL.search(text):
        return None
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or brackets without an address
        return None
    return parts if is_url else None


def _secret_word(query: str) -> str | None:
    """The word that marks a parameter as secret. Not the parameter's name, which may itself be the secret."""
    for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
        found = [part for part in _SECRET_PARTS if part in name.lower()]
        found += [word.lower() for word in _WORD.findall(name) if word.lower() in _SECRET_WORDS]
        if found:
            return found[0]
    return None


def _folder_name(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E")
