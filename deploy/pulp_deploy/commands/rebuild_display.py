"""Show the progress of a rebuild on standard error: one changing line on a terminal, else a line from time to time."""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TextIO

import click
from pulp_processor.rebuilding.progress import Phase, Progress

_LINE_EVERY_S: Final = 5.0
_CLEAR: Final = "\r\x1b[K"


class Display:
    """Shows the progress that it is called with. On a terminal the line is erased at the end.

    A pipe or a file gets a line when a phase begins and one when it ends; in between, one
    every few seconds, if something has changed.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        *,
        patience_s: float = 0.0,
    ) -> None:
        """Nothing is shown for the first `patience_s` seconds."""
        self._silent_until_s = clock_s() + patience_s
        self._stream = stream or sys.stderr
        self._clock_s = clock_s
        self._is_terminal = self._stream.isatty()
        self._shown: dict[Phase, Progress] = {}
        self._shown_at_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal and self._shown:
            self._write(_CLEAR, nl=False)

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        if self._clock_s() < self._silent_until_s:
            return
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1  # some terminals wrap after the last column
            self._write(f"{_CLEAR}{line(progress)[:width]}", nl=False)
        elif self._is_news(progress):
            self._shown_at_s = self._clock_s()
            self._write(line(progress), nl=True)
        else:
            return
        self._shown[progress.phase] = progress

    def _write(self, text: str, *, nl: bool) -> None:
        with suppress(OSError):  # a terminal that was closed, or a full disk, must not end the rebuild
            click.echo(text, nl=nl, file=self._stream)

    def _is_news(self, progress: Progress) -> bool:
        last = self._shown.get(progress.phase)
        if last is None:
            return True
        if (last.done, last.total) == (progress.done, progress.total):
            return False
        is_complete = progress.done == progress.total and last.done < last.total
        return is_complete or self._clock_s() - self._shown_at_s >= _LINE_EVERY_S


def line(progress: Progress) -> str:
    """One line without its end; it fits 80 columns up to a hundred million events."""
    if not progress.total:
        return progress.phase
    text = f"{progress.phase}  {progress.percent:.1f} %  {progress.done:,} of {progress.total:,} events"
    if progress.done == progress.total or progress.left_s is None:
        return text
    return f"{text}  {progress.rate:,.0f}/s  {_left(progress.left_s)} left"


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
