"""The screen of `top`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Thread
from typing import Any, ClassVar, Final

from pulp_console.escaping import one_line, plain
from pulp_console.output import cropped
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.markup import escape
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from pulp_admin.errors import Failure
from pulp_admin.paths import id_in
from pulp_admin.top_feed import Picture, TopFeed
from pulp_admin.top_rows import (
    ShownColumn,
    cells_of_task,
    columns_for,
    counts_line,
    detail_lines,
    matches,
    queue_lines,
    resources_of,
    worker_lines,
)
from pulp_admin.words import state_of

_COLOURS: Final = {
    "Running": "cyan",
    "Cancelling": "yellow",
    "Successful": "green",
    "Error": "bold red",
    "Cancelled": "yellow",
    "Skipped": "magenta",
}
_HELP: Final = """\
[b]↑ ↓[/b] or [b]k j[/b]  the row above or below      [b]PgUp PgDn Home End[/b]  far
[b]Enter[/b]       all about the task, and why it waits
[b]c[/b]           cancel the task, after a question
[b]a[/b]           include tasks that have ended, or leave them out
[b]/[/b]           only tasks with a text in them; [b]Esc[/b] shows all again
[b]p[/b]           pause, and go on
[b]Tab[/b]         to the queues, to the workers, and back
[b]q[/b]           quit

Running tasks come first, then those that wait, the oldest first.
Queues: READY tasks lack only a free slot, BLOCKED ones wait for a
resource or another task, RUN ones run; a ! marks tasks that no live worker can run.
Workers: busy slots of all, and when each was heard of."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Seen(Message):
    """The server reported something."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture


class _Connected(Message):
    """Whether events arrive."""

    def __init__(self, why_not: str | None) -> None:
        super().__init__()
        self.why_not = why_not


class _Ended(Message):
    """The feed cannot go on."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Then(Message):
    """What to do in the screen's own thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work


class Sheet(ModalScreen[None]):
    """A text above the screen, until a key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark", "dismiss", "Close"),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, text: str | Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="sheet") as box:
            box.border_title = escape(one_line(self._title))
            box.border_subtitle = "Esc closes"
            yield Static(self._text, classes="sheet-text")

    def show(self, text: Text) -> None:
        """Show another text."""
        self.query_one(".sheet-text", Static).update(text)

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


