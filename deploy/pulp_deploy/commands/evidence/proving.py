"""`pulp-tasks audit prove` and `copy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_deploy.commands.dead_letters import PositionType
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

if TYPE_CHECKING:
    from pulp_events.task import Position


@click.command(
    "prove",
    epilog=examples("pulp-tasks audit prove 3:1042", "pulp-tasks audit prove --since older-checkpoint --to proofs"),
)
@click.argument("position", type=PositionType(), required=False)
@click.option("--since", type=FILE, help="Prove that the log continues the one of this checkpoint.")
@click.option("--to", type=FOLDER, default=Path(), help="Folder for the files. Default: this one.")
@folder_option
@keys_option
@click.option(
    "--archive",
    metavar="ARCHIVE",
    help="Take the record from this archive, or this folder of audit copy. Default: PULP_ARCHIVE, and then Kafka.",
)
@data_option
@output_option
def prove(
    position: "Position | None",
    since: Path | None,
    to: Path,
    folder: Path | None,
    keys: Path | None,
    archive: str | None,
    data: Path | None,
    output: str,
) -> None:
    """Write a proof for a record, or for a log that has grown.

    It proves that the record is in the log, or that the log continues an older one. POSITION is the record's
    PARTITION:OFFSET. It writes the proof, in the format tlog-proof, and the record itself. examples/check_proof.py
    checks both without Pulp Tasks.
    """
    from pulp_transparency import verifying
    from pulp_transparency.entry import LogEntry
    from pulp_transparency.proofs import Consistency, Inclusion
    from pulp_transparency.records import ArchivedRecords, encoded, private
    from pulp_transparency.tiles import LogTree, TileFolder

    if (position is None) == (since is None):
        raise click.UsageError("Give either a position, or --since.")
    given = environment_of(data)
    settings = settings_of(given, PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys)
    ring = ring_of(settings)
    partition = position.partition if position is not None else verifying.partition_of_note(_given(since), ring)
    tiles = TileFolder(settings.needed_folder / str(partition))
    note = _checkpoint(tiles, partition)
    tree = LogTree(tiles, ring.open(note, partition).size)
    to.mkdir(parents=True, exist_ok=True)
    files = []
    if position is not None:
        proof = Inclusion.of(tree, note, position.offset)
        entry = proof.check(ring)
        records = records_of(archive, archive_of(archive, given), data, settings)
        record = next(iter(records.read(partition, position.offset)), None)
        files.append((to / f"{partition}-{position.offset}.tlog-proof", proof.text()))
        if record is not None and LogEntry.of(record) == entry:
            files.append((to / f"{partition}-{position.offset}.json", encoded(record) + "\n"))
        else:
            hint(f"The record itself is not there any more: keep one of {position} beside the proof.")
        if isinstance(records, ArchivedRecords):
            for fault in records.faults.get(partition, {}).values():
                hint(str(fault))
    else:
        older = _given(since).read_text(encoding="utf-8")
        start = ring.open(older, partition)
        files.append(
            (to / f"{partition}-from-{start.size}-to-{tree.size}.proof", Consistency.of(tree, note, older).text())
        )
    for path, text in files:
        with open(path, "w", encoding="utf-8", opener=private if path.suffix == ".json" else None) as file:
            file.write(text)
    vkeys = [each.vkey for each in ring.verifiers(partition)]
    show(output, {"files": [str(path) for path, _ in files], "vkeys": vkeys}, lambda: [str(path) for path, _ in files])


@click.command("copy", epilog=examples("pulp-tasks audit copy /backup/records"))
@click.argument("to", type=FOLDER)
@data_option
@output_option
def copy(to: Path, data: Path | None, output: str) -> None:
    """Copy all records of the events topic into a new folder.

    It writes a file of JSON Lines for each partition, with each record as Kafka has it. `audit verify --archive` reads
    them instead of Kafka.
    """
    from pulp_transparency.records import KafkaRecords, write_copy

    target = Target.find(data)
    counts = write_copy(KafkaRecords(target.need_kafka(), target.topics.events), to)
    report = [{"partition": partition, "records": count} for partition, count in counts.items()]
    rows = [[str(value) for value in each.values()] for each in report]
    show(output, report, lambda: table(rows, ("PARTITION", "RECORDS")))


def _checkpoint(tiles: Any, partition: int) -> str:
    from pulp_transparency.errors import NotLogged

    note: str | None = tiles.checkpoint()
    if note is None:
        raise NotLogged(
            f"the log of partition {partition} has no checkpoint in {tiles.path}: does it have that partition?"
        )
    return note


def _given(path: Path | None) -> Path:
    assert path is not None
    return path
