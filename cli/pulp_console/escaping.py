"""Text from elsewhere, made safe for a terminal (CWE-150: escape, meta or control sequences)."""

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# C0, DEL and C1 (which include CSI and OSC); line and paragraph separators; characters that change the direction of
# text or are invisible; and halves of a surrogate pair, which no output can encode.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_KEPT: Final = frozenset("\n\t")
_DELETE: Final = "\x7f"


def plain(text: str) -> str:
    """The text with every control character made visible; line feeds and tabs stay.

    C0 and DEL become their pictures (`␛` for ESC), all others the replacement character.
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in _KEPT else _visible(match[0]), text)


def one_line(text: str) -> str:
    """The same on one line: line breaks and tabs become blanks."""
    return plain(" ".join(text.splitlines()).replace("\t", " ")) if text else text


def _visible(character: str) -> str:
    if character < " ":
        return chr(0x2400 + ord(character))
    return "\N{SYMBOL FOR DELETE}" if character == _DELETE else _REPLACEMENT
