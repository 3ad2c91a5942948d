"""Numbers in JSON that Postgres cannot hold. Pure."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from pulp_events.errors import BadInput

MOST_DECIMALS: Final = 16_383
"""The most digits behind the decimal point of a `numeric`, by which Postgres searches in JSON."""
_SUSPICIOUS: Final = re.compile(rb"[eE]-0*[0-9]{5}|[0-9]{1000}")
"""What is in every number with too many digits, and in hardly any other text."""


def check_numbers(text: bytes, what: str) -> None:
    """Raises `BadInput` for a number with more digits than Postgres can search; `what` names the text.

    The type `json` stores any number, so that one such row would make every search fail that looks at it.
    """
    if _SUSPICIOUS.search(text) is None:
        return

    def check(number: str) -> float:
        if not _is_held(number):
            raise BadInput(f"{what} cannot be used: a number has more than {MOST_DECIMALS} digits behind the point")
        return 0.0

    try:
        json.loads(text, parse_float=check)
    except RecursionError:
        raise BadInput(f"{what} cannot be used: objects and arrays are nested too deep") from None


def _is_held(number: str) -> bool:
    try:
        exponent = Decimal(number).as_tuple().exponent
    except InvalidOperation:  # its exponent has too many digits itself
        return False
    return isinstance(exponent, int) and exponent >= -MOST_DECIMALS
