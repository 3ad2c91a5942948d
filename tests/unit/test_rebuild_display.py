"""How `pulp-tasks rebuild` shows its progress."""

import io

import pytest
from pulp_deploy.commands.rebuild_display import Display, line
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def progress(phase: Phase, done: int, total: int, left_s: float | None = None) -> Progress:
    return Progress(phase, done, total, 1000.0, left_s)


def test_in_a_pipe_a_phase_that_stands_still_is_told_once() -> None:
    pipe, clock = io.StringIO(), Clock()
    with Display(pipe, clock) as display:
        for _ in range(3):
            clock.now_s += 10
            display(progress(Phase.CATCHING_UP, 7, 7))
            display(progress(Phase.SWITCHING, 0, 0))
    assert pipe.getvalue().splitlines() == ["catching up  100.0 %  7 of 7 events", "switching"]


def test_in_a_pipe_progress_is_told_now_and_then_and_when_all_is_done() -> None:
    pipe, clock = io.StringIO(), Clock()
    with Display(pipe, clock) as display:
        for done in range(101):
            clock.now_s += 0.1  # ten seconds in all
            display(progress(Phase.FILLING, done, 100, left_s=65.0))
    first, *between, last = pipe.getvalue().splitlines()
    assert first == "filling  0.0 %  0 of 100 events  1,000/s  1:05 left"
    assert 1 <= len(between) <= 2
    assert last == "filling  100.0 %  100 of 100 events"


def test_on_a_terminal_one_line_changes_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal = Terminal()
    with Display(terminal) as display:
        display(progress(Phase.FILLING, 123_456, 99_999_999, left_s=36_000.0))
        display(progress(Phase.INDEXING, 0, 0))
    clear = "\r\x1b[K"
    assert terminal.getvalue() == f"{clear}{'filling  0.1 %  123,456 of 99,999,999'[:29]}{clear}indexing{clear}"


def test_a_line_fits_eighty_columns() -> None:
    longest = Progress(Phase.CATCHING_UP, 99_999_998, 99_999_999, 150_000.0, 36_000.0)
    assert len(line(longest)) < 80


def test_a_meter_tells_once_that_all_is_done() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = PhaseMeter(seen.append, Phase.CATCHING_UP, {0: 5, 1: 5}, {0: 0, 1: 5}, clock)
    for next_offset in (3, 5, 5, 6):
        meter.moved(0, next_offset)
    assert [item.done for item in seen] == [5, 10]
