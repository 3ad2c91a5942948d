"""Send one request for each of many tasks, some at a time, and report progress and results."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pulp_console.exits import CONFIG, DATA, DENIED, INTERRUPTED, UNAVAILABLE
from pulp_console.output import remark

from pulp_admin.errors import Failure

_QUIET_S: Final = 2.0
"""Shorter work shows no progress."""
_TERMINAL_STEP_S: Final = 0.2
_PLAIN_STEP_S: Final = 10.0

Report = Mapping[str, Any]
"""A task, as the v2 dialect reports it."""


class Word(StrEnum):
    """How the request for a task ended."""

    DONE = "done"
    ENDED = "ended"
    """It had already ended: nothing was left to do."""
    REFUSED = "refused"
    FAILED = "failed"
    UNTRIED = "untried"


class Outcome(NamedTuple):
    """How the request for a task ended, and why; `told` has more fields for programs."""

    word: Word
    reason: str = ""
    told: Mapping[str, Any] = {}
    code: int = 0
    """The exit code of the failure."""


class Result(NamedTuple):
    """A task, and how the request for it ended."""

    task: Report
    outcome: Outcome

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return str(self.task["task_id"])

    def data(self) -> dict[str, Any]:
        """As `--output json` prints it."""
        word, reason, told, _ = self.outcome
        return {"task_id": self.task_id, "outcome": word.value, "reason": reason or None, **told}


def act_on(tasks: Sequence[Report], act: Callable[[str], Outcome], *, at_once: int) -> list[Result]:
    """Call a function for each task, and return the results in the order of the tasks.

    A failure does not stop the others, but if the server cannot be reached, or after Ctrl-C, the rest is not tried.
    """
    found: list[Outcome] = []
    with _progress(len(tasks)) as tell:
        try:
            for outcome in _outcomes(tasks, act, at_once):
                found.append(outcome)
                tell(len(found))
                if outcome.code == CONFIG:
                    break
        except KeyboardInterrupt:
            found.append(Outcome(Word.UNTRIED, "interrupted before its answer came", code=INTERRUPTED))
    code = found[-1].code if found else 0
    rest = [Outcome(Word.UNTRIED, "not tried", code=code)] * (len(tasks) - len(found))
    return [Result(task, outcome) for task, outcome in zip(tasks, [*found, *rest], strict=True)]


def exit_code(results: Sequence[Result]) -> int:
    """0 if nothing is left to do; else that of the first failure, or 69 if the server only refused."""
    failed = [result.outcome.code for result in results if result.outcome.word in (Word.FAILED, Word.UNTRIED)]
    if failed:
        return failed[0]
    return UNAVAILABLE if any(result.outcome.word is Word.REFUSED for result in results) else 0


def _outcomes(tasks: Sequence[Report], act: Callable[[str], Outcome], at_once: int) -> Iterator[Outcome]:
    def attempt(task: Report) -> Outcome:
        try:
            return act(str(task["task_id"]))
        except Failure as failure:
            is_refused = failure.code in (DATA, DENIED, UNAVAILABLE)
            reason = failure.message.strip().partition("\n")[0]
            return Outcome(Word.REFUSED if is_refused else Word.FAILED, reason, code=failure.code)

    if at_once == 1:
        yield from map(attempt, tasks)
        return
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(min(at_once, len(tasks) or 1))
    try:
        yield from executor.map(attempt, tasks)
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Report how many are done on standard error, if it takes long."""
    is_terminal = sys.stderr.isatty()
    step_s = _TERMINAL_STEP_S if is_terminal else _PLAIN_STEP_S
    next_s = time.monotonic() + _QUIET_S
    has_told = False

    def tell(done: int) -> None:
        nonlocal next_s, has_told
        if time.monotonic() < next_s:
            return
        next_s, has_told = time.monotonic() + step_s, True
        remark(f"\r{done} of {total}" if is_terminal else f"{done} of {total}", nl=not is_terminal)

    try:
        yield tell
    finally:
        if has_told and is_terminal:
            remark("\r" + " " * (2 * len(str(total)) + 4) + "\r", nl=False)
