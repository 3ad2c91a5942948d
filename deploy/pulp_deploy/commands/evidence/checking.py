"""`pulp-tasks audit verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pulp_console.groups import examples
from pulp_console.output import show, table

from pulp_deploy.commands.evidence.given import (
    FILE,
    FOLDER,
    archive_of,
    environment_of,
    folder_option,
    keys_option,
    records_of,
    ring_of,
    settings_of,
)
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option
from pulp_deploy.exits import DIFFERENT

if TYPE_CHECKING:
    from pulp_transparency.auditing import LogReport


@click.command(
    "verify",
    epilog=examples("pulp-tasks audit verify --keys trusted.keys", "pulp-tasks audit verify --archive /srv/archive"),
)
@folder_option
@keys_option
@click.option(
    "--archive",
    metavar="ARCHIVE",
    help="Read this archive, or this folder of audit copy, in place of Kafka. Default: PULP_ARCHIVE, and then Kafka.",
)
@click.option("--outside", type=FOLDER, help="Folder outside with checkpoints. Default: PULP_TRANSPARENCY_OUTSIDE.")
@click.option("--checkpoint", "checkpoints", type=FILE, multiple=True, help="A checkpoint that you kept; repeatable.")
@click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, metavar="N", help="Only these.")
@click.option("--history/--no-history", "with_history", default=None, help="Compare the history in Postgres, or not.")
@data_option
@output_option
def verify(
    folder: Path | None,
    keys: Path | None,
    archive: str | None,
    outside: Path | None,
    checkpoints: tuple[Path, ...],
    partitions: tuple[int, ...],
    with_history: bool | None,
    data: Path | None,
    output: str,
) -> None:
    """Check that no record was altered, removed or added.

    It reads every record and compares it with the log, whose tiles it checks against the signed checkpoint. It checks
    the log itself against the checkpoints in the topic, in the archive, in the folder outside, and those that you kept.
    If Postgres is known, it also compares the history. If anything differs, it names the first difference of each
    partition and each damaged file of the archive, and exits with 1.
    """
    from pulp_transparency import verifying
    from pulp_transparency.records import ArchivedRecords

    given = environment_of(data)
    settings = settings_of(
        given, PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys, PULP_TRANSPARENCY_OUTSIDE=outside
    )
    ring, tiles = ring_of(settings), settings.needed_folder
    notes: list[verifying.Notes] = [verifying.given_notes(checkpoints, ring)]
    has_kafka = bool(given.get("PULP_KAFKA", "").strip())
    if has_kafka:
        notes.append(verifying.published_notes(settings.kafka, settings.topics.checkpoints))
    if settings.outside is not None:
        notes.append(verifying.outside_notes(settings.outside))
    opened = archive_of(archive, given)
    if opened is not None:
        notes.append(verifying.archived_notes(opened))
    records = records_of(archive, opened, data, settings)
    found = list(verifying.reports(tiles, ring, records, verifying.merged(*notes), partitions))
    if not found:
        raise click.UsageError("There is no such partition.")
    if with_history or (with_history is None and given.get("PULP_POSTGRES", "").strip()):
        verifying.compare_history(Target.find(data).need_postgres(), records, found)
    if isinstance(records, ArchivedRecords):
        verifying.note_damaged_files(records, found)
    differences = [each for report in found for each in report.found]
    show(
        output,
        {"is_intact": not differences, "partitions": [_report(report) for report in found]},
        lambda: _page(found),
    )
    if differences:
        raise click.exceptions.Exit(DIFFERENT)


def _report(report: "LogReport") -> dict[str, Any]:
    return {
        "partition": report.partition,
        "origin": report.origin,
        "size": report.size,
        "compared": report.compared,
        "uncovered": report.uncovered,
        "checkpoints": report.checkpoints,
        "rows": report.rows,
        "found": [{**asdict(each), "kind": str(each.kind)} for each in report.found],
    }


def _page(found: "list[LogReport]") -> list[str]:
    rows = [
        [
            str(each.partition),
            str(each.size),
            str(each.compared),
            "-" if each.rows is None else str(each.rows),
            str(each.checkpoints),
            str(each.uncovered),
            "DIFFERENT" if each.found else "intact",
        ]
        for each in found
    ]
    head = ("PARTITION", "LOG", "RECORDS", "HISTORY", "CHECKPOINTS", "NOT YET", "")
    return [*table(rows, head, width=None), *(str(each) for report in found for each in report.found)]
