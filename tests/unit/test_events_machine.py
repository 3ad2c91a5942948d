"""The state machine keeps its promises for any events in any order."""

from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pulp_events.events import AttemptFailed, Event, Finished, Outcome, Progress, Started
from pulp_events.task import FINAL, Ignored, Position, State, Task, evolve

from tests.support.events import (
    ATTEMPT,
    OTHER_ATTEMPT,
    accepted,
    attempt_failed,
    cancel_requested,
    finished,
    progress,
    purged,
    started,
)

ATTEMPTS = st.sampled_from([ATTEMPT, OTHER_ATTEMPT])
NEXT: dict[State | None, set[State]] = {
    None: {State.WAITING},
    State.WAITING: {State.RUNNING, State.CANCELLING, *FINAL},
    State.RUNNING: {State.RUNNING, State.WAITING, State.CANCELLING, *FINAL},
    State.CANCELLING: {State.CANCELLING, *FINAL},
    **{state: {state} for state in FINAL},
}
"""Where an effect may lead: the only way back is a failed attempt, and nothing leaves a final state."""


class Story(RuleBasedStateMachine):
    """One task, to which any event may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.task: Task | None = None
        self.offset = 0
        self.effective: list[Event] = []

    def happens(self, event: Event) -> None:
        before = self.task
        after = evolve(before, event, Position(0, self.offset), at_ms=self.offset)
        assert after == evolve(before, event, Position(0, self.offset), at_ms=self.offset)  # a pure function
        self.offset += 1
        if isinstance(after, Ignored):
            return
        assert after.state in NEXT[before.state if before else None]
        assert after.offset == self.offset - 1
        self.effective.append(event)
        self.task = after

    @rule()
    def is_accepted(self) -> None:
        self.happens(accepted())

    @rule(attempt=st.integers(1, 3), attempt_id=ATTEMPTS, cancellable=st.booleans())
    def is_started(self, attempt: int, attempt_id: UUID, cancellable: bool) -> None:
        self.happens(started(attempt=attempt, attempt_id=attempt_id, cancellable=cancellable))

    @rule(attempt_id=ATTEMPTS, sequence=st.integers(1, 4))
    def gets_on(self, attempt_id: UUID, sequence: int) -> None:
        self.happens(progress(attempt_id=attempt_id, sequence=sequence))

    @rule(attempt_id=ATTEMPTS)
    def is_tried_again(self, attempt_id: UUID) -> None:
        self.happens(attempt_failed(attempt_id=attempt_id))

    @rule()
    def is_to_stop(self) -> None:
        self.happens(cancel_requested())

    @rule(attempt_id=st.none() | ATTEMPTS, outcome=st.sampled_from(Outcome))
    def ends(self, attempt_id: UUID | None, outcome: Outcome) -> None:
        self.happens(finished(attempt_id=attempt_id, outcome=outcome))

    @rule()
    def is_purged(self) -> None:
        self.happens(purged())

    @invariant()
    def the_version_counts_the_effective_events(self) -> None:
        assert (self.task.version if self.task else 0) == len(self.effective)

    @invariant()
    def it_ends_at_most_once_and_after_that_it_can_only_be_purged_once(self) -> None:
        kinds = [type(event.data).__name__ for event in self.effective]
        assert kinds.count("Finished") <= 1
        if "Finished" in kinds:
            assert kinds[kinds.index("Finished") + 1 :] in ([], ["Purged"])

    @invariant()
    def it_ends_as_the_effective_end_says(self) -> None:
        if self.task is not None and self.task.state in FINAL:
            [last] = [event.data for event in self.effective if isinstance(event.data, Finished)]
            assert (self.task.state.value, self.task.attempt_id) == (last.outcome.value, last.attempt_id)
            assert self.task.finished_at_ms is not None

    @invariant()
    def only_an_ended_task_is_purged(self) -> None:
        if self.task is not None and self.task.purged_at_ms is not None:
            assert self.task.state in FINAL
            assert type(self.effective[-1].data).__name__ == "Purged"

    @invariant()
    def nothing_starts_after_a_cancel(self) -> None:
        kinds = [type(event.data).__name__ for event in self.effective]
        if "CancelRequested" in kinds:
            cancelled = kinds.index("CancelRequested")
            assert kinds.count("CancelRequested") == 1
            assert "Started" not in kinds[cancelled:]

    @invariant()
    def only_the_current_attempt_reports_and_always_something_later(self) -> None:
        attempt: UUID | None = None
        sequence = 0
        for event in self.effective:
            if isinstance(event.data, Started):
                attempt, sequence = event.data.attempt_id, 0
            elif isinstance(event.data, AttemptFailed):
                assert event.data.attempt_id == attempt
                attempt = None
            elif isinstance(event.data, Progress):
                assert event.data.attempt_id == attempt
                assert event.data.sequence > sequence
                sequence = event.data.sequence

    @invariant()
    def attempts_have_rising_numbers(self) -> None:
        numbers = [event.data.attempt for event in self.effective if isinstance(event.data, Started)]
        assert numbers == sorted(set(numbers))

    @invariant()
    def it_runs_with_an_attempt_and_waits_without(self) -> None:
        if self.task is not None:
            assert not (self.task.state is State.WAITING and self.task.attempt_id is not None)
            assert not (self.task.state is State.RUNNING and self.task.attempt_id is None)

    @invariant()
    def it_knows_how_often_it_failed_and_until_when_it_waits(self) -> None:
        if self.task is not None:
            failed = [event for event in self.effective if isinstance(event.data, AttemptFailed)]
            assert self.task.failed_attempts == len(failed)
            is_next = self.task.state is State.WAITING and bool(failed)
            assert (self.task.retry_at_ms is not None) == is_next


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
