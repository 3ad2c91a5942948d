"""Following a task: a live bar on a terminal, a line for each change elsewhere."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from pulp_admin.client import API, Client
from pulp_admin.errors import TEMPORARY, Failure

ENDS: Final = {"completed": 0, "failed": 1, "canceled": 3, "skipped": 4}
_LOST_STREAMS: Final = 10


def follow(client: Client, task_id: str) -> int:
    """Show the task until it has ended; the exit code that tells how."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return _follow_on_terminal(client, task_id)
    said = ""

    def say(task: Mapping[str, Any]) -> None:
        nonlocal said
        line = describe(task)
        if line != said:
            said = line
            click.echo(line)

    return _until_end(client, task_id, say)


def describe(task: Mapping[str, Any]) -> str:
    """One line of a task's state and progress."""
    line = f"{task['name']}: {task['state']}"
    counted = counts(task["progress"])
    if counted is not None:
        line += f", {counted[0]} of {counted[1]}"
    error = task.get("error")
    return f"{line}: {error['description']}" if error else line


def counts(progress: object) -> tuple[int, int] | None:
    """(done, total) of the outermost part that counts: sizes in bytes if it has them, else items."""
    if not isinstance(progress, dict):
        return None
    for kind in ("size", "items"):
        total, left = progress.get(f"{kind}_total"), progress.get(f"{kind}_left")
        if isinstance(total, int) and isinstance(left, int) and total > 0:
            return total - left, total
    return next((found for part in progress.values() if (found := counts(part)) is not None), None)


def _follow_on_terminal(client: Client, task_id: str) -> int:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=None)

        def draw(task: Mapping[str, Any]) -> None:
            done, total = counts(task["progress"]) or (0, None)
            if task["state"] == "completed" and total is None:
                done, total = 1, 1
            progress.update(bar, description=f"{task['name']}: {task['state']}", completed=done, total=total)

        code = _until_end(client, task_id, draw)
    if code:
        click.echo(describe(client.get(f"{API}/v3/tasks/{task_id}/")))
    return code


def _until_end(client: Client, task_id: str, show: Callable[[Mapping[str, Any]], None]) -> int:
    """The stream is opened before the task is read: so nothing that happens between is missed."""
    for _ in range(_LOST_STREAMS):
        try:
            with client.events(task_id) as lines:
                records = _records(lines)
                task = client.get(f"{API}/v3/tasks/{task_id}/")
                show(task)
                while task["state"] not in ENDS:
                    record = next(records, None)
                    if record is None:
                        break  # the stream has ended before the task
                    task = _after(client, task, record)
                    show(task)
                else:
                    return ENDS[task["state"]]
        except Failure as failure:
            if failure.code != TEMPORARY:
                raise
    raise Failure("The event stream of the server breaks again and again. Try again later.", TEMPORARY)


def _after(client: Client, task: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The task after an event. What it means the server knows, once its reads are as far as the event."""
    event = record["event"] or {}
    if event.get("type", "").endswith(".progress.v1"):
        return {**task, "state": "running", "progress": event["data"]["progress"]}
    return dict(client.get(task["pulp_href"], at_least={record["partition"]: record["offset"]}))


def _records(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
