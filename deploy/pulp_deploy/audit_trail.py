"""Audits what an administrator's command changes."""

import getpass
import os
import socket

from pulp_events.audit import What, audit_record
from pulp_events.audit_log import write_audit
from pulp_events.errors import EventTooLarge, LogError
from pulp_events.kafka import Servers
from pulp_events.topics import Topics


def audit_change(kafka: Servers, topics: Topics, what: What, *, target: str, detail: str = "") -> str | None:
    """Record that the current account has changed a user; return None, or why the record could not be written.

    The change itself is done: it does not depend on Kafka.
    """
    record = audit_record(what, actor=operator(), address=socket.gethostname(), target=target, detail=detail)
    try:
        write_audit(kafka, topics.audit, record)
    except (LogError, EventTooLarge) as error:
        return str(error)
    return None


def operator() -> str:
    """Who runs this command, as the audit and the history name it."""
    return f"os:{_account()}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a passwd entry, as in a container
        return str(os.getuid())
