"""What is wrong around an installation: said in one shape, by whichever check finds it."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Data is in danger, or nothing can work."""
    WARNING = "warning"
    """It works, but not as well, or not for ever."""


class Finding(NamedTuple):
    """One thing that is wrong. Texts are for people; they hold no secret."""

    level: Level
    code: str
    """What kind of thing it is, for machines: words joined by dashes."""
    what: str
    """What is wrong, and where."""
    endangers: str
    """What may happen because of it."""
    mend: str
    """The command that mends it, or what to do where there is none."""
