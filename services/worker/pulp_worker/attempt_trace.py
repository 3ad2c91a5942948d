"""The span of an attempt: from its turn until its end is in the log."""

from contextlib import AbstractContextManager, nullcontext

from pulp_events.events import Outcome
from pulp_runtime.telemetry.tracing import Kind, Span, Tracing, of_task

from pulp_worker.attempt_parts import Finishing, Gone, Over, Released, State
from pulp_worker.claims import Claim
from pulp_worker.outcome import Ended


class AttemptTrace:
    """The span of one attempt, below the one that assigned it. Without traces, or outside of one, it does nothing."""

    __slots__ = ("_claim", "_error", "_span", "_tracing")

    def __init__(self, tracing: Tracing | None, claim: Claim) -> None:
        self._tracing = tracing
        self._claim = claim
        self._span: Span | None = None
        self._error: str | None = None

    @property
    def traceparent(self) -> str | None:
        """The context for work that the attempt causes."""
        return None if self._span is None else self._span.traceparent

    def begin(self) -> None:
        """It is its turn in its slot."""
        claim = self._claim
        if self._tracing is not None and claim.traceparent is not None:
            attributes = of_task(claim.task_id) | {
                "pulp.task.operation": claim.operation,
                "pulp.task.attempt": claim.attempt,
                "pulp.task.attempt_id": str(claim.attempt_id),
            }
            self._span = self._tracing.begin(f"run {claim.operation}", Kind.CONSUMER, claim.traceparent, attributes)

    def within(self) -> AbstractContextManager[None]:
        """What is started in the block runs in the span."""
        return nullcontext() if self._tracing is None else self._tracing.within(self._span)

    def ended(self, ended: Ended) -> None:
        """The operation has ended, or will never begin."""
        if self._span is not None:
            self._span.set({"pulp.task.outcome": ended.outcome})
            if ended.outcome is Outcome.FAILED:
                self._error = "failed" if ended.error is None else ended.error.code

    def follow(self, state: State) -> None:
        """End the span once the attempt sends nothing more."""
        if self._span is not None and _is_told(state):
            self._span.end(self._error)


def _is_told(state: State) -> bool:
    return isinstance(state, Gone | Over | Released) or (isinstance(state, Finishing) and state.position is not None)
