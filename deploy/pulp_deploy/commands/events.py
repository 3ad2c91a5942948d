"""`pulp-tasks events`: the log itself."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
from pulp_events import Received, subscribe

from pulp_deploy.commands.target import Target, data_option


class Since(click.ParamType):
    """A time (ISO 8601; local unless it names its zone) or how long ago (90s, 15m, 2h, 7d)."""

    name = "time"
    _UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}  # noqa: RUF012  # a constant

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if value[-1:] in self._UNITS and value[:-1].isdigit():
            return datetime.now(UTC) - timedelta(**{self._UNITS[value[-1]]: int(value[:-1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            return self.fail(f"{value} is neither a time like 2026-01-31T12:00:00Z nor an age like 15m", param, ctx)


@click.group()
def events() -> None:
    """Look at the log of events."""


@events.command()
@click.option(
    "--since", type=Since(), help="From a time (2026-01-31T12:00:00Z) or an age (15m) on; else from the start."
)
@click.option("--task", "task_id", type=click.UUID, help="Events of one task only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, the event as it stands in the log.")
@click.option("--no-follow", is_flag=True, help="End where the log ends now.")
@data_option
def tail(since: datetime | None, task_id: UUID | None, as_json: bool, no_follow: bool, data: Path | None) -> None:
    """Print events as they come, in log order within each partition."""
    target = Target.find(data)
    show = _as_json if as_json else _as_line
    with subscribe(
        target.need_kafka(), prefix=target.prefix, since=since, task_id=task_id, follow=not no_follow
    ) as subscription:
        for received in subscription:
            click.echo(show(received))


def _as_line(received: Received) -> str:
    time = datetime.fromtimestamp(received.timestamp_ms / 1000, UTC)
    place = f"{received.position.partition}:{received.position.offset}"
    head = f"{time:%Y-%m-%dT%H:%M:%S}.{received.timestamp_ms % 1000:03}Z {place:>10}"
    if received.event is None:
        return f"{head}  not an event: {received.error}"
    envelope = json.loads(received.raw or b"{}")
    kind = str(envelope.get("type", "?")).removeprefix("org.pulpproject.task.").removesuffix(".v1")
    return (
        f"{head}  {received.event.task_id}  {kind:<16} {envelope.get('actor', ''):<16} {_short(envelope.get('data'))}"
    )


def _short(data: object, limit: int = 100) -> str:
    text = json.dumps(data, ensure_ascii=True)  # one line, and no control character of a stranger on the terminal
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_json(received: Received) -> str:
    head = {
        "partition": received.position.partition,
        "offset": received.position.offset,
        "timestamp_ms": received.timestamp_ms,
    }
    if received.event is None:
        return json.dumps({**head, "error": received.error, "event": None})
    return json.dumps({**head, "event": json.loads(received.raw or b"null")})
