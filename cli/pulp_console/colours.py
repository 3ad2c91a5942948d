"""Whether to print in colour."""

import os
from typing import TextIO


def is_coloured(stream: TextIO) -> bool:
    """Whether a stream takes colours: a terminal that is not dumb, unless NO_COLOR holds something (no-color.org).

    An empty NO_COLOR counts as unset, as that convention demands.
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
