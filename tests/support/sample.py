"""The random selection of test files that runs when there is no time for all; it depends only on the seed and the
path."""

import random
from pathlib import Path, PurePosixPath
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
WHOLE: Final = frozenset({"unit", "contract", "support"})
"""Folders of `tests` that always run as a whole: they are quick, or they are what all else relies on."""


def is_chosen(path: Path, part: float, seed: int) -> bool:
    """Whether the test file is in the sample, which is about the given part (0 to 1) of all files."""
    try:
        name = PurePosixPath(path.relative_to(_ROOT))
    except ValueError:
        return True
    if part >= 1 or name.parts[0] in WHOLE or not name.match("test_*.py"):
        return True
    return random.Random(f"{seed} {name}").random() < part
