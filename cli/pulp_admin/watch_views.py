"""Views of a watched task: a bar on a terminal, a line for each change elsewhere."""

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import click
from pulp_console.colours import is_coloured
from pulp_console.escaping import one_line, plain
from pulp_console.output import cells_of, check_reader, hint, show_next
from pulp_console.times import time_text

from pulp_admin.progress import counts_of, progress_words
from pulp_admin.spans import span_text, time_of
from pulp_admin.words import state_of_report

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLOURS: Final = {"Successful": "green", "Error": "red", "Cancelled": "yellow", "Cancelling": "yellow"}
_NARROWEST_BAR: Final = 10
_WIDEST_BAR: Final = 40
_DUMB: Final = ("dumb", "unknown")


class View(Protocol):
    """Shows a watched task."""

    def show(self, task: Mapping[str, Any], *, at: str | None, waits_for: str) -> None:
        """Show a change of the task, with its time in RFC 3339 if known."""
        ...

    def idle(self) -> None:
        """Called while nothing changes. Raises `BrokenPipeError` if nobody reads standard output any more."""
        ...

    def remark(self, text: str) -> None:
        """Print a remark that is not part of the output."""
        ...

    def close(self) -> None:
        """End the view."""
        ...


def view_for(output: str) -> View:
    """Return the view for a terminal, a file or a program."""
    if output in ("json", "yaml"):
        return DataView(output)
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in _DUMB:
        return BarView()
    return LineView()


class _Lines:
    """The base of views that only print: they redraw nothing, and leave nothing open."""

    def idle(self) -> None:
        check_reader()

    def remark(self, text: str) -> None:
        hint(text)

    def close(self) -> None:
        """Nothing is left open."""


class LineView(_Lines):
    """Prints a line for each change: time, event, progress."""

    def __init__(self) -> None:
        self._said = ""

    def show(self, task: Mapping[str, Any], *, at: str | None, waits_for: str) -> None:
        line = sentence(task, waits_for)
        if line != self._said:
            self._said = line
            click.echo(f"{at or time_text(datetime.now(UTC))} {line}")
            sys.stdout.flush()


class DataView(_Lines):
    """Prints the task after each change, for programs."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._said: Mapping[str, Any] | None = None

    def show(self, task: Mapping[str, Any], *, at: str | None, waits_for: str) -> None:
        if task != self._said:
            self._said = dict(task)
            show_next(self._output, self._said, "")
            sys.stdout.flush()


class BarView:
    """Redraws one line, and prints the outcome below it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(no_color=not is_coloured(sys.stdout), highlight=False, soft_wrap=False)
        self._is_ascii = console.options.ascii_only
        self._task: Mapping[str, Any] | None = None
        self._waits_for = ""
        self._console = console
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=4,
        )

    def show(self, task: Mapping[str, Any], *, at: str | None, waits_for: str) -> None:
        state = state_of_report(task)
        if state.exit_code is not None:
            self.close()
            click.echo(click.style(sentence(task, ""), fg=_COLOURS.get(state.guide)), color=is_coloured(sys.stdout))
            return
        self._task, self._waits_for = task, waits_for
        if not self._live.is_started:
            self._live.start(refresh=True)

    def idle(self) -> None:
        """Somebody is watching, or the terminal ends this process."""

    def remark(self, text: str) -> None:
        """On the same terminal it must appear above the bar."""
        from rich.text import Text

        if self._live.is_started and sys.stderr.isatty():
            self._console.print(Text(plain(text)))
        else:
            hint(text)

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> "RenderableType":
        from rich.text import Text

        if self._task is None:
            return Text("")
        width = max(10, self._console.width - 1)  # some terminals wrap after the last column
        text = bar_line(self._task, self._waits_for, width, datetime.now(UTC), is_ascii=self._is_ascii)
        state = state_of_report(self._task)
        style = _COLOURS.get(state.guide, "cyan")
        line = Text(text, no_wrap=True, overflow="crop")
        line.highlight_words([state.guide], style)
        return line


def sentence(task: Mapping[str, Any], waits_for: str) -> str:
    """`sync: Running, 5/10 items`; for a finished task, its duration and error."""
    state = state_of_report(task)
    head = f"{task['task_type']}: {state.guide}"
    if state.exit_code is None:
        return one_line(
            f"{head}. {waits_for}" if waits_for else ", ".join([head, *progress_words(task.get("progress"))])
        )
    started, finished = time_of(task.get("start_time")), time_of(task.get("finish_time"))
    after = f" after {span_text(started, finished)}" if started and finished else ""
    error = task.get("error")
    told = f": {error.get('description') or error.get('code')}" if isinstance(error, dict) else ""
    is_partly_done = state.exit_code and counts_of(task.get("progress")).fraction != 1
    done = progress_words(task.get("progress")) if is_partly_done else []
    return one_line(f"{head}{after}{told}" + (f" ({', '.join(done)})" if done else ""))


def bar_line(task: Mapping[str, Any], waits_for: str, width: int, now: datetime, *, is_ascii: bool) -> str:
    """The task in one line of a terminal, shortened to fit, with the bar last."""
    state = state_of_report(task)
    elapsed = span_text(time_of(task.get("start_time") or task.get("submit_time")), now)
    words = [waits_for] if waits_for else progress_words(task.get("progress"))
    tail = " ".join(filter(None, [*(one_line(word) for word in words), elapsed]))
    head = one_line(f"{task['task_type']}: {state.guide}")
    room = width - cells_of(head) - cells_of(tail) - 2
    fraction = counts_of(task.get("progress")).fraction
    if fraction is not None and room - 1 >= _NARROWEST_BAR:
        return f"{head} {_bar(fraction, min(room - 1, _WIDEST_BAR), is_ascii=is_ascii)} {tail}"
    if room < 0:  # the user knows the operation's name
        head = state.guide
    line = f"{head} {tail}"
    return line if cells_of(line) <= width else _cropped(f"{head} {elapsed}  {' '.join(map(one_line, words))}", width)


def _bar(fraction: float, width: int, *, is_ascii: bool) -> str:
    full = int(fraction * width)
    done, left = ("#", "-") if is_ascii else ("━", "╌")
    return done * full + left * (width - full)


def _cropped(text: str, width: int) -> str:
    while cells_of(text) > width:
        text = text[:-1]
    return text.rstrip()
