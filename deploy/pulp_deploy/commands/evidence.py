"""The part of `pulp-tasks audit` that shows whether anything was altered: keys, checks and proofs of the log."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_deploy import process_settings
from pulp_deploy.commands.dead_letters import PositionType
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option, environment
from pulp_deploy.exits import DIFFERENT
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from pulp_archive.archive import Archive
    from pulp_events.checkpoints import Covered
    from pulp_events.task import Position
    from pulp_transparency.auditing import LogReport
    from pulp_transparency.keys import KeyRing
    from pulp_transparency.records import Records
    from pulp_transparency.settings import Settings

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
folder_option: Final = click.option(
    "--folder", type=_FOLDER, help="Folder of the tiles. Default: PULP_TRANSPARENCY_FOLDER."
)
keys_option: Final = click.option(
    "--keys", type=_FILE, help="File of verifier keys that you trust. Default: PULP_TRANSPARENCY_KEYS."
)


@click.command(
    "keygen",
    cls=SettingsCommand,
    settings=process_settings.evidence,
    epilog=examples("pulp-tasks audit keygen --name tasks.example/events", "pulp-tasks audit keygen --rotate"),
)
@click.option("--name", help="Name of the log, such as HOST/pulp.tasks.events: never changed later.")
@click.option("--key", type=_FILE, help="File of the signing key. Default: PULP_TRANSPARENCY_KEY.")
@click.option("--rotate", is_flag=True, help="Replace the key: the new one signs from where the log is now.")
@folder_option
@data_option
@output_option
def keygen(
    name: str | None, key: Path | None, rotate: bool, folder: Path | None, data: Path | None, output: str
) -> None:
    """Make the key that signs the log, or replace it.

    It prints the verifier key. Give it to those who are to check the log, in a way that nobody of the installation can
    change. The file of verifier keys beside the signing key says which part of the log each key may sign. To replace a
    key, stop pulp-tasks transparency first; afterwards hand that file out again.
    """
    from pulp_transparency.follower import FolderLock
    from pulp_transparency.key_files import make_key, rotate_key
    from pulp_transparency.keys import KeyRing
    from pulp_transparency.settings import KEY
    from pulp_transparency.tiles import TileFolder
    from pulp_transparency.verifying import logs_in

    if rotate == (name is not None):
        raise click.UsageError("Give either --name, for the first key, or --rotate.")
    given = _environment(data)
    settings = _of_files(given, PULP_TRANSPARENCY_KEY=key, PULP_TRANSPARENCY_FOLDER=folder)
    place = settings.needed_key
    ring = settings.needed_keys
    if name is not None:
        signer = make_key(place, ring, name)
    else:
        tiles = settings.needed_folder
        with FolderLock(tiles):
            known = KeyRing.read(ring)
            notes = {each: TileFolder(tiles / str(each)).checkpoint() for each in logs_in(tiles)}
            sizes = {each: known.open(note, each).size for each, note in notes.items() if note is not None}
            signer = rotate_key(place, ring, sizes)
    report = {"vkey": signer.verifier.vkey, "key": str(place), "keys": str(ring)}
    show(output, report, lambda: [signer.verifier.vkey])
    hint(f"The signing key is in {place}, and the verifier keys are in {ring}.")
    if key is not None and given.get(KEY.name) != str(key):
        hint(f"Set {KEY.name}={place} for pulp-tasks transparency.")


@click.command("keys", epilog=examples("pulp-tasks audit keys", "pulp-tasks audit keys --partition 3 --output json"))
@click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, metavar="N", help="Only these.")
@folder_option
@keys_option
@data_option
@output_option
def keys(partitions: tuple[int, ...], folder: Path | None, keys: Path | None, data: Path | None, output: str) -> None:
    """List the verifier keys of each partition's log.

    Each partition is a log of its own, whose key has the log's name, as verifiers of transparency logs expect.
    """
    from pulp_transparency.verifying import logs_in

    settings = _of_files(_environment(data), PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys)
    ring = _ring(settings)
    found = []
    for partition in partitions or logs_in(settings.needed_folder):
        for number, (verifier, key) in enumerate(zip(ring.verifiers(partition), ring.keys, strict=True)):
            following = ring.keys[number + 1].after.get(partition, 0) if number + 1 < len(ring.keys) else None
            found.append(
                {
                    "partition": partition,
                    "vkey": verifier.vkey,
                    "signs_from": key.after.get(partition, 0),
                    "signs_to": following,
                }
            )
    rows = [
        [
            str(each["partition"]),
            f"{each['signs_from']}-{'' if each['signs_to'] is None else each['signs_to']}",
            str(each["vkey"]),
        ]
        for each in found
    ]
    show(output, found, lambda: table(rows, ("PARTITION", "SIZES", "VERIFIER KEY"), width=None))


@click.command("status", epilog=examples("pulp-tasks audit status", "pulp-tasks audit status --output json"))
@data_option
@output_option
def status(data: Path | None, output: str) -> None:
    """Show how far the log is, and who has its checkpoints.

    LAG is the number of records that no checkpoint covers yet. Where the folder of the tiles is on this machine it also
    shows which outlets have not taken the last checkpoint, and why.
    """
    from pulp_events.checkpoints import covered

    target = Target.find(data)
    settings = _of_files(target.environment)
    found = covered(target.need_kafka(), target.topics.events, target.topics.checkpoints)
    outlets = _outlets(settings.folder)
    now_ms = time.time() * 1000
    report = {
        "partitions": [
            {
                "partition": each.partition,
                "lag": each.lag,
                "checkpoint_age_s": round(max(0.0, now_ms - each.checkpoint_ms) / 1000, 1),
                "waiting_s": _waiting_s(each, now_ms),
            }
            for each in found
        ],
        "outlets": outlets,
    }
    rows = [
        [str(each["partition"]), str(each["lag"]), f"{each['checkpoint_age_s']:.0f} s"] for each in report["partitions"]
    ]
    show(
        output,
        report,
        lambda: [
            *table(rows, ("PARTITION", "LAG", "CHECKPOINT"), width=None),
            *(f"{each['name']}: {each['fault'] or 'up to date'}" for each in outlets),
        ],
    )
    if not found:
        hint("No checkpoint was ever published: pulp-tasks transparency keeps the log, with a key of audit keygen.")


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
@click.option("--outside", type=_FOLDER, help="Folder outside with checkpoints. Default: PULP_TRANSPARENCY_OUTSIDE.")
@click.option("--checkpoint", "checkpoints", type=_FILE, multiple=True, help="A checkpoint that you kept; repeatable.")
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

    It reads every record and compares it with the log, whose tiles it checks against the signed checkpoint. The log
    itself it holds against the checkpoints of the topic, of the archive, of the folder outside, and those that you
    kept. Where Postgres is known, it also compares the history. It names the first difference of each partition, and
    each damaged file of the archive, and then exits with 1.
    """
    from pulp_transparency import verifying
    from pulp_transparency.records import ArchivedRecords

    given = _environment(data)
    settings = _of_files(
        given, PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys, PULP_TRANSPARENCY_OUTSIDE=outside
    )
    ring, tiles = _ring(settings), settings.needed_folder
    notes = [verifying.given_notes(checkpoints, ring)]
    has_kafka = bool(given.get("PULP_KAFKA", "").strip())
    if has_kafka:
        notes.append(verifying.published_notes(settings.kafka, settings.topics.checkpoints))
    if settings.outside is not None:
        notes.append(verifying.outside_notes(settings.outside))
    opened = _archive(archive, given)
    if opened is not None:
        notes.append(verifying.archived_notes(opened))
    records = _records(archive, opened, data, settings)
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


