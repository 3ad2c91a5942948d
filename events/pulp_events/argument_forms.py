"""Forms of text arguments that JSON Schema has no word for, by the name that a schema's `format` has for them.

A worker checks them when it decodes arguments, the API before it accepts a submission: by these same functions. Each
returns what is wrong, or None. No answer repeats the text: it may hold a secret.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

MOST_URL_CHARACTERS: Final = 2000
MOST_ID_CHARACTERS: Final = 200
_MOST_ID_BYTES: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NO_URL: Final = re.compile(r"[\s\\<>\"^`{|}]|" + _CONTROL.pattern)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_PARTS: Final = ("token", "secret", "passw", "passphrase", "signature", "credential", "apikey", "accesskey")
_SECRET_WORDS: Final = frozenset({"auth", "authorization", "jwt", "key", "pass", "pwd", "session", "sid", "sig"})
"""A parameter of a query is taken for a secret if its name holds one of the parts, or is made with one of the words:
`X-Amz-Signature`, `accessToken`, `api_key`, but not `keyword`."""


def http_url(text: str) -> str | None:
    """An http or https URL with a host, and without anything secret: arguments are kept in the log for ever."""
    parts = _split(text)
    if parts is None:
        return "an http or https URL with a host is expected, such as https://example.org/repos/zoo/"
    if "@" in parts.netloc:
        return (
            "a URL with a user name or password is refused, since arguments are kept in the log for ever:"
            " give the URL without them"
        )
    word = _secret_word(parts.query) or _secret_word(parts.fragment)
    if word is not None:
        return (
            f"a URL whose query holds a secret (by its name, a {word!r}) is refused, since arguments are kept in the"
            " log for ever: give the URL without it"
        )
    return None


def repository_id(text: str) -> str | None:
    """What names a repository, and a folder of its own."""
    if not text or text != text.strip() or len(text) > MOST_ID_CHARACTERS or _CONTROL.search(text):
        return (
            f"a repository's id is expected: 1 to {MOST_ID_CHARACTERS} characters, no control characters, no blank at"
            " either end"
        )
    if len(_folder_name(text)) > _MOST_ID_BYTES:
        return f"the id is too long for the name of a folder: percent-encoded it may have {_MOST_ID_BYTES} bytes"
    return None


FORMS: Final[Mapping[str, Callable[[str], str | None]]] = {"http-url": http_url, "repository-id": repository_id}
"""Each form by its name."""


def _split(text: str) -> SplitResult | None:
    if len(text) > MOST_URL_CHARACTERS or _NO_URL.search(text):
        return None
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that hold no address
        return None
    return parts if is_url else None


def _secret_word(query: str) -> str | None:
    """The word by which a parameter's name gives it away; never the name, which may be the secret itself."""
    for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
        found = [part for part in _SECRET_PARTS if part in name.lower()]
        found += [word.lower() for word in _WORD.findall(name) if word.lower() in _SECRET_WORDS]
        if found:
            return found[0]
    return None


def _folder_name(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E")
