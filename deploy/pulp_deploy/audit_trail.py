"""What a command of ours changes, for the audit."""

import getpass
import os
import socket

from pulp_events.audit import What, audit_record
from pulp_events.audit_log import write_audit
from pulp_events.errors import LogError
from pulp_events.kafka import Servers
from pulp_events.topics import Topics


def audit_change(kafka: Servers, topics: Topics, what: What, *, target: str, detail: str = "") -> str | None:
    """Write that the account that runs this has changed a user; None, or why it could not be written.

    The change itself is done: it does not depend on Kafka.
    """
    record = audit_record(what, actor=f"os:{_account()}", address=socket.gethostname(), target=target, detail=detail)
    try:
        write_audit(kafka, topics.audit, [record])
    except LogError as error:
        return str(error)
    return None


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without an entry, as in a container
        return str(os.getuid())
