"""A log line is logfmt that any parser takes, or JSON; its time is RFC 3339 in UTC."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pulp_deploy.log_lines import FewRepetitions, JsonFormatter, LogfmtFormatter, set_up_logging, utc

from tests.support.command import environment, pulp_tasks

PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]+)(?: |$)')


def parsed(line: str) -> dict[str, str]:
    """What a strict logfmt parser reads from a line; fails where it would."""
    found: dict[str, str] = {}
    place = 0
    while place < len(line):
        pair = PAIR.match(line, place)
        assert pair is not None, line[place:]
        found[pair[1]] = json.loads(pair[2]) if pair[2].startswith('"') else pair[2]
        place = pair.end()
    return found


def record(message: str, *args: object, error: BaseException | None = None, **fields: object) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("pulp.worker", logging.WARNING, "here.py", 1, message, args, info)
    vars(made).update(fields)
    return made


@pytest.mark.parametrize(
    "value",
    [{0: 0, 1: 5}, "two words", "a=b", 'say "hi"', "one\ntwo", "back\\slash", "", "tab\tand\x1b[31m", "ü", "a\u2028b"],
)
def test_a_value_reads_back_as_it_was_whatever_is_in_it(value: object) -> None:
    line = LogfmtFormatter().format(record("it happened: %s", value, positions=value, task_id=7))
    assert "\n" not in line
    assert parsed(line) | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "pulp.worker",
        "msg": f"it happened: {value}",
        "positions": str(value),
        "task_id": "7",
    }


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "value", ["\x9b31m red", "\x7f", "a\u2028b", "a\x85b", "evil\u202egpj.exe", "\U000e0041", "\ud800"]
)
def test_no_terminal_or_pager_takes_a_value_for_a_command(formatter: logging.Formatter, value: str) -> None:
    line = formatter.format(record("got %s", value, path=value))
    assert line.isprintable()
    found = json.loads(line) if line.startswith("{") else parsed(line)
    assert found["path"] == value


def test_a_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert utc(1_764_352_800.25) == "2025-11-28T18:00:00.250Z"


def raised() -> BaseException:
    try:
        raise KeyError("x")
    except KeyError as error:
        return error


def test_an_exception_is_told_with_its_type_and_its_traceback_in_one_line() -> None:
    line = LogfmtFormatter().format(record("unexpected error", error=raised()))
    assert "\n" not in line
    assert parsed(line)["error"] == "KeyError: 'x'"
    trace = parsed(line)["traceback"].splitlines()
    assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "KeyError: 'x'")


PRINTING = """
import gc, logging, os, sys, threading, warnings
from pulp_deploy.log_lines import log_what_python_prints, set_up_logging
set_up_logging(os.environ)
log_what_python_prints()
warnings.warn("old")

def fails():
    raise ValueError("in a thread")

thread = threading.Thread(target=fails, name="t1")
thread.start()
thread.join()

class Bad:
    def __del__(self):
        raise ValueError("in __del__")

