"""The log of a process on standard error: one record a line, in logfmt or JSON, with times in UTC."""

import json
import logging
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from pulp_events.declared_settings import Setting

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_REPETITIVE: Final = "aiokafka"
_REPEATED_S: Final = 10.0
_MOST_KINDS: Final = 1000
_NUMBER: Final = re.compile(r"\d+")
_QUOTED: Final = frozenset('"=\\')


class LogfmtFormatter(logging.Formatter):
    """Logfmt: `time=… level=… logger=… msg="…"`, then the `extra` fields; a traceback is the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(_text(value))}" for key, value in _fields(self, record).items())


class JsonFormatter(logging.Formatter):
    """The same fields as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return _visible(json.dumps(_fields(self, record), default=_text, ensure_ascii=False))


FORMATS: Final[Mapping[str, type[logging.Formatter]]] = {"logfmt": LogfmtFormatter, "json": JsonFormatter}


LEVEL: Final = Setting(
    "PULP_LOG_LEVEL",
    "The lowest level that is logged.",
    choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    default="INFO",
)
FORMAT: Final = Setting("PULP_LOG_FORMAT", "The format of log lines.", choices=tuple(FORMATS), default="logfmt")
SETTINGS: Final = (LEVEL, FORMAT)


def set_up_logging(env: Mapping[str, str]) -> None:
    """Log to standard error, at the level and in the format that the environment asks for.

    A process must be able to report a wrong setting, so an unknown value of these two counts as the default, with a
    warning.
    """
    wanted = env.get(LEVEL.name, "").strip().upper() or LEVEL.default
    level = logging.getLevelNamesMapping().get(wanted)
    form = env.get(FORMAT.name, "").strip().lower() or FORMAT.default
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(FewRepetitions())
    handler.setFormatter(FORMATS.get(form, FORMATS[FORMAT.default])())
    logging.basicConfig(level=level or LEVEL.default, handlers=[handler])
    # Faust logs under the name of the module that subclasses its classes: pulp_processor.consuming.app.
    for chatty in ("faust", "mode", "aiokafka", "httpx", "asyncio", "pulp_processor"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, level or 0))
    if level is None:
        logging.getLogger("pulp").warning("%s=%s is not a level: using %s", LEVEL.name, wanted, LEVEL.default)
    if form not in FORMATS:
        logging.getLogger("pulp").warning("%s=%s is not a format: using %s", FORMAT.name, form, FORMAT.default)


def utc(seconds: float) -> str:
    """A time as RFC 3339 in UTC with milliseconds: the form of all times in logs."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FewRepetitions(logging.Filter):
    """Lets a line of aiokafka pass once in ten seconds, as `pulp_events.kafka.Seldom` does for librdkafka.

    Lines that differ only in their numbers count as one. The next line says in `left_out` how many were suppressed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        if record.name.split(".")[0] != _REPETITIVE:
            return True
        key = (record.name, record.levelno, _NUMBER.sub("0", record.getMessage()))
        passed_s, left_out = self._passed.get(key, (float("-inf"), 0))
        if record.created - passed_s < _REPEATED_S:
            self._passed[key] = passed_s, left_out + 1
            return False
        if left_out:
            record.left_out = left_out
        if len(self._passed) >= _MOST_KINDS:
            self._passed.clear()
        self._passed[key] = record.created, 0
        return True


def log_what_python_prints() -> None:
    """Warnings, and errors that nobody can catch, become lines of the log: Python prints them in a form of its own."""
    logging.captureWarnings(True)
    log = logging.getLogger("pulp")

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("unexpected error", exc_info=(kind, error, trace))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            name = None if args.thread is None else args.thread.name
            about = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error("unexpected error in a thread", exc_info=about, extra={"thread_name": name})

    def of_object(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_value is not None:
            about = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error("unexpected error that nobody could catch", exc_info=about, extra={"place": repr(args.object)})

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, of_object


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": utc(record.created),
        "level": record.levelname,
        "logger": record.name,
        "msg": record.getMessage(),
    }
    fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        fields.setdefault("error", record.exc_info[1])
    if traceback := "\n".join(_tracebacks(formatter, record)):
        fields["traceback"] = traceback
    return fields


def _tracebacks(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    found = [formatter.formatException(record.exc_info)] if record.exc_info else []
    return [*found, formatter.formatStack(record.stack_info)] if record.stack_info else found


def _text(value: object) -> str:
    """An exception is logged with its type: its text alone is often too short, or empty."""
    if not isinstance(value, BaseException):
        return str(value)
    text = str(value).strip()
    return f"{type(value).__name__}: {text}" if text else type(value).__name__


def _quoted(text: str) -> str:
    is_plain = text.isprintable() and " " not in text and _QUOTED.isdisjoint(text)
    return text if text and is_plain else _visible(json.dumps(text, ensure_ascii=False))


def _visible(encoded: str) -> str:
    """JSON with what a terminal or a pager takes for a command, a line's end or a direction of text as escapes: JSON
    itself has them only for characters below U+0020.
    """
    if encoded.isprintable():
        return encoded
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in encoded)
