"""Records as a Parquet file: the one module that knows its columns. docs/operate/archive.md describes them.

Never change a column: a file is read for as long as the log is kept.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from pulp_events.reader import Headers, Record

from pulp_archive.errors import ArchiveUnusable

GROUP_RECORDS: Final = 5000
GROUP_BYTES: Final = 8 << 20
"""A row group ends with the record that makes it this large, which is also how much is encoded at once."""


class NotRecords(Exception):
    """The bytes are not a Parquet file of records."""


class OffsetSpan(NamedTuple):
    """The offsets from `start` up to, not including, `end`."""

    start: int = 0
    end: int = 2**63


EVERYWHERE: Final = OffsetSpan()


class _Library(NamedTuple):
    pyarrow: Any
    parquet: Any
    schema: Any


@cache
def _library() -> _Library:
    try:
        import pyarrow  # an optional extra, slow to import, and its threads do not survive a fork
        from pyarrow import parquet
    except ImportError as error:
        raise ArchiveUnusable(
            "an archive needs pyarrow, which is not installed: python -m pip install 'pulp-tasks[archive]'"
        ) from error
    header = pyarrow.struct([pyarrow.field("name", pyarrow.string(), nullable=False), ("value", pyarrow.binary())])
    schema = pyarrow.schema(
        [
            pyarrow.field("partition", pyarrow.int32(), nullable=False),
            pyarrow.field("offset", pyarrow.int64(), nullable=False),
            pyarrow.field("timestamp_ms", pyarrow.int64(), nullable=False),
            ("key", pyarrow.binary()),
            pyarrow.field("headers", pyarrow.list_(header), nullable=False),
            ("value", pyarrow.binary()),
        ]
    )
    return _Library(pyarrow, parquet, schema)


class RecordsFile:
    """Encodes records into the bytes of a file. Raises `ArchiveUnusable` if the library is missing."""

    def __init__(self) -> None:
        self._library = _library()
        self._buffer = self._library.pyarrow.BufferOutputStream()
        self._writer = self._library.parquet.ParquetWriter(self._buffer, self._library.schema, compression="zstd")
        self._group: list[Record] = []
        self._group_bytes = 0
        self.records = 0
        self.contents_bytes = 0
        """The size of keys, headers and values in memory, once they are read."""

    def append(self, record: Record) -> None:
        """Add the next record."""
        size = size_of(record)
        self._group.append(record)
        self._group_bytes += size
        self.records += 1
        self.contents_bytes += size
        if len(self._group) >= GROUP_RECORDS or self._group_bytes >= GROUP_BYTES:
            self._flush()

    def finish(self) -> bytes:
        """The file."""
        self._flush()
        self._writer.close()
        data: bytes = self._buffer.getvalue().to_pybytes()
        return data

    def _flush(self) -> None:
        if not self._group:
            return
        group, self._group, self._group_bytes = self._group, [], 0
        headers = [[{"name": name, "value": value} for name, value in each.headers] for each in group]
        columns = [
            [each.partition for each in group],
            [each.offset for each in group],
            [each.timestamp_ms for each in group],
            [each.key for each in group],
            headers,
            [each.value for each in group],
        ]
        pyarrow, schema = self._library.pyarrow, self._library.schema
        arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def size_of(record: Record) -> int:
    """The bytes of a record's contents."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def records_of(
    data: bytes, most: int, keys: Collection[bytes] | None = None, within: OffsetSpan = EVERYWHERE
) -> Iterator[list[Record]]:
    """The records of a file, in order, a limited number at once; with `keys`, only records with these keys.

    It skips row groups without a wanted offset and, with `keys`, reads only the keys of a row group that has none of
    them. Raises `NotRecords`, and `ArchiveUnusable` if the library is missing.
    """
    library = _library()
    pyarrow = library.pyarrow
    try:
        file = library.parquet.ParquetFile(pyarrow.BufferReader(data))
        if not file.schema_arrow.equals(library.schema):
            raise NotRecords(f"its columns are {', '.join(file.schema_arrow.names)}")
        usual: Headers = ()
        for batch in _batches(file, most, keys, within):
            batch.validate(full=True)
            records = _records(batch, usual)
            usual = records[-1].headers if records else usual
            yield records
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise NotRecords(f"{type(error).__name__}: {error}") from error


def first_later(data: bytes, time_ms: int) -> int | None:
    """The offset of the first record of a file after a time; None if there is none. Raises `NotRecords`."""
    library = _library()
    try:
        file = library.parquet.ParquetFile(library.pyarrow.BufferReader(data))
        for batch in file.iter_batches(columns=["offset", "timestamp_ms"], use_threads=False):
            offsets, times = (column.to_pylist() for column in batch.columns)
            for offset, time in zip(offsets, times, strict=True):
                if time > time_ms:
                    return int(offset)
    except (library.pyarrow.ArrowException, OSError) as error:
        raise NotRecords(f"{type(error).__name__}: {error}") from error
    return None


def times_of(data: bytes, within: OffsetSpan = EVERYWHERE) -> Iterator[list[tuple[int, int]]]:
    """Offset and broker's time of the records of a file, in order, a row group at once. Raises as `records_of`."""
    library = _library()
    try:
        file = library.parquet.ParquetFile(library.pyarrow.BufferReader(data))
        for group in _groups(file, within):
            table = file.read_row_group(group, columns=["offset", "timestamp_ms"], use_threads=False)
            offsets, times = (column.to_pylist() for column in table.columns)
            yield list(zip(offsets, times, strict=True))
    except (library.pyarrow.ArrowException, OSError, KeyError) as error:
        raise NotRecords(f"{type(error).__name__}: {error}") from error


def _batches(file: Any, most: int, keys: Collection[bytes] | None, within: OffsetSpan) -> Iterator[Any]:
    groups = _groups(file, within)
    if keys is None:
        yield from file.iter_batches(most, row_groups=groups, use_threads=False)
        return
    from pyarrow import array, compute  # reading whole files does not need it

    wanted = array(list(keys), "binary")
    for group in groups:
        own = file.read_row_group(group, columns=["key"], use_threads=False).column("key")
        mask = compute.is_in(own, value_set=wanted)
        if compute.any(mask).as_py():
            yield from file.read_row_group(group, use_threads=False).filter(mask).to_batches(most)


def _groups(file: Any, within: OffsetSpan) -> list[int]:
    """The row groups that may have such offsets; also each one that does not record its smallest and largest."""
    column = file.schema_arrow.get_field_index("offset")
    found = []
    for group in range(file.num_row_groups):
        told = file.metadata.row_group(group).column(column).statistics
        if told is None or not told.has_min_max or (told.max >= within.start and told.min < within.end):
            found.append(group)
    return found


def _records(batch: Any, usual: Headers) -> list[Record]:
    partitions, offsets, times, keys, headers, values = batch.columns
    found = []
    columns: Sequence[Any] = [each.to_pylist() for each in (partitions, offsets, times, keys, values)]
    for partition, offset, time, key, value, own in zip(*columns, _headers(headers), strict=True):
        if own == usual:
            own = usual  # nearly all records share them: this saves memory
        else:
            usual = own
        found.append(Record(partition, offset, time, key, value, own))
    return found


def _headers(column: Any) -> Iterator[Headers]:
    """The headers of each record; several times as fast as `to_pylist`, which creates a dict for each one."""
    pairs = column.flatten()
    names, values = (each.to_pylist() for each in pairs.flatten())
    at = 0
    for length in column.value_lengths().to_pylist():
        end = at + (length or 0)
        yield tuple(zip(names[at:end], values[at:end], strict=True))
        at = end
