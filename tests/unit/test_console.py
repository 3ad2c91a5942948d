"""The parts that both commands share: times, ids, escapes, suggestions, exit codes."""

import os
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from uuid import UUID

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pulp_console import edge, exits, output
from pulp_console.asking import confirm, yes_option
from pulp_console.escaping import one_line, plain
from pulp_console.groups import Choice, Group, suggestion
from pulp_console.ids import NotAnId, parse_task_id
from pulp_console.output import json_text, table
from pulp_console.times import duration_text, local_now, parse_time, time_text

NOW = datetime(2026, 11, 28, 15, 30, tzinfo=timezone(timedelta(hours=2)))
ID = "e239ae4f-7fad-4004-bfb6-8e06f17d22ef"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-28T15:30:00+02:00"),
        ("today", "2026-11-28T00:00:00+02:00"),
        ("Yesterday", "2026-11-27T00:00:00+02:00"),
        ("90s", "2026-11-28T15:28:30+02:00"),
        ("5m", "2026-11-28T15:25:00+02:00"),
        ("5m ago", "2026-11-28T15:25:00+02:00"),
        ("2h30m", "2026-11-28T13:00:00+02:00"),
        ("3 days ago", "2026-11-25T15:30:00+02:00"),
        ("1w", "2026-11-21T15:30:00+02:00"),
        ("2026-11-24", "2026-11-24T00:00:00+02:00"),
        ("2026-11-24 12:00", "2026-11-24T12:00:00+02:00"),
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00+00:00"),
        ("2026-11-24T12:00:00 05:00", "2026-11-24T12:00:00+05:00"),
    ],
)
def test_times_are_taken_as_people_write_them(text: str, expected: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", ["", "5", "5x", "m", "soon", "2026-13-01", "-5m", "5m later", "99999999w", "\udcff"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59, "59s"), (185, "3m05s"), (7800, "2h10m"), (356_400, "4d03h")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_printed_times_are_utc() -> None:
    assert time_text(NOW) == "2026-11-28T13:30:00Z"
    assert time_text(None) == "-"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f"  {ID}\n",
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f"/pulp/api/v3/tasks/{ID}/",
        f"/pulp/api/v2/tasks/{ID}",
        f"https://pulp.example:8443/pulp/api/v3/tasks/{ID}/",
        f"prn:core.task:{ID}",
    ],
)
def test_an_id_is_taken_in_every_usual_form(text: str) -> None:
    assert parse_task_id(text) == (ID, True)


