"""The text of tasks, as the user guide prints it. Pure: reports in, lines out.

The layout is that of Pulp 2's client: a banner of 72 columns, keys in a column of their own, texts wrapped at 80.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pulp_console.escaping import one_line
from pulp_console.output import WIDTH, cells_of, pad, wrap

from pulp_admin.words import state_of_report

_DEEPEST: Final = WIDTH
"""The indent at which a document is cut off: nobody could read deeper levels, and each level is a call."""
_BANNER: Final = WIDTH * 9 // 10
_CAPITALS: Final = {"Ca": "CA", "Ssl": "SSL", "Url": "URL"}


def banner(title: str) -> list[str]:
    """The title between two rules, and one blank line."""
    rule = "+" + "-" * (_BANNER - 2) + "+"
    return [rule, " " * ((_BANNER - cells_of(title)) // 2) + title, rule, ""]


def details(report: Mapping[str, Any]) -> list[str]:
    """The page of `tasks details`, below its banner."""
    return [*document(summary(report), gap=2), "", ""]


def listing(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """The page of `tasks list`, below its banner."""
    if not reports:
        return ["No tasks found", ""]
    lines: list[str] = []
    for report in reports:
        lines += [*document(summary(report), gap=1), ""]
    return [*lines, ""]


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The fields shown for a call report, by key, in the order of the page."""
    tags = [str(tag) for tag in report["call_request_tags"]]
    state = state_word(report)
    shown = {
        "operations": [_part(tag, 2) for tag in tags if tag.startswith("pulp:action")],
        "resources": [f"{_part(tag, 2)} ({_part(tag, 1)})" for tag in tags if not tag.startswith("pulp:action")],
        "state": state,
        "start_time": report["start_time"] or "Unstarted",
        "finish_time": report["finish_time"] or "Incomplete",
        "result": _result(report, state),
        "task_id": report["call_request_id"],
    }
    if state == "Skipped":
        shown |= {"start_time": "N/A", "finish_time": "N/A"}
    if (reason := _reason(report)) is not None:
        shown["exception"] = reason
    shown["progress"] = report["progress"] or {}
    if report.get("traceback"):
        shown["traceback"] = report["traceback"]
    return shown


def _reason(report: Mapping[str, Any]) -> Any:
    """Why the task failed: the description, as `exception` alone names only a class."""
    error = report.get("error")
    described = error.get("description") if isinstance(error, Mapping) else None
    return described or report.get("exception") or None


def state_word(report: Mapping[str, Any]) -> str:
    """The guide's word for the state."""
    return state_of_report(report).guide


def document(values: Mapping[str, Any], *, indent: int = 0, gap: int = 1) -> list[str]:
    """Lines of `Key: value`, nested ones indented by two. No line ends in a blank."""
    keys = {key: format_key(key) for key in values if not key.startswith("_")}
    column = max((cells_of(name) for name in keys.values()), default=0) + 1 + gap
    lines: list[str] = []
    for key, name in keys.items():
        head = " " * indent + pad(f"{name}:", column)
        value = values[key]
        if key == "traceback":
            # Whole lines, however long: they are copied, and searched for.
            lines.append(head.rstrip())
            lines += [" " * (indent + 2) + line for line in _whole(value).splitlines()]
        elif isinstance(value, Mapping):
            lines.append(head.rstrip())
            lines += document({item: value[item] for item in sorted(value, key=str)}, indent=indent + 2)
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            lines.append(head.rstrip())
            for item in value:
                lines += document(
                    {field: item[field] for field in sorted(value[0], key=str) if field in item}, indent=indent + 2
                )
        else:
            lines += wrap(head, _text(value))
    return lines


def format_key(key: str) -> str:
    """`items_left` → `Items Left`."""
    words = (part.capitalize() for part in one_line(str(key)).split("_"))
    return " ".join(_CAPITALS.get(word, word) for word in words)


def _text(value: Any) -> str:
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            joined = ", ".join(value) if not any(item.endswith("\n") for item in value) else "".join(value)
            return joined.rstrip("\n")
        return str(value)
    return str(value).replace("\n", " ")


def _whole(value: Any) -> str:
    return "".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _part(tag: str, number: int) -> str:
    parts = tag.split(":", 2)
    return parts[number] if len(parts) == 3 else tag


def _result(report: Mapping[str, Any], state: str) -> Any:
    if state in ("Waiting", "Running", "Cancelling"):
        return "Incomplete"
    if state in ("Successful", "Error"):
        return report["result"] or "N/A"
    return "N/A" if state in ("Cancelled", "Skipped") else "Unknown"
