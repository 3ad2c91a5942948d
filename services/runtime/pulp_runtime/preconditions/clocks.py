"""Whether the clocks agree: this machine's, the brokers' and Postgres's.

Each clock is read between two readings of this machine's clock, so the round trip bounds the error. An offset is
reported only if it exceeds that bound.
"""

from pulp_events.clock import Offset
from pulp_events.findings import Finding, Severity

_MEND = "run a time service on each machine (chrony or systemd-timesyncd): chronyc makestep"


def judge(broker: Offset | None, postgres: Offset | None, bound_s: float) -> list[Finding]:
    """Findings about clocks that are off by more than `bound_s`; None stands for a clock that was not read."""
    found = []
    if broker is not None and broker.least_s > bound_s:
        found.append(
            Finding(
                "clock-broker",
                "Kafka",
                Severity.WARNING,
                f"the broker's clock is {broker} this machine's",
                "events have its times: what happened until a time, or since, is answered wrongly by as much",
                _MEND,
            )
        )
    if postgres is not None and postgres.least_s > bound_s:
        found.append(
            Finding(
                "clock-postgres",
                "Postgres",
                Severity.WARNING,
                f"the clock of Postgres is {postgres} this machine's",
                "times of workers and claims do not fit those of events and logs",
                _MEND,
            )
        )
    return found
