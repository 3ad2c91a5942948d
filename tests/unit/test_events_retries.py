"""Whether a task is tried again, and when: the arithmetic of the waits, the deadline, and which errors are final."""

import re
from datetime import timedelta
from pathlib import Path
from statistics import mean
from uuid import UUID, uuid4

import pytest
from pulp_events.events import ErrorCode, Retry
from pulp_events.retries import NOT_REPEATED, Attempts, attempts_of, is_worth_repeating, retry_at
from pulp_events.task import Ignored, Position, evolve

from tests.support.events import ATTEMPT, NOON, accepted

RETRY = Retry(retries=4, backoff_seconds=10, max_backoff_seconds=35)
DOCUMENT = Path(__file__).parents[2] / "docs" / "develop" / "retries.md"


def wait_s(attempts: Attempts, attempt_id: UUID) -> float:
    found = retry_at(attempts, attempt_id, NOON)
    assert found is not None
    return (found - NOON).total_seconds()


@pytest.mark.parametrize(("failed", "longest_s"), [(0, 10), (1, 20), (2, 35), (3, 35)])
def test_a_wait_doubles_up_to_the_longest_and_a_part_of_it_is_left_out(failed: int, longest_s: float) -> None:
    found = [wait_s(Attempts(RETRY, failed), uuid4()) for _ in range(500)]
    assert longest_s / 2 <= min(found) < 0.55 * longest_s
    assert 0.95 * longest_s < max(found) <= longest_s
    assert mean(found) == pytest.approx(0.75 * longest_s, rel=0.05)


def test_everybody_finds_the_same_wait_of_an_attempt() -> None:
    assert wait_s(Attempts(RETRY, 1), ATTEMPT) == wait_s(Attempts(RETRY, 1), ATTEMPT)


@pytest.mark.parametrize("attempts", [Attempts(), Attempts(RETRY, 4), Attempts(RETRY, 5), Attempts(Retry(retries=0))])
def test_without_a_retry_left_there_is_no_further_attempt(attempts: Attempts) -> None:
    assert not attempts.may_repeat
    assert retry_at(attempts, ATTEMPT, NOON) is None


def test_an_attempt_that_could_not_begin_before_the_deadline_does_not_follow() -> None:
    at = NOON + timedelta(seconds=wait_s(Attempts(RETRY), ATTEMPT))
    just_after = at + timedelta(microseconds=1)
    assert retry_at(Attempts(RETRY, 0, just_after), ATTEMPT, NOON) == at
    assert retry_at(Attempts(RETRY, 0, at), ATTEMPT, NOON) is None


def test_the_deadline_counts_from_the_acceptance() -> None:
    task = evolve(None, accepted(retry=RETRY, deadline_seconds=90), Position(0, 0), int(NOON.timestamp() * 1000))
    assert not isinstance(task, Ignored)
    assert attempts_of(task) == Attempts(RETRY, 0, NOON + timedelta(seconds=90))


def test_the_document_says_which_errors_are_final() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (yes|no) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {code: word == "yes" for code, word in rows} == {code: code not in NOT_REPEATED for code in ErrorCode}


def test_an_error_of_an_operation_is_worth_repeating() -> None:
    assert is_worth_repeating("fetch-failed")
    assert not is_worth_repeating(ErrorCode.BAD_ARGUMENTS)
