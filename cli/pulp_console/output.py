"""Output. Data goes to standard output, remarks to standard error."""

import contextlib
import json
import select
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import click

from pulp_console.colours import is_coloured
from pulp_console.escaping import one_line, plain

OUTPUTS: Final = ("table", "json", "yaml")
WIDTH: Final = 80


def show(output: str, value: Any, lines: Callable[[], Iterable[str]]) -> None:
    """Write `value` as JSON or YAML, or the lines of its page with control characters escaped."""
    click.echo(shown(output, value, lines), nl=False)


def shown(output: str, value: Any, lines: Callable[[], Iterable[str]]) -> str:
    """Return what `show` writes."""
    if output == "json":
        return json_text(value, indent=2) + "\n"
    if output == "yaml":
        return _yaml_text(value)
    return text_of(plain(line) for line in lines())


def show_next(output: str, value: Any, line: str) -> None:
    """Write one value of a stream at once: as a line of JSON (JSON Lines), a YAML document, or the line for people."""
    if output == "json":
        show_line(value)
    elif output == "yaml":
        click.echo("---\n" + _yaml_text(value), nl=False)
    else:
        click.echo(plain(line))


def check_reader() -> None:
    """Raises `BrokenPipeError` if nobody reads standard output any more. For loops that may wait long for a line."""
    if sys.__stdout__ is None:  # closed before the command started
        raise BrokenPipeError
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file: another program called us
        return
    poll = select.poll()
    poll.register(descriptor, 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        raise BrokenPipeError


def show_line(value: Any) -> None:
    """Write one value of a stream as a line of JSON (JSON Lines), at once."""
    click.echo(json_text(value))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON for printing: readable, with escapes for whatever a terminal would obey or cannot show."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if _is_printable(text) else json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def _yaml_text(value: Any) -> str:
    import yaml  # slow to import and rarely needed

    text = str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    return text if _is_printable(text) else str(yaml.safe_dump(value, sort_keys=False))


def _is_printable(text: str) -> bool:
    """Whether standard output can encode it unchanged: Python's own escapes would not be valid JSON."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return plain(text) == text


def table(rows: Sequence[Sequence[str]], header: Sequence[str], *, width: int | None = WIDTH) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart; the last one wraps at `width`, if given.

    No line ends in a space. Cells are escaped and kept on one line.
    """
    safe = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(cells_of(row[column]) for row in safe) for column in range(len(header) - 1)]
    lines: list[str] = []
    for row in safe:
        head = "".join(pad(cell, cells) + "  " for cell, cells in zip(row, widths, strict=False))
        lines += [(head + row[-1]).rstrip()] if width is None else wrap(head, row[-1], width=width)
    return lines


def wrap(head: str, text: str, *, width: int = WIDTH) -> list[str]:
    """The text after its head, wrapped at spaces to stay within `width` and in its own column."""
    indent = cells_of(head)
    room = max(width - indent, 10)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += _filled(paragraph, room) or [""]
    rest = [" " * indent + line for line in lines[1:]]
    return [(head + lines[0]).rstrip(), *(line.rstrip() for line in rest)]


def _filled(paragraph: str, room: int) -> list[str]:
    if paragraph.isascii():
        return textwrap.wrap(paragraph, room, break_on_hyphens=False)
    from wcwidth import wrap as wrap_columns  # slow to import

    return wrap_columns(paragraph, room, break_on_hyphens=False, control_codes="ignore")


def cells_of(text: str) -> int:
    """Return the columns that a text takes on a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    from wcwidth import width  # slow to import

    return width(text, control_codes="ignore")


def cropped(text: str, width: int) -> str:
    """The text, or as much of it as fits into `width` columns, followed by an ellipsis."""
    if cells_of(text) <= width:
        return text
    if text.isascii():
        return text[: width - 1] + "…"
    from wcwidth import clip  # slow to import

    return clip(text, 0, width - 1, control_codes="ignore").rstrip() + "…"


def pad(text: str, width: int) -> str:
    """The text padded with blanks to `width` columns."""
    return text + " " * (width - cells_of(text))


def text_of(lines: Iterable[str]) -> str:
    """The lines as one text."""
    return "\n".join(lines) + "\n"


def hint(text: str) -> None:
    """A remark on standard error."""
    remark(plain(text))


def failed(text: str, *, to_stdout: bool = False) -> None:
    """A message of failure: red where the terminal takes colours."""
    if to_stdout:
        with contextlib.suppress(OSError):
            click.echo(plain(text))
    else:
        remark(click.style(plain(text), fg="red") if is_coloured(sys.stderr) else plain(text))


def remark(text: str, *, nl: bool = True) -> None:
    """Write to standard error unchanged. If that fails, the command goes on, and its exit code says how it ended."""
    with contextlib.suppress(OSError):
        click.echo(text, nl=nl, err=True)
