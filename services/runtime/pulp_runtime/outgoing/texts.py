"""URLs as text: what messages show of them, and their origin. Pure."""

import re
from typing import Final

MOST_CHARACTERS: Final = 8000
"""The longest URL."""
_SHOWN_CHARACTERS: Final = 300


def shown(url: str) -> str:
    """The URL in a message: without user name, password, query and fragment, and without control characters."""
    text = url.partition("#")[0].partition("?")[0][:MOST_CHARACTERS]
    scheme, separator, rest = text.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        text = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def origin(url: str) -> str:
    """Scheme, host and port of a URL, as it has them; the same for all URLs of a server. Never a user or password."""
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}{separator}{authority.rpartition('@')[2]}".lower()
