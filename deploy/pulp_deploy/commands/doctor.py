"""`pulp-tasks doctor`: all preconditions of an installation, at once."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.colours import is_coloured
from pulp_console.escaping import plain
from pulp_console.groups import examples
from pulp_console.output import hint, show, wrap

from pulp_deploy.commands.findings import lines_of
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import data_option, environment
from pulp_deploy.exits import DANGEROUS, DIFFERENT

if TYPE_CHECKING:
    from pulp_events.findings import Finding
    from pulp_events.kafka import Servers
    from pulp_events.topics import Topics
    from pulp_runtime.preconditions.looking import Place, Report

_SILENT_S: Final = 2.0
"""A check that takes longer than this reports that it is still running."""
_COLOURS: Final = {"fault": "red", "warning": "yellow", "note": "cyan"}


@click.command(epilog=examples("pulp-tasks doctor", "pulp-tasks doctor --output json | jq -r '.findings[].mend'"))
@data_option
@output_option
def doctor(data: Path | None, output: str) -> None:
    """Check Kafka, Postgres, clocks, storage and waiting tasks.

    Each finding says what is wrong, what it endangers, and how to mend it. Exits 0 if all is well (notes included), 1
    if there are warnings, and 2 if there are faults. It also works when Kafka or Postgres is down, or neither is set.
    """
    report = asyncio.run(_look(_place(data)))
    if output == "table" and is_coloured(sys.stdout):
        for line in _page(report):
            click.echo(_coloured(plain(line)))
    else:
        show(output, _described(report), lambda: _page(report))
    if report.worst == "fault":
        click.get_current_context().exit(DANGEROUS)
    if report.worst == "warning" or report.unchecked:
        click.get_current_context().exit(DIFFERENT)


def _place(data: Path | None) -> "Place":
    """Return the installation of the environment, or of the local stack. Raises `SettingsError`."""
    from pulp_events import settings
    from pulp_events.declared_settings import read_field
    from pulp_events.errors import SettingsError
    from pulp_events.topics import Topics
    from pulp_projections.connection import check
    from pulp_runtime.installation import Installation
    from pulp_runtime.preconditions.looking import Place

    found = dict(os.environ)
    try:
        found = environment(data)
    except SettingsError:
        if data is not None:
            raise
        # nothing is set and no stack runs: the report will say so
    kafka = settings.kafka(found) if found.get("PULP_KAFKA", "").strip() else None
    postgres = found.get("PULP_POSTGRES", "").strip() or None
    if postgres is not None:
        check(postgres)
    storage = found.get("PULP_STORAGE", "").strip()
    return Place(
        kafka=kafka,
        postgres=postgres,
        topics=Topics.named(settings.topic_prefix(found)),
        archive=read_field(Installation, "archive", found),
        storage=Path(storage) if storage else None,
        clock_bound_s=read_field(Installation, "clock_bound_s", found),
        looks_at_dispatch=True,
    )


async def _look(place: "Place") -> "Report":
    from pulp_runtime.preconditions.looking import Report, look

    saying = asyncio.create_task(_say_that_it_goes_on())
    try:
        found = await look(place)
        if place.kafka and not any(each.check.startswith("kafka-") for each in found.findings):
            behind = await asyncio.to_thread(_look_at_log, place.kafka, place.topics)
            archived = await asyncio.to_thread(_look_at_archive, place.archive, place.kafka, place.topics)
            found = Report(_worst_first([*found.findings, *behind, *archived]), found.unchecked)
        return found
    finally:
        saying.cancel()
        with suppress(asyncio.CancelledError):
            await saying


def _look_at_log(kafka: "Servers", topics: "Topics") -> "list[Finding]":
    from pulp_deploy.log_findings import look

    return look(kafka, topics)


def _look_at_archive(archive: str | None, kafka: "Servers", topics: "Topics") -> "list[Finding]":
    from pulp_archive import reach
    from pulp_events.errors import LogError

    if archive is None:
        return []
    try:
        return reach.look(archive, kafka, topics, with_ages=True)
    except LogError:  # others report it
        return []


def _worst_first(found: "list[Finding]") -> "tuple[Finding, ...]":
    from pulp_events.findings import Severity

    order = list(Severity)
    return tuple(sorted(found, key=lambda each: order.index(each.severity)))


async def _say_that_it_goes_on() -> None:
    await asyncio.sleep(_SILENT_S)
    hint("waiting for Kafka and Postgres to answer, for some seconds at most")


def _described(report: "Report") -> dict[str, Any]:
    from pulp_events.findings import described

    return {
        "worst": None if report.worst is None else report.worst.value,
        "findings": [described(each) for each in report.findings],
        "unchecked": list(report.unchecked),
    }


def _page(report: "Report") -> list[str]:
    from pulp_events.findings import described

    lines = lines_of(described(each) for each in report.findings)
    for part in report.unchecked:
        lines += wrap("UNCHECKED  ", part)
    if not report.findings and not report.unchecked:
        lines.append("All is well.")
    return lines


def _coloured(line: str) -> str:
    word = line.partition(" ")[0]
    colour = _COLOURS.get(word.lower())
    return line if colour is None else click.style(word, fg=colour) + line[len(word) :]