@click.command(
    "prove",
    epilog=examples("pulp-tasks audit prove 3:1042", "pulp-tasks audit prove --since older-checkpoint --to proofs"),
)
@click.argument("position", type=PositionType(), required=False)
@click.option("--since", type=_FILE, help="Prove that the log continues the one of this checkpoint.")
@click.option("--to", type=_FOLDER, default=Path(), help="Folder for the files. Default: this one.")
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
    """Write a proof of a record, or of a log that goes on.

    It shows that the record is in the log, or that the log continues an older one. POSITION is that of a record,
    PARTITION:OFFSET. Beside its proof, a file of the format tlog-proof, comes the record itself.
    examples/check_proof.py checks both without Pulp Tasks.
    """
    from pulp_transparency import verifying
    from pulp_transparency.entry import LogEntry
    from pulp_transparency.proofs import Consistency, Inclusion
    from pulp_transparency.records import ArchivedRecords, encoded
    from pulp_transparency.tiles import LogTree, TileFolder

    if (position is None) == (since is None):
        raise click.UsageError("Give either a position, or --since.")
    given = _environment(data)
    settings = _of_files(given, PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys)
    ring = _ring(settings)
    partition = position.partition if position is not None else verifying.partition_of_note(_given(since), ring)
    tiles = TileFolder(settings.needed_folder / str(partition))
    note = _checkpoint(tiles, partition)
    tree = LogTree(tiles, ring.open(note, partition).size)
    to.mkdir(parents=True, exist_ok=True)
    files = []
    if position is not None:
        proof = Inclusion.of(tree, note, position.offset)
        entry = proof.check(ring)
        records = _records(archive, _archive(archive, given), data, settings)
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
        path.write_text(text, encoding="utf-8")
    vkeys = [each.vkey for each in ring.verifiers(partition)]
    show(output, {"files": [str(path) for path, _ in files], "vkeys": vkeys}, lambda: [str(path) for path, _ in files])


