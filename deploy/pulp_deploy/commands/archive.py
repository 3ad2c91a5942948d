"""`pulp-tasks archive`: keep the log as Parquet files, which are read in place of Kafka."""

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table
from pulp_console.times import FORMS, TIME, time_text

from pulp_deploy import process_settings
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option
from pulp_deploy.exits import DIFFERENT
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from pulp_archive.archive import Archive
    from pulp_archive.writing import Covering, WriteProgress

_TOLD_S: Final = 5.0
archive_option: Final = click.option(
    "--archive", "url", metavar="ARCHIVE", help="Folder of the archive, or a URL. Default: PULP_ARCHIVE."
)


@click.group(
    cls=Group,
    epilog=examples("pulp-tasks archive write --to /srv/archive", "pulp-tasks archive status"),
)
def archive() -> None:
    """Keep the log as files outside of Kafka.

    An archive is a folder, or a URL of fsspec such as s3://BUCKET/tasks, with Parquet files that hold each record as
    Kafka received it. With PULP_ARCHIVE set, rebuild, verify and audit verify read the archive first and then Kafka
    from where it ends, so the events topic may have a retention limit.
    """


@archive.command(
    cls=SettingsCommand,
    settings=process_settings.archive,
    epilog=examples(
        "pulp-tasks archive write --to /srv/archive",
        "pulp-tasks archive write --to s3://backups/tasks --before yesterday",
    ),
)
@click.option("--to", "url", metavar="ARCHIVE", help="Folder of the archive, or a URL. Default: PULP_ARCHIVE.")
@click.option("--before", type=TIME, help=f"Only what Kafka received before this time: {FORMS}.")
@data_option
@output_option
def write(url: str | None, before: datetime | None, data: Path | None, output: str) -> None:
    """Archive what Kafka has and the archive lacks.

    Run it regularly, for example from a timer: each run continues after the last one, up to the end of the log when it
    began. It reads only Kafka, and nothing in the live system waits for it. An interrupted run, even by a kill or a
    full disk, loses nothing: the next one continues after the last complete file. It also stores the newest checkpoint
    of the log.
    """
    from pulp_archive.writing import write as write_archive

    target = Target.find(data)
    place = _url(url, target)
    until_ms = None if before is None else int(before.timestamp() * 1000)
    kafka, topic = target.need_kafka(), target.topics.events
    written = write_archive(place, kafka, topic, _covering(target), until_ms=until_ms, report=_Progress())
    found = [each._asdict() for each in written]
    names = ("partition", "begin", "next", "records", "files")
    rows = [[str(each[name]) for name in names] for each in found]
    show(output, found, lambda: table(rows, ("PARTITION", "FROM", "NEXT", "RECORDS", "FILES"), width=None))
    if any(each["uncovered"] for each in found):
        hint(
            "No checkpoint in the archive covers its newest records yet: pulp-tasks transparency keeps the log, and the"
            " next run takes its checkpoint along."
        )


@archive.command("list", epilog=examples("pulp-tasks archive list", "pulp-tasks archive list --partition 3"))
@archive_option
@click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, metavar="N", help="Only these.")
@data_option
@output_option
def list_(url: str | None, partitions: tuple[int, ...], data: Path | None, output: str) -> None:
    """List the files of the archive, and what each holds."""
    found = [
        {"partition": partition, **_span(span)}
        for partition, manifest in _open(url, data).manifests.items()
        if not partitions or partition in partitions
        for span in manifest.spans
    ]
    names = ("partition", "begin", "next", "records", "size_bytes", "first_time", "last_time", "file")
    rows = [["-" if each[name] is None else str(each[name]) for name in names] for each in found]
    head = ("PARTITION", "FROM", "NEXT", "RECORDS", "BYTES", "FIRST", "LAST", "FILE")
    show(output, found, lambda: table(rows, head, width=None))
    if not found:
        hint("Nothing is archived: pulp-tasks archive write does it.")


