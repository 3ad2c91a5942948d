"""The limit on open files and connections of this process."""

import logging
import resource
from typing import Final

_RESERVED: Final = 128
"""Descriptors that are kept for Postgres, Kafka, logs and libraries."""
_log = logging.getLogger("pulp.api")


def raise_limit() -> int:
    """Raise the soft limit to the hard one; returns the number of client connections that fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:  # some systems refuse their own hard limit
            _log.warning("the limit on open files cannot be raised", extra={"limit": soft, "error": error})
    if soft == resource.RLIM_INFINITY:
        return 2**31
    return max(16, soft - _RESERVED)