Bad()
gc.collect()
raise ValueError("at the end")
"""


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("logfmt", parsed)])
def test_what_python_prints_by_itself_is_a_line_of_the_log(form: str, read: Callable[[str], dict[str, str]]) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"} | {"PULP_LOG_FORMAT": form}
    done = subprocess.run([sys.executable, "-c", PRINTING], env=env, capture_output=True, text=True, check=False)
    found = [read(line) for line in done.stderr.splitlines()]
    assert [(each["level"], each.get("error")) for each in found] == [
        ("WARNING", None),
        ("ERROR", "ValueError: in a thread"),
        ("ERROR", "ValueError: in __del__"),
        ("CRITICAL", "ValueError: at the end"),
    ]
    assert "UserWarning: old" in found[0]["msg"]
    assert found[1]["thread_name"] == "t1"
    assert [each["traceback"].splitlines()[-1] for each in found[1:]] == [each["error"] for each in found[1:]]
    assert done.returncode == 1


@pytest.mark.parametrize("command", ["api", "processor", "worker", "transparency"])
@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("logfmt", parsed)])
def test_how_a_process_ended_is_a_line_of_its_log(
    command: str, form: str, read: Callable[[str], dict[str, object]], tmp_path: Path
) -> None:
    env = environment(tmp_path, PULP_LOG_FORMAT=form, PULP_LOG_LEVEL="CRITICAL", PULP_KAFKA="none:of:these")
    done = pulp_tasks(command, env=env)
    [line] = done.stderr.splitlines()
    found = read(line)
    assert (found["level"], str(found["exit_code"]), done.returncode) == ("CRITICAL", "78", 78)
    assert "none:of:these" in str(found["msg"])


def test_an_exception_given_as_a_field_is_told_with_its_type_also_without_words() -> None:
    assert parsed(LogfmtFormatter().format(record("away", error_seen=TimeoutError())))["error_seen"] == "TimeoutError"


def test_json_has_the_same_fields_and_the_traceback_in_one_line() -> None:
    text = JsonFormatter().format(record("unexpected error", error=raised(), positions={0: 1}))
    assert "\n" not in text
    found = json.loads(text)
    assert (found["msg"], found["error"], found["positions"]) == ("unexpected error", "KeyError: 'x'", {"0": 1})
    assert found["traceback"].endswith("KeyError: 'x'")


@pytest.mark.parametrize(
    ("env", "formatter", "warned"),
    [
        ({}, LogfmtFormatter, ""),
        ({"PULP_LOG_FORMAT": "JSON"}, JsonFormatter, ""),
        ({"PULP_LOG_FORMAT": "xml"}, LogfmtFormatter, "PULP_LOG_FORMAT=xml is not a format"),
        ({"PULP_LOG_LEVEL": "loud"}, LogfmtFormatter, "PULP_LOG_LEVEL=LOUD is not a level"),
    ],
)
def test_the_format_is_chosen_by_a_setting(
    env: dict[str, str],
    formatter: type,
    warned: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(logging, "basicConfig", lambda *, level, handlers: root.addHandler(handlers[0]))
    monkeypatch.setattr(logging, "getLogger", lambda name=None: root)
    set_up_logging(env)
    [handler] = root.handlers
    assert type(handler.formatter) is formatter
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
    assert warned in capsys.readouterr().err


def test_what_aiokafka_repeats_is_told_once_in_ten_seconds() -> None:
    few = FewRepetitions()

    def passes(name: str, message: str, at_s: float) -> tuple[bool, object]:
        made = logging.LogRecord(name, logging.ERROR, "here.py", 1, message, (), None)
        made.created = at_s
        return bool(few.filter(made)), vars(made).get("left_out")

    assert passes("aiokafka", "FAIL [producer-1]: refused (after 0ms)", 100) == (True, None)
    assert passes("aiokafka", "FAIL [producer-2]: refused (after 12ms)", 101) == (False, None)
    assert passes("aiokafka", "FAIL [producer-1]: timed out", 101) == (True, None)
    assert passes("aiokafka.cluster", "FAIL [producer-1]: refused (after 0ms)", 101) == (True, None)
    assert passes("aiokafka", "FAIL [producer-1]: refused (after 0ms)", 109.9) == (False, None)
    assert passes("aiokafka", "FAIL [producer-1]: refused (after 0ms)", 110) == (True, 2)
    assert [passes("pulp.worker", "FAIL 1", at_s) for at_s in (100, 100)] == [(True, None)] * 2


def test_a_command_says_few_lines_while_kafka_is_away(tmp_path: Path) -> None:
    env = environment(tmp_path, PULP_KAFKA="127.0.0.1:1", PULP_POSTGRES="host=127.0.0.1 port=1")
    done = pulp_tasks("topics", "list", env=env)
    assert done.returncode == 69
    assert "Kafka" in done.stderr.splitlines()[-2]
    assert len(done.stderr.splitlines()) < 12
