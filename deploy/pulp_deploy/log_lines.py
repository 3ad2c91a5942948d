"""The log of a process on standard error: one record a line, in logfmt or JSON, with times in UTC."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pulp_events.declared_settings import Setting

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUOTED: Final = frozenset('"=\\')


class LogfmtFormatter(logging.Formatter):
    """Logfmt: `time=… level=… logger=… msg="…"`, the `extra` fields, then the lines of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = " ".join(f"{key}={_quoted(_text(value))}" for key, value in _fields(record).items())
        return "\n".join([line, *_tracebacks(self, record)])


class JsonFormatter(logging.Formatter):
    """The same fields as one JSON object a line; a traceback is its field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        if traceback := "\n".join(_tracebacks(self, record)):
            fields["traceback"] = traceback
        return json.dumps(fields, default=_text, ensure_ascii=False)


FORMATS: Final[Mapping[str, type[logging.Formatter]]] = {"logfmt": LogfmtFormatter, "json": JsonFormatter}


LEVEL: Final = Setting(
    "PULP_LOG_LEVEL",
    "The least level of the lines that are logged.",
    choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    default="INFO",
)
FORMAT: Final = Setting("PULP_LOG_FORMAT", "The format of log lines.", choices=tuple(FORMATS), default="logfmt")
SETTINGS: Final = (LEVEL, FORMAT)


def set_up_logging(env: Mapping[str, str]) -> None:
    """Log to standard error, at the level and in the format that the environment asks for.

    A process must be able to say what is wrong with a setting: an unknown value of these two counts as the default,
    with a warning.
    """
    wanted = env.get(LEVEL.name, "").strip().upper() or LEVEL.default
    level = logging.getLevelNamesMapping().get(wanted)
    form = env.get(FORMAT.name, "").strip().lower() or FORMAT.default
    handler = logging.StreamHandler(sys.stderr)
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


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": utc(record.created),
        "level": record.levelname,
        "logger": record.name,
        "msg": record.getMessage(),
    }
    fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        fields.setdefault("error", record.exc_info[1])
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
    return text if text and is_plain else json.dumps(text, ensure_ascii=False)
