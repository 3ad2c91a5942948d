"""`pulp-tasks history`: the months of the history, and detaching old ones that the archive holds."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table
from pulp_console.times import time_text

from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option, processor_settings

if TYPE_CHECKING:
    from pulp_processor.rebuilding.history import MonthPart

_HEAD: Final = ("PART", "FROM", "UNTIL", "EVENTS", "BYTES", "STATE", "ARCHIVED")
_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class MonthType(click.ParamType):
    """A month, as its first moment in UTC."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if isinstance(value, datetime):
            return value
        found = _MONTH.fullmatch(value)
        if found is None or found[1] == "0000":
            self.fail(f"{value!r} is not a month: expected is YEAR-MONTH, such as 2026-06", param, ctx)
        return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


@click.group(
    cls=Group,
    epilog=examples("pulp-tasks history list", "pulp-tasks history detach --before 2026-06 --dry-run"),
)
def history() -> None:
    """Keep the history in Postgres small: detach old months.

    Each month of the history is a part of its own. A part that the archive holds can be detached, which takes a moment,
    and attached again or dropped. Tasks, lists and statistics stay as they are.
    """


@history.command("list", epilog=examples("pulp-tasks history list --output json"))
@data_option
@output_option
def list_(data: Path | None, output: str) -> None:
    """List the parts of the history, detached ones too.

    ARCHIVED says whether the archive in PULP_ARCHIVE has all positions of the part.
    """
    from pulp_processor.rebuilding import history as months

    found = asyncio.run(months.parts(processor_settings(data)))
    rows = [_row(part) for part in found]
    show(output, [_value(part) for part in found], lambda: table(rows, _HEAD, width=None))


@history.command(
    epilog=examples(
        "pulp-tasks history detach --before 2026-06 --dry-run",
        "pulp-tasks history detach --before 2026-06 --yes",
        "pulp-tasks history detach --before 2026-06 --drop --yes",
    )
)
@click.option("--before", type=MonthType(), required=True, metavar="MONTH", help="All parts before this month.")
@click.option("--drop", "drops", is_flag=True, help="Also drop their rows, and those of parts detached earlier.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Check everything, and change nothing.")
@yes_option
@data_option
@output_option
def detach(before: datetime, drops: bool, is_dry: bool, is_sure: bool, data: Path | None, output: str) -> None:
    """Detach the old months that the archive holds.

    It first compares each event with its record in the archive. A month with events of an unfinished or parked task
    stays. Detached parts stay in the database, so attach can bring them back, unless you use --drop. Answers that need
    a detached part say so.
    """
    from pulp_processor.rebuilding import history as months

    settings = processor_settings(data)
    if not is_dry:
        what = "Detach and drop" if drops else "Detach"
        way = "No command brings the rows back." if drops else "pulp-tasks history attach brings them back."
        confirm(f"{what} all events before {before:%Y-%m}? {way}", is_sure=is_sure)
    found = asyncio.run(months.detach(settings, before, drops=drops, is_dry=is_dry))
    value = {
        "detached": [_value(part) for part in found.detached],
        "dropped": [part.name for part in found.dropped],
        "is_dry": is_dry,
    }
    verb = "would be " if is_dry else ""
    lines = [f"{part.name}: {part.events} events {verb}detached" for part in found.detached]
    lines += [f"{part.name}: rows {verb}dropped" for part in found.dropped]
    show(output, value, lambda: lines or ["there is nothing to detach"])
    if not is_dry and (found.detached or found.dropped):
        names = [part.name for part in found.detached]
        gone = [part.name for part in found.dropped]
        detail = "; ".join(
            f"{verb}: {', '.join(each)}" for verb, each in (("detached", names), ("dropped", gone)) if each
        )
        _audit(data, "HISTORY_DETACHED", f"before {before:%Y-%m}", detail)


@history.command(epilog=examples("pulp-tasks history attach 2026-05", "pulp-tasks history attach before"))
@click.argument("parts", nargs=-1, required=True, metavar="PART...")
@data_option
@output_option
def attach(parts: tuple[str, ...], data: Path | None, output: str) -> None:
    """Attach detached parts again, unless they were dropped.

    PART is a month or `before`, as the list shows it.
    """
    from pulp_processor.rebuilding import history as months

    found = asyncio.run(months.attach(processor_settings(data), parts))
    lines = [f"{part.name}: {part.events} events attached" for part in found]
    show(output, {"attached": [part.name for part in found]}, lambda: lines)
    _audit(data, "HISTORY_ATTACHED", ", ".join(part.name for part in found), "")


def _audit(data: Path | None, what: str, of: str, detail: str) -> None:
    """Record who did it; a remark if Kafka does not take the record."""
    from pulp_events.audit import What

    from pulp_deploy.audit_trail import audit_change

    target = Target.find(data)
    fault = audit_change(target.need_kafka(), target.topics, What[what], target=of, detail=detail)
    if fault is not None:
        hint(f"It is done, but this is not in the audit: {fault}")


def _value(part: "MonthPart") -> dict[str, Any]:
    return {
        "part": part.name,
        "since": _time(part.since),
        "until": _time(part.until),
        "events": part.events,
        "size_bytes": part.size_bytes,
        "state": part.state,
        "lacking": part.lacking,
        "places": [place._asdict() for place in part.places],
    }


def _row(part: "MonthPart") -> list[str]:
    archived = "-" if part.until is None else "yes" if part.lacking is None else f"no: {part.lacking}"
    return [
        part.name,
        _time(part.since) or "-",
        _time(part.until) or "-",
        str(part.events),
        str(part.size_bytes),
        part.state,
        archived,
    ]


def _time(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)
