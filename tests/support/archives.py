"""Archives of records, written without the command."""

from collections.abc import Iterable
from pathlib import Path

from pulp_archive.archive import Archive, read_manifest
from pulp_archive.stores import store_of
from pulp_archive.writing import SpanWriter, begun
from pulp_events import admin
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record

from tests.support.transparency import STEP

INFO = admin.TopicInfo("pulp.tasks.events", "AAAAAAAAAAAAAAAAAAAAAA", 4)


def archived(
    url: str, found: Iterable[Record], partition: int = 0, *, end: int, span: int = 100, info: admin.TopicInfo = INFO
) -> Archive:
    """Add these records to an archive, in files of this many, and return it."""
    store = store_of(url)
    manifest = read_manifest(store, partition) or begun(store, info, partition)
    SpanWriter(store, manifest, span_records=span).add(manifest.end or 0, end, found)
    return Archive.open(url)


def archive_part(servers: Servers, topic: str, url: str, partition: int, end: int, *, span: int = 100) -> None:
    """Archive what Kafka has of a partition, up to an offset."""
    info = admin.describe(servers, topic)
    with Reader(servers, topic, {partition: 0}) as reader:
        records = [record for _, batch in reader.until({partition: end}) for record in batch]
    archived(url, records, partition, end=end, span=span, info=info)


def files_of(folder: Path, partition: int = 0) -> list[Path]:
    """The files of records, in order."""
    return sorted((folder / str(partition)).glob("*.parquet"))


def end_of(count: int) -> int:
    """The offset after this many invented records."""
    return STEP * (count - 1) + 2
