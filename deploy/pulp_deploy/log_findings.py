"""Whether the log that shows alterations keeps up with the events; for `pulp-tasks doctor`."""

import time
from typing import Final

from pulp_events.checkpoints import Covered, covered
from pulp_events.errors import LogError
from pulp_events.findings import Finding, Severity
from pulp_events.kafka import Servers
from pulp_events.topics import Topics

BEHIND_S: Final = 600.0
"""How long a record may wait for a checkpoint that covers it; usually it is the interval of checkpoints."""


def look(kafka: Servers, topics: Topics) -> list[Finding]:
    """The findings; none where no log was ever kept, or Kafka does not answer, which others report."""
    try:
        found = covered(kafka, topics.events, topics.checkpoints)
    except LogError:
        return []
    return judge(found, time.time() * 1000)


def judge(found: list[Covered], now_ms: float) -> list[Finding]:
    """One finding for all partitions whose log is behind."""
    late = [
        each for each in found if each.waiting_since_ms is not None and now_ms - each.waiting_since_ms > BEHIND_S * 1000
    ]
    if not late:
        return []
    oldest_s = max(now_ms - (each.waiting_since_ms or 0) for each in late) / 1000
    return [
        Finding(
            "log-behind",
            "Tamper evidence",
            Severity.WARNING,
            f"no checkpoint covers {sum(each.lag for each in late)} events of partition"
            f" {', '.join(str(each.partition) for each in late)}, for {oldest_s / 60:.0f} minutes",
            "nothing shows if one of them is altered",
            "start pulp-tasks transparency, or see what it logs: pulp-tasks audit status",
        )
    ]