class Question(ModalScreen[bool]):
    """A question, answered by `y`; every other key means no."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="sheet question"):
            yield Static(Text(f"{self._text}\n\n[y] yes   [n] no"), classes="sheet-text")

    def on_key(self, event: Any) -> None:
        """Take the answer."""
        event.stop()
        self.dismiss(event.key == "y")


class TopScreen(App[Exception]):
    """Tasks above, queues and workers below. `run` returns the error that ended it, None after `q`."""

    TITLE = "pulp-admin top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head, #counts { height: 1; padding: 0 1; }
    #head { background: $panel; text-style: bold; }
    #tasks { height: 1fr; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.open { display: block; }
    #below { height: 30%; min-height: 5; border-top: solid $panel; }
    #below VerticalScroll { width: 1fr; padding: 0 1; }
    #below VerticalScroll:focus { background: $boost; }
    Sheet, Question { align: center middle; }
    .sheet { width: 90%; max-width: 76; height: auto; max-height: 90%; padding: 1 2; }
    .sheet { border: round $primary; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("enter", "details", "Details", key_display="Enter"),
        Binding("c", "cancel_task", "Cancel"),
        Binding("a", "all", "All"),
        Binding("slash", "filter", "Find", key_display="/"),
        Binding("p", "pause", "Pause"),
        Binding("j", "down(1)", show=False),
        Binding("k", "down(-1)", show=False),
        Binding("escape", "show_all", show=False),
    ]

    def __init__(
        self,
        feed: TopFeed,
        url: str,
        *,
        first: Picture,
        may_cancel: bool = True,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__()
        self._feed, self._url, self._picture, self._clock = feed, url, first, clock
        self._may_cancel = may_cancel
        self._is_paused = False
        self._why_not: str | None = "connecting"
        self._wanted = ""
        self._columns: list[ShownColumn] = []
        self._rows: dict[str, dict[str, str]] = {}

    # Called by the feed, in its own threads.

    def see(self, picture: Picture) -> None:
        """See `Viewer`."""
        self.post_message(_Seen(picture))

    def connected(self, why_not: str | None) -> None:
        """See `Viewer`."""
        self.post_message(_Connected(why_not))

    def ended(self, error: Exception) -> None:
        """See `Viewer`."""
        self.post_message(_Ended(error))

    # The screen.

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="counts")
        yield DataTable(id="tasks", cursor_type="row", zebra_stripes=False)
        yield Input(id="filter", placeholder="a text in any column, or the first digits of an id", compact=True)
        with Horizontal(id="below"):
            with VerticalScroll(can_focus=True):
                yield Static(id="queues")
            with VerticalScroll(can_focus=True):
                yield Static(id="workers")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to follow."""
        self.query_one("#tasks").focus()
        self._draw()
        self.set_interval(1.0, self._tick)
        self._feed.start(self)

    def on_unmount(self) -> None:
        """Follow no longer."""
        self._feed.stop()

    def on_resize(self) -> None:
        """Choose the columns again."""
        self.call_after_refresh(self._draw)

    @on(_Seen)
    def _on_seen(self, message: _Seen) -> None:
        """Show what the server reported."""
        self._picture = message.picture
        if not self._is_paused:
            self._draw()

    @on(_Connected)
    def _on_connected(self, message: _Connected) -> None:
        """Show whether events arrive."""
        self._why_not = message.why_not
        self._draw_head()

    @on(_Ended)
    def _on_ended(self, message: _Ended) -> None:
        """End with the error."""
        self.exit(message.error)

    @on(_Then)
    def _on_then(self, message: _Then) -> None:
        """Do it."""
        message.work()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Show only rows that contain the text."""
        self._wanted = message.value.strip()
        self._draw()

    def on_input_submitted(self) -> None:
        """Go to the match."""
        self.query_one("#tasks").focus()

    def on_data_table_row_selected(self) -> None:
        """Enter, or a click on the row under the cursor."""
        self.action_details()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A user who may not cancel has no key for it."""
        return self._may_cancel if action == "cancel_task" else True

    # Actions of the keys.

    def action_help(self) -> None:
        """Explain the keys."""
        self.push_screen(Sheet("Keys", _HELP))

    def action_pause(self) -> None:
        """Pause the display, or resume it."""
        self._is_paused = not self._is_paused
        self._draw()

    def action_all(self) -> None:
        """Include tasks that have ended, or leave them out."""
        self._feed.shows_all = not self._feed.shows_all
        self._feed.look_soon()
        self._draw_head()

    def action_down(self, by: int) -> None:
        """Move the cursor."""
        tasks = self._table
        tasks.move_cursor(row=max(0, min(tasks.row_count - 1, tasks.cursor_row + by)))

    def action_filter(self) -> None:
        """Ask for the text to look for."""
        box = self.query_one("#filter", Input)
        box.add_class("open")
        box.focus()

    def action_show_all(self) -> None:
        """Show all tasks again."""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.remove_class("open")
        self._table.focus()

    def action_details(self) -> None:
        """Show all about the task under the cursor."""
        task = self._current()
        if task is None:
            return
        width = min(70, self.size.width - 12)
        text = "\n".join(detail_lines(task, self._clock(), width))
        sheet = Sheet(str(task["name"]), Text(text))
        self.push_screen(sheet)
        if task["state"] == "waiting":
            self._ask(lambda: self._feed.why(id_in(task["pulp_href"])), lambda why: sheet.show(_with_why(text, why)))

    def action_cancel_task(self) -> None:
        """Cancel the task under the cursor, after a question."""
        task = self._current()
        if task is None:
            return
        task_id = id_in(task["pulp_href"])
        if state_of(task["state"]).exit_code is not None:
            self.notify("This task has ended.")
            return
        resources = resources_of(task)
        of = "" if resources == "-" else f" of {one_line(resources)}"
        what = f"Cancel {one_line(str(task['name']))}{of}?\n{task_id}"

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                self._ask(lambda: self._feed.cancel(task_id), self._cancelled)

        self.push_screen(Question(what), answered)

    def _cancelled(self, refusal: str | None) -> None:
        if refusal is None:
            self.notify("The task was asked to stop.")
        else:
            self.notify(plain(refusal), severity="error", timeout=10, markup=False)
        self._feed.look_soon()

    def _ask(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Call the server in a thread that nobody waits for, and go on with the answer in this one."""

        def work() -> None:
            try:
                answer = call()
            except Failure as failure:
                told = plain(failure.message.strip().partition("\n")[0] or str(failure))
                self.post_message(_Then(lambda: self.notify(told, severity="error", markup=False)))
            except Exception as error:  # at the edge of the thread: the screen ends with it
                self.ended(error)
            else:
                self.post_message(_Then(lambda: then(answer)))

        Thread(target=work, daemon=True).start()

    # Drawing.

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one("#tasks", DataTable)

    def _current(self) -> Mapping[str, Any] | None:
        """The task under the cursor."""
        table = self._table
        if not table.row_count:
            return None
        row_key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key
        return next((task for task in self._picture.tasks if id_in(task["pulp_href"]) == row_key.value), None)

    def _tick(self) -> None:
        if not self._is_paused and len(self.screen_stack) == 1:
            self._draw()

    def _draw(self) -> None:
        now = self._clock()
        self._draw_head()
        self._draw_tasks(now)
        half = max(20, self.size.width // 2 - 3)
        queues = self.query_one("#queues", Static)
        queues.update(_lines(queue_lines(self._picture.queues, half), marks="!"))
        self.query_one("#workers", Static).update(_lines(worker_lines(self._picture.workers, now, half)))

    def _draw_head(self) -> None:
        if self._is_paused:
            word, colour = "paused", "yellow"
        elif self._why_not is None:
            word, colour = "live", "green"
        else:
            word, colour = one_line(self._why_not), "red"
        room = max(10, self.size.width - 4)
        scope = "all tasks" if self._feed.shows_all else "tasks that have not ended"
        if self._wanted:
            scope = f"{scope} with {self._wanted!r}"
        left = cropped(f"{self._url}  {scope}", max(10, room - len(word) - 4))
        self.query_one("#head", Static).update(Text.assemble(left, "  ", ("● ", colour), cropped(word, room // 2)))
        self.query_one("#counts", Static).update(Text(counts_line(self._picture.counts, room)))

    def _draw_tasks(self, now: datetime) -> None:
        table = self._table
        columns = columns_for(self.size.width)
        found = {id_in(task["pulp_href"]): cells_of_task(task, now) for task in self._picture.tasks}
        rows = {each: cells for each, cells in found.items() if matches(cells, each, self._wanted)}
        if columns != self._columns:
            self._columns, self._rows = columns, {}
            table.clear(columns=True)
            for column in columns:
                table.add_column(column.name, width=column.width, key=column.name)
        if list(rows) == list(self._rows):
            for task_id, cells in rows.items():
                for name, width in columns:
                    if cells[name] != self._rows[task_id].get(name):
                        table.update_cell(task_id, name, _cell(cells[name], width))
        else:
            self._replace(rows)
        self._rows = rows

    def _replace(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        """Write all rows again; the cursor stays on its task."""
        table = self._table
        place = table.cursor_row
        before = list(self._rows)[place : place + 1]
        table.clear()
        for task_id, cells in rows.items():
            table.add_row(*(_cell(cells[name], width) for name, width in self._columns), key=task_id)
        if rows:
            ids = list(rows)
            there = ids.index(before[0]) if before and before[0] in rows else min(place, len(ids) - 1)
            table.move_cursor(row=there, animate=False)


def _cell(text: str, width: int) -> Text:
    return Text(cropped(text, width), style=_COLOURS.get(text, ""), no_wrap=True)


def _lines(lines: list[str], marks: str = "") -> Text:
    """The first line is a head; one with the mark is red."""
    parts = [
        (line, "dim" if place == 0 else "red" if marks and marks in line else "") for place, line in enumerate(lines)
    ]
    return Text("\n").join(Text(line, style=style, no_wrap=True) for line, style in parts)


def _with_why(text: str, why: Mapping[str, Any]) -> Text:
    reasons = [f"{each['message']} {each['advice']}" for each in why["reasons"]] or [str(why["message"])]
    return Text(plain(f"{text}\n\nIt waits:\n" + "\n".join(reasons)))
