"""The log of a process: one line an event on standard error, a constant text and its fields."""

import logging
import sys
from collections.abc import Mapping
from typing import Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """Adds what was given as `extra` to the line, as key=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        fields = [f"{key}={value!s}" for key, value in vars(record).items() if key not in _STANDARD]
        return " ".join([line, *fields])


def set_up_logging(env: Mapping[str, str]) -> None:
    """Log to standard error at PULP_LOG_LEVEL (default INFO; an unknown level counts as INFO, with a warning)."""
    wanted = env.get("PULP_LOG_LEVEL", "").upper() or "INFO"
    level = logging.getLevelNamesMapping().get(wanted)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(level=level or logging.INFO, handlers=[handler])
    # Faust logs what its parts do under the name of the module whose class is one: pulp_processor.app.
    for chatty in ("faust", "mode", "aiokafka", "httpx", "asyncio", "pulp_processor"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, level or 0))
    if level is None:
        logging.getLogger("pulp").warning("PULP_LOG_LEVEL=%s is no level: INFO is used", wanted)
