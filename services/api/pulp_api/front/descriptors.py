"""How many files and connections this process may have open."""

import logging
import resource
from typing import Final

_RESERVED: Final = 128
"""Descriptors for what is not a client: Postgres, Kafka, logs, libraries."""
_log = logging.getLogger("pulp.api")


def raise_limit() -> int:
    """Raise the soft limit to the hard one; how many connections of clients there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:  # a system that has no such number, whatever it says
            _log.warning("the limit on open files cannot be raised", extra={"limit": soft, "error": error})
    if soft == resource.RLIM_INFINITY:
        return 2**31
    return max(16, soft - _RESERVED)