@click.command("copy", epilog=examples("pulp-tasks audit copy /backup/records"))
@click.argument("to", type=_FOLDER)
@data_option
@output_option
def copy(to: Path, data: Path | None, output: str) -> None:
    """Copy all records of the events topic into a new folder.

    There is a file of JSON Lines for each partition, with each record as Kafka has it. `audit verify --archive` reads
    it in place of Kafka.
    """
    from pulp_transparency.records import KafkaRecords, write_copy

    target = Target.find(data)
    counts = write_copy(KafkaRecords(target.need_kafka(), target.topics.events), to)
    report = [{"partition": partition, "records": count} for partition, count in counts.items()]
    rows = [[str(value) for value in each.values()] for each in report]
    show(output, report, lambda: table(rows, ("PARTITION", "RECORDS")))


COMMANDS: Final = (verify, prove, keygen, keys, status, copy)


def _environment(data: Path | None) -> dict[str, str]:
    """The environment of the installation, or ours where no installation is known: keys and archives need none."""
    from pulp_events.errors import SettingsError

    try:
        return environment(data)
    except SettingsError:
        if data is not None:
            raise
        return dict(os.environ)


def _kafka(data: Path | None) -> Any:
    return Target.find(data).need_kafka()


def _archive(named: str | None, given: dict[str, str]) -> "Archive | None":
    """The archive that is named, or that of the installation; None for a copy of the records, or without one."""
    from pulp_archive.archive import Archive
    from pulp_archive.settings import ARCHIVE

    url: str | None = named or ARCHIVE.read(given)
    if url is None:
        return None
    found = Archive.open(url)
    return found if found.manifests or named is None else None


def _records(named: str | None, archive: "Archive | None", data: Path | None, settings: "Settings") -> "Records":
    """What is compared: what is named, or all of the log."""
    from pulp_events import admin
    from pulp_transparency.records import ArchivedRecords, CopyFolder, KafkaRecords

    if named is not None:
        return CopyFolder(Path(named)) if archive is None else ArchivedRecords(archive)
    kafka = KafkaRecords(_kafka(data), settings.topics.events)
    if archive is None:
        return kafka
    archive.check_topic(settings.topics.events, admin.describe(_kafka(data), settings.topics.events).topic_id)
    return ArchivedRecords(archive, kafka)


def _of_files(given: dict[str, str] | Any, **options: Path | None) -> "Settings":
    """The settings with those options that are given; Kafka need not be known for keys and archives."""
    from pulp_transparency.settings import Settings

    own = {name: str(path) for name, path in options.items() if path is not None}
    kafka = given.get("PULP_KAFKA", "").strip() or "127.0.0.1"
    return Settings.read({**given, "PULP_KAFKA": kafka, **own})


def _ring(settings: "Settings") -> "KeyRing":
    from pulp_transparency.keys import KeyRing

    return KeyRing.read(settings.needed_keys)


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


def _waiting_s(each: "Covered", now_ms: float) -> float | None:
    return None if each.waiting_since_ms is None else round(max(0.0, now_ms - each.waiting_since_ms) / 1000, 1)


def _outlets(folder: Path | None) -> list[dict[str, Any]]:
    """What the process last told about its outlets; nothing where its folder is not on this machine."""
    import json

    from pulp_transparency.follower import STATUS

    if folder is None:
        return []
    try:
        found = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [{"name": name, **each} for name, each in found["outlets"].items()]


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