@pytest.mark.parametrize("text", ["e239", "E239AE4F", "e239ae4f-7f", "e239ae4f-7fad-4004-bfb6-8e06f17d22e"])
def test_the_beginning_of_an_id(text: str) -> None:
    found = parse_task_id(text)
    assert not found.is_whole
    assert UUID(ID).hex.startswith(found.text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "e23", "../content/orphans", "a/b", "%2e%2e", "xyz1", f"{ID}/cancel", f"{ID}0", "----", "\udcff"),
        *(f"/pulp/api/v3/workers/{ID}/", f"prn:core.worker:{ID}", f"{ID} {ID}", "e239ae4f\x1b[2J"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(NotAnId, match="is not the id of a task"):
        parse_task_id(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b2J", "\N{REPLACEMENT CHARACTER}2J"),
        ("a\u202eb\u2066c\u2028d", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d"),
        ("\x7f\x00\r", "␡␀␍"),
        ("\udcff", "\N{REPLACEMENT CHARACTER}"),
        ("größe\n\t漢字 👩\u200d🔧", "größe\n\t漢字 👩\u200d🔧"),
    ],
)
def test_control_characters_are_made_visible(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_a_cell_stays_on_its_line_and_wide_characters_keep_the_columns() -> None:
    assert one_line("a\nb\tc\r\nd") == "a b c d"
    assert table([["漢字", "x\x1b[1m"], ["ab", "y\nz"]], ("NAME", "VALUE")) == [
        "NAME  VALUE",
        "漢字  x␛[1m",
        "ab    y z",
    ]


def test_json_keeps_texts_readable_but_for_what_a_terminal_obeys() -> None:
    assert json_text({"a": "größe"}) == '{"a": "größe"}'
    assert json_text({"a": "\x9b2J"}) == '{"a": "\\u009b2J"}'


def test_a_near_word_is_suggested() -> None:
    assert suggestion("snyc", ["sync", "publish"]) == " Did you mean 'sync'?"
    assert suggestion("xyz", ["sync", "publish"]) == ""


@click.group(cls=Group)
def _program() -> None:
    """A program."""


@_program.command()
@click.option("--state", type=Choice(["waiting", "running"]))
def tasks(state: str | None) -> None:
    """Print a state."""
    click.echo(state)


@_program.command()
@yes_option
def prune(is_sure: bool) -> None:
    """Drop something."""
    confirm("Drop it?", is_sure=is_sure)
    click.echo("dropped")


@_program.command()
def fails() -> None:
    """Fail."""
    raise ValueError("oh")


def _run(*arguments: str) -> int:
    return edge.run(_program, arguments, program="program", explain=lambda error: 70)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("taks",), "No such command 'taks'. Did you mean 'tasks'?"),
        (("tasks", "--stat", "x"), "No such option: --stat Did you mean --state?"),
        (("tasks", "--state", "runing"), "'runing' is not one of 'waiting', 'running'. Did you mean 'running'?"),
        (("prune",), "Drop it? There is no terminal to ask on: add --yes to do it."),
    ],
)
def test_wrong_command_lines(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*arguments) == 64
    assert message in capsys.readouterr().err


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("tasks", "--state", "RUNNING") == 0
    assert _run("prune", "--yes") == 0
    assert capsys.readouterr().out == "running\ndropped\n"
    assert _run("fails") == 70


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_a_question_is_answered_on_a_terminal(answer: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_console.asking.can_ask", lambda: True)
    result = CliRunner().invoke(_program, ["prune"], input=answer)
    assert result.exit_code == code
    assert ("dropped" in result.stdout) == (code == 0)


def test_a_reader_that_has_gone_ends_the_command_as_sigpipe_would() -> None:
    script = """
import click, sys
from pulp_console import edge
@click.command()
def much():
    for _ in range(100_000):
        click.echo("x" * 70)
sys.exit(edge.run(much, [], program="much", explain=lambda error: 70))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == exits.NO_READER


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    script = (
        "import click; from pulp_console import edge\n"
        "edge.run(click.Command('c', callback=lambda: click.echo('gr\\u00f6\\u00dfe \\u6f22')), [], program='c',"
        " explain=lambda error: 70)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert done.stdout == b"gr\xf6\xdfe \\u6f22\n"
    assert done.stderr == b""


def test_now_has_a_zone() -> None:
    assert parse_time("now", datetime.now(UTC)).tzinfo is not None


@pytest.fixture
def central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tzinfo]:
    """The zone of this machine, with summer time from the last Sunday of March to that of October."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        zone = local_now().tzinfo
        assert zone is not None
        yield zone
    time.tzset()


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2026-11-28T15:30", "2026-07-01", "2026-06-30T22:00"),  # summer time, asked for in winter
        ("2026-07-28T15:30", "2026-11-24 12:00", "2026-11-24T11:00"),
        ("2026-03-29T15:30", "today", "2026-03-28T23:00"),  # clocks were set forward at two
        ("2026-03-30T15:30", "yesterday", "2026-03-28T23:00"),
        ("2026-10-25T15:30", "today", "2026-10-24T22:00"),  # and back at three
        ("2026-10-25T15:30", "24h", "2026-10-24T14:30"),
        ("2026-11-28T15:30", "2026-07-01T00:00:00Z", "2026-07-01T00:00"),
    ],
)
def test_a_time_has_the_offset_of_its_own_day(now: str, text: str, expected: str, central_europe: tzinfo) -> None:
    found = parse_time(text, datetime.fromisoformat(now).replace(tzinfo=central_europe))
    assert found.astimezone(UTC) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)))
def test_a_moment_stays_the_same_in_the_zone_of_the_machine(moment: datetime) -> None:
    """Even in the hour that comes twice."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    try:
        zone = local_now().tzinfo
        for each in (
            moment,
            datetime(2026, 10, 25, 0, moment.minute, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
        ):
            assert each.astimezone(zone).astimezone(UTC) == each
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def test_a_time_before_the_calendar_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time("0001-01-01", NOW)


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-02T10:00", "9999-12-31"])
def test_an_end_of_the_calendar_is_a_time_on_a_machine_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        found = parse_time(text, local_now())
        assert found.astimezone(UTC) == datetime.fromisoformat(text).replace(tzinfo=UTC)
    time.tzset()


def columns(text: str) -> int:
    """The columns of a text by Unicode's own table (UAX 11), for letters without marks."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@given(
    st.text(st.sampled_from("ab漢字、ｱｱＡé한 "), max_size=200),
    st.sampled_from(["", "Key: ", "漢: "]),
)
def test_no_line_of_wide_characters_is_wider_than_the_page(text: str, head: str) -> None:
    lines = output.wrap(head, text, width=40)
    assert [line for line in lines if columns(line) > 40] == []
    assert "".join("".join(lines).split()) == "".join((head + text).split())


@given(st.text(st.sampled_from("ab漢字é한 "), max_size=60), st.integers(2, 30))
def test_what_is_cropped_fits_and_begins_as_the_text(text: str, width: int) -> None:
    shown = output.cropped(text, width)
    assert columns(shown) <= width
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


def test_columns_of_a_table_stand_below_each_other() -> None:
    lines = output.table([["漢字", "x"], ["ab", "y"]], ("NAME", "VALUE"))
    assert lines == ["NAME  VALUE", "漢字  x", "ab    y"]
    assert {columns(line[: line.rindex(value)]) for line, value in zip(lines, ("VALUE", "x", "y"), strict=True)} == {6}
