"""Numbers as feeds write them: most are, and the others are taken as other readers of yum repositories take them."""

import re
from typing import Final

_WHOLE: Final = re.compile(r"-?[0-9]{1,12}")
_LEADING: Final = re.compile(r"\s*(-?[0-9]{1,12})(?![0-9])")


def is_whole(text: str | None) -> bool:
    """Whether it is a number of at most twelve digits: no timestamp needs more, and no file has more bytes."""
    return text is not None and bool(_WHOLE.fullmatch(text))


def leading(text: str | None) -> str:
    """The number that the text begins with, else 0."""
    found = _LEADING.match(text or "")
    return found.group(1) if found else "0"