@archive.command(epilog=examples("pulp-tasks archive status", "pulp-tasks archive status --output json"))
@archive_option
@data_option
@output_option
def status(url: str | None, data: Path | None, output: str) -> None:
    """Show how far the archive reaches, and where Kafka begins.

    WAITING is the number of offsets not archived yet. LOST is the number that Kafka has deleted and the archive lacks:
    if there are any, no rebuild can read the whole log.
    """
    from pulp_archive.archive import Archive
    from pulp_events import admin

    target = Target.find(data)
    found = Archive.open(_url(url, target))
    connection = admin.connect(target.need_kafka())
    info = admin.describe(connection, target.topics.events)
    found.check_topic(info.name, info.topic_id)
    begins = admin.begin_offsets(connection, info.name, info.partitions)
    ends = admin.end_offsets(connection, info.name, info.partitions)
    report = [_reach(found, partition, begins[partition], ends[partition]) for partition in sorted(begins)]
    rows = [["-" if value is None else str(value) for value in each.values()] for each in report]
    head = ("PARTITION", "FROM", "NEXT", "RECORDS", "FILES", "BYTES", "KAFKA FROM", "KAFKA NEXT", "WAITING", "LOST")
    show(output, report, lambda: table(rows, head, width=None))


@archive.command("verify", epilog=examples("pulp-tasks archive verify --archive /srv/archive"))
@archive_option
@data_option
@output_option
def verify(url: str | None, data: Path | None, output: str) -> None:
    """Check that no file of the archive is missing or altered.

    It compares each file with the hash in its manifest, and exits with 1 if one differs. If somebody changed both,
    pulp-tasks audit verify --archive shows it, from the signed checkpoints.
    """
    from pulp_archive.errors import ArchiveUnusable

    found = _open(url, data)
    faults = list(found.faults())
    if not found.manifests and not faults:
        raise ArchiveUnusable(
            f"there is no archive at {found.url}: a file such as 0/manifest.json is expected. Is it the right place?"
        )
    files = sum(len(manifest.spans) for manifest in found.manifests.values())
    report = {
        "is_intact": not faults,
        "files": files,
        "found": [{"file": each.place, "is_missing": each.is_missing, "what": str(each)} for each in faults],
    }
    show(output, report, lambda: [str(each) for each in faults] or [f"{files} files are as they were written"])
    if faults:
        raise click.exceptions.Exit(DIFFERENT)


class _Progress:
    """Reports the progress on standard error, now and then."""

    def __init__(self) -> None:
        self._told_s = time.monotonic()

    def __call__(self, progress: "WriteProgress") -> None:
        if time.monotonic() - self._told_s < _TOLD_S:
            return
        self._told_s = time.monotonic()
        hint(f"partition {progress.partition}: archived up to {progress.next_offset} of {progress.end}")


def _open(url: str | None, data: Path | None) -> "Archive":
    """The archive. If it is named, neither Kafka nor Postgres needs to be known."""
    from pulp_archive.archive import Archive

    return Archive.open(url if url is not None else _url(None, Target.find(data)))


def _url(given: str | None, target: Target) -> str:
    """The archive that is named, or that of the installation. Raises `SettingsError`."""
    from pulp_archive.settings import ARCHIVE
    from pulp_events.errors import SettingsError

    found: str | None = given or ARCHIVE.read(target.environment)
    if found is None:
        raise SettingsError(
            "no archive is named: give a folder or a URL, or set PULP_ARCHIVE for every process of the installation"
        )
    return found


def _covering(target: Target) -> "dict[int, Covering]":
    """The newest checkpoints of the topic."""
    from pulp_transparency.published import newest

    return newest(target.need_kafka(), target.topics.checkpoints)


def _span(span: Any) -> dict[str, Any]:
    return {
        "begin": span.begin,
        "next": span.next,
        "records": span.records,
        "size_bytes": span.size_bytes,
        "first_time": _time(span.first_ms),
        "last_time": _time(span.last_ms),
        "sha256": span.sha256,
        "file": span.file,
    }


def _time(timestamp_ms: int | None) -> str | None:
    from pulp_projections.times import clamped_ms, moment

    return None if timestamp_ms is None else time_text(moment(clamped_ms(timestamp_ms)))


def _reach(found: "Archive", partition: int, begin: int, end: int) -> dict[str, Any]:
    manifest = found.manifests.get(partition)
    spans = () if manifest is None else manifest.spans
    archived = found.end(partition)
    return {
        "partition": partition,
        "begin": spans[0].begin if spans else None,
        "next": spans[-1].next if spans else None,
        "records": sum(span.records for span in spans),
        "files": len(spans),
        "size_bytes": sum(span.size_bytes for span in spans),
        "kafka_begin": begin,
        "kafka_next": end,
        "waiting": max(0, end - max(begin, archived)),
        "lost": max(0, begin - archived) + (spans[0].begin if spans else 0),
    }
