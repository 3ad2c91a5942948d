"""How long the steps of an attempt take, for the worker's metrics."""

import time

from pulp_runtime.telemetry.catalog import ATTEMPTS, BEGIN_SECONDS, RUN_SECONDS, STOP_SECONDS
from pulp_runtime.telemetry.metric import Meter

RETRIED = "retried"
"""The outcome of an attempt that failed and is repeated."""


class AttemptTimes:
    """The times of one attempt. Call a method at each step; a step that never happens is not measured."""

    __slots__ = ("_asked_at_s", "_meter", "_operation", "_ran_from_s", "_turn_at_s")

    def __init__(self, meter: Meter, operation: str) -> None:
        self._meter = meter
        self._operation = operation
        self._turn_at_s = self._ran_from_s = time.monotonic()
        self._asked_at_s: float | None = None

    def turn_came(self) -> None:
        """It is its turn in its slot."""
        self._turn_at_s = time.monotonic()

    def began(self) -> None:
        """Its operation begins."""
        self._ran_from_s = time.monotonic()
        self._meter.observe(BEGIN_SECONDS, self._ran_from_s - self._turn_at_s)

    def asked_to_stop(self) -> None:
        """Its operation is asked to stop."""
        self._asked_at_s = time.monotonic()

    def stopped(self) -> None:
        """No part of its operation runs any more."""
        now_s = time.monotonic()
        self._meter.observe(RUN_SECONDS, now_s - self._ran_from_s, self._operation)
        if self._asked_at_s is not None:
            self._meter.observe(STOP_SECONDS, now_s - self._asked_at_s)

    def ended(self, outcome: str) -> None:
        """Its outcome."""
        self._meter.count(ATTEMPTS, self._operation, outcome)
