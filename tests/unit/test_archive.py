"""The archive: records come back as they were, and a file that is missing or altered is named before it is used."""

import json
import pickle
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any, Never

import msgspec
import pytest
from click.testing import CliRunner
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_archive.archive import Archive, read_manifest
from pulp_archive.errors import (
    ArchiveAway,
    ArchiveDamaged,
    ArchiveError,
    ArchiveIncomplete,
    ArchiveInUse,
    ArchiveUnusable,
)
from pulp_archive.manifest import ArchivedSpan, Manifest, NotManifest
from pulp_archive.parquet import NotRecords, RecordsFile, records_of
from pulp_archive.reach import Waiting, judge
from pulp_archive.stores import FolderStore, shown, store_of
from pulp_archive.writing import SpanWriter
from pulp_deploy.main import pulp_tasks
from pulp_events.reader import Record
from pulp_transparency.auditing import audit
from pulp_transparency.records import ArchivedRecords
from pulp_transparency.tiles import TileFolder
from pulp_transparency.verifying import note_damaged_files

from tests.support.archives import INFO, archived, end_of, files_of
from tests.support.transparency import RING, logged, record, records

COUNT, SPAN = 50, 10
RECORDS = records(COUNT)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENTS = st.none() | st.binary(max_size=40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of 50 records in five files."""
    archived(str(tmp_path / "archive"), RECORDS, end=end_of(COUNT), span=SPAN)
    return tmp_path / "archive"


def read(url: object, start: int = 0) -> list[Record]:
    return [each for batch in Archive.open(str(url)).read(0, start, most=7) for each in batch]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Record,
            st.integers(0, 2**31 - 1),
            st.integers(0, 2**63 - 1),
            st.integers(-1, 2**63 - 1),
            CONTENTS,
            CONTENTS,
            st.lists(st.tuples(TEXTS, CONTENTS), max_size=3).map(tuple),
        ),
        max_size=30,
    )
)
def test_records_come_back_as_they_were_received(found: list[Record]) -> None:
    file = RecordsFile()
    for each in found:
        file.append(each)
    assert [each for batch in records_of(file.finish(), 7) for each in batch] == found


def test_an_archive_is_read_from_any_offset_on(folder: Path) -> None:
    for start in (0, 1, 2, RECORDS[SPAN].offset, RECORDS[SPAN].offset + 1, end_of(COUNT)):
        assert read(folder, start) == [each for each in RECORDS if each.offset >= start]
    found = Archive.open(str(folder))
    assert (found.partitions, found.end(0), found.end(3)) == ([0], end_of(COUNT), 0)
    assert len(files_of(folder)) == COUNT // SPAN


def test_it_goes_on_behind_what_is_archived(folder: Path) -> None:
    found = archived(str(folder), [record(COUNT)], end=end_of(COUNT + 1))
    assert read(folder) == records(COUNT + 1)
    assert [span.records for span in found.manifests[0].spans] == [SPAN] * 5 + [1]


def test_what_a_writer_that_was_killed_has_left_counts_for_nothing_and_is_removed(folder: Path) -> None:
    store = store_of(str(folder))
    known = {path.name for path in files_of(folder)}
    for name in ("00000000000000000149-00000000000000000200-aaaaaaaaaaaa.parquet", "x.parquet.new"):
        (folder / "0" / name).write_bytes(b"PAR1")
    assert read(folder) == RECORDS
    store.remove_left("0", known, ".parquet")
    assert {path.name for path in (folder / "0").iterdir()} == {*known, "manifest.json"}


def test_files_behind_a_manifest_that_was_put_back_stay_while_kafka_lacks_their_records(folder: Path) -> None:
    """The manifest comes from a copy taken after two of five files; Kafka has nothing before the last record."""
    whole = files_of(folder)
    manifest = read_manifest(store_of(str(folder)), 0)
    assert manifest is not None
    older = msgspec.structs.replace(manifest, spans=manifest.spans[:2])
    writer = SpanWriter(store_of(str(folder)), older)
    with pytest.raises(ArchiveIncomplete, match=f"begins at offset {end_of(COUNT)} in Kafka"):
        writer.run("127.0.0.1:1", end_of(COUNT), end_of(COUNT), None, until_ms=None)
    assert files_of(folder) == whole
    writer.run("127.0.0.1:1", 0, older.spans[-1].next, None, until_ms=None)  # Kafka has them all
    assert files_of(folder) == whole[:2]


def test_files_and_folders_are_for_their_owner_alone(folder: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}


def test_a_url_of_fsspec_holds_the_same(folder: Path) -> None:
    url = f"memory://{folder.name}-{id(folder)}"
    archived(url, RECORDS, end=end_of(COUNT), span=SPAN)
    assert read(url) == RECORDS
    assert archived(url, [record(COUNT)], end=end_of(COUNT + 1)).end(0) == end_of(COUNT + 1)
    store = store_of(url)
    names = [name for name in store.names("0") if name.endswith(".parquet")]
    assert names[:5] == [path.name for path in files_of(folder)]
    assert not [name for name in store.names("0") if name.endswith(".new")]
    store.write(f"0/{names[2]}", b"PAR1")
    with pytest.raises(ArchiveDamaged, match=names[2]):
        read(url)


@settings(max_examples=80, deadline=None)
@given(file=st.integers(0, 4), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_changed_bit_is_found_before_a_record_of_that_file_is_used(
    file: int, at: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    archived(str(folder), RECORDS, end=end_of(COUNT), span=SPAN)
    path = files_of(folder)[file]
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    path.write_bytes(data)
    found: list[Record] = []
    with pytest.raises(ArchiveDamaged, match=path.name) as raised:
        found.extend(each for batch in Archive.open(str(folder)).read(0) for each in batch)
    assert found == RECORDS[: SPAN * file]
    assert raised.value.place == str(path)
    assert [each.place for each in Archive.open(str(folder)).faults()] == [str(path)]


def test_files_that_are_missing_swapped_or_cut_are_named(folder: Path) -> None:
    first, second, *_, last = files_of(folder)
    kept = {path: path.read_bytes() for path in (first, second, last)}
    second.unlink()
    with pytest.raises(ArchiveDamaged, match=rf"{second.name} is missing. It holds partition 0 from 29 to 58"):
        read(folder)
    second.write_bytes(kept[first])
    first.write_bytes(kept[second])
    assert [each.place for each in Archive.open(str(folder)).faults()] == [str(first), str(second)]
    first.write_bytes(kept[first])
    second.write_bytes(kept[second])
    last.write_bytes(kept[last][:-1])
    with pytest.raises(ArchiveDamaged, match=last.name):
        read(folder)


def test_a_manifest_that_is_missing_or_altered_is_named(folder: Path) -> None:
    path = folder / "0" / "manifest.json"
    text = path.read_text()
    value = json.loads(text)
    for changed in (
        text.replace('"records": 10', '"records": 11', 1),
        text[: len(text) // 2],
        json.dumps({**value, "spans": value["spans"][:-1]}),
        json.dumps({**value, "format": "pulp-tasks/archive/v9"}),
    ):
        path.write_text(changed)
        with pytest.raises(ArchiveDamaged, match=f"{path} was altered"):
            Archive.open(str(folder))
    path.unlink()
    with pytest.raises(ArchiveDamaged, match=f"{path} is missing"):
        Archive.open(str(folder))


def test_no_bit_of_a_manifest_ends_a_command_unexpectedly(folder: Path) -> None:
    """A letter whose highest bit has changed is not UTF-8."""
    path = folder / "0" / "manifest.json"
    whole = path.read_bytes()
    sound = Archive.open(str(folder)).manifests[0]
    for at in range(len(whole)):
        for bit in range(8):
            changed = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
            try:
                assert Manifest.decode(changed, 0) == sound  # for example, only white space has changed
            except NotManifest:
                continue
    path.write_bytes(whole.replace(b"pulp-tasks", b"pulp\xadtasks"))
    with pytest.raises(ArchiveDamaged, match=f"{path} was altered"):
        Archive.open(str(folder))
    path.write_bytes(b'{"format":' * 100_000)
    with pytest.raises(ArchiveDamaged, match=f"{path} was altered"):
        Archive.open(str(folder))


def test_a_folder_that_is_gone_is_named_by_the_checkpoints(folder: Path) -> None:
    """Without the manifest, nothing in the folder itself shows that there was one."""
    for partition, size in ((0, COUNT), (1, 0)):  # a partition without records never has a folder
        kept = folder / "checkpoints" / str(partition)
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{size:020}").write_text("a checkpoint")
    assert list(Archive.open(str(folder)).faults()) == []
    shutil.rmtree(folder / "0")
    [found] = Archive.open(str(folder)).faults()
    assert (found.place, found.is_missing) == (str(folder / "0" / "manifest.json"), True)


def test_a_place_without_an_archive_is_not_intact(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        ended = CliRunner().invoke(pulp_tasks, ["archive", "verify", "--archive", str(place)])
        assert isinstance(ended.exception, ArchiveUnusable)
        assert str(ended.exception).startswith(f"there is no archive at {place}: ")


def test_an_archive_that_does_not_reach_says_from_where(folder: Path) -> None:
    found = Archive.open(str(folder))
    end = end_of(COUNT)
    found.check_reach("events", {0: end, 1: 0})
    with pytest.raises(
        ArchiveIncomplete, match=rf"partition 0 of events begins at offset {end + 1} in Kafka.*ends at {end}"
    ):
        found.check_reach("events", {0: end + 1, 1: 0})
    with pytest.raises(ArchiveIncomplete, match=r"partition 1 of events begins at offset 5.*holds nothing of it"):
        found.check_reach("events", {0: 0, 1: 5})
    found.check_topic(INFO.name, INFO.topic_id)
    with pytest.raises(ArchiveDamaged, match=r"is of topic pulp\.tasks\.events"):
        found.check_topic(INFO.name, "B" * 22)


def test_places_that_cannot_be_an_archive_are_refused() -> None:
    with pytest.raises(ArchiveUnusable, match="no-such-protocol"):
        store_of("no-such-protocol://bucket/tasks")
    assert Archive.open("/nowhere/at/all").partitions == []
    with pytest.raises(NotRecords):
        list(records_of(b"nonsense", 10))


class UnreachableFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A storage that refuses everything, with errors of its library."""

    protocol = "unreachable"

    def _refuse(self, *_: object, **__: object) -> Never:
        raise RuntimeError("no credentials")

    ls = cat_file = pipe_file = makedirs = _refuse


def test_a_storage_that_refuses_us_is_told_in_its_words() -> None:
    register_implementation("unreachable", UnreachableFileSystem, clobber=True)
    with pytest.raises(ArchiveAway, match=r"unreachable://bucket.* cannot be read: no credentials"):
        Archive.open("unreachable://bucket/tasks")
    store = store_of("unreachable://bucket/tasks")
    with pytest.raises(ArchiveAway, match="no credentials"):
        store.read("0/manifest.json")
    with pytest.raises(OSError, match="no credentials"):
        store.write("0/manifest.json", b"")


class LoginFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A storage that connects immediately, with the login of its URL, and then fails."""

    protocol = "login"

    def __init__(self, **options: Any) -> None:
        raise TimeoutError("timed out")

    @staticmethod
    def _get_kwargs_from_urls(_: str) -> dict[str, str]:
        return {}


def test_the_login_of_a_url_is_in_no_message() -> None:
    """Messages go to terminals and logs."""
    register_implementation("login", LoginFileSystem, clobber=True)
    for url in ("login://jo:hunter2@files.test/tasks", "no-such-protocol://jo:hunter2@files.test/tasks"):
        with pytest.raises(ArchiveError) as refused:
            Archive.open(url)
        assert "hunter2" not in str(refused.value)
        assert "://...@files.test/tasks" in str(refused.value)
    assert Archive("sftp://jo:hunter2@files.test/x", FolderStore(Path()), {}).url == "sftp://...@files.test/x"


def test_a_storage_that_does_not_answer_at_once_is_away() -> None:
    """It is reported as away, not as an unexpected error."""
    register_implementation("login", LoginFileSystem, clobber=True)
    with pytest.raises(ArchiveAway, match=r"the archive at login://files\.test cannot be read: timed out"):
        store_of("login://files.test")


def test_two_writers_of_a_folder_are_kept_apart(folder: Path) -> None:
    store = store_of(str(folder))
    with store.locked(), pytest.raises(ArchiveInUse, match=str(folder)), store_of(str(folder)).locked():
        pass


def test_its_errors_pass_from_a_process_that_fills_to_the_one_that_asked() -> None:
    error = pickle.loads(pickle.dumps(ArchiveDamaged("a file was altered", "/archive/0/x.parquet")))
    assert (str(error), error.place) == ("a file was altered", "/archive/0/x.parquet")


def forged(folder: Path, file: int, found: list[Record]) -> None:
    """Exchange a file of the archive, and its hash in the manifest."""
    path = files_of(folder)[file]
    made = RecordsFile()
    for each in found:
        made.append(each)
    data = made.finish()
    path.write_bytes(data)
    manifest = Archive.open(str(folder)).manifests[0]
    value = json.loads((folder / "0" / "manifest.json").read_text())
    value["spans"][file] |= {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    spans = msgspec.convert(value["spans"], tuple[ArchivedSpan, ...])
    (folder / "0" / "manifest.json").write_bytes(msgspec.structs.replace(manifest, spans=spans).encode())


@pytest.mark.parametrize("is_forged", [True, False], ids=["with its hash", "without its hash"])
def test_a_record_that_was_changed_in_the_archive_is_named_by_the_log(
    folder: Path, tmp_path: Path, is_forged: bool
) -> None:
    logged(tmp_path / "log", [*RECORDS, record(COUNT)])  # the archive ends before the log does
    there = RECORDS[20:30]
    for changed, kind in (
        ([*there[:3], record(0, offset=there[3].offset), *there[4:]], "altered"),
        ([*there[:3], *there[4:]], "missing"),
        ([*there[:3], record(7, offset=there[3].offset - 1), *there[3:]], "added"),
    ):
        archive = tmp_path / kind
        archived(str(archive), RECORDS, end=end_of(COUNT), span=SPAN)
        path = files_of(archive)[2]
        if is_forged:
            forged(archive, 2, changed)
        else:
            made = RecordsFile()
            for each in changed:
                made.append(each)
            path.write_bytes(made.finish())
        source = ArchivedRecords(Archive.open(str(archive)))
        report = audit(TileFolder(tmp_path / "log"), RING, 0, source.read(0), end=source.end(0))
        note_damaged_files(source, [report])
        first, *files = report.found
        assert (first.subject, first.kind, first.index) == ("record", kind, 23)
        assert [(each.subject, each.kind, each.place) for each in files] == (
            [] if is_forged else [("file", "altered", str(path))]
        )


def test_records_of_a_missing_file_are_missing_and_the_file_is_named(folder: Path, tmp_path: Path) -> None:
    logged(tmp_path / "log", RECORDS)
    path = files_of(folder)[1]
    path.unlink()
    source = ArchivedRecords(Archive.open(str(folder)))
    report = audit(TileFolder(tmp_path / "log"), RING, 0, source.read(0), end=source.end(0))
    note_damaged_files(source, [report])
    assert [(each.subject, each.kind, each.place) for each in report.found] == [
        ("record", "missing", f"0:{RECORDS[SPAN].offset}"),
        ("file", "missing", str(path)),
    ]


def test_an_archive_that_ends_before_the_log_is_intact(folder: Path, tmp_path: Path) -> None:
    logged(tmp_path / "log", records(COUNT + 20))
    source = ArchivedRecords(Archive.open(str(folder)))
    report = audit(TileFolder(tmp_path / "log"), RING, 0, source.read(0), end=source.end(0))
    assert (report.found, report.compared) == ([], COUNT)


def test_records_that_wait_too_long_are_told() -> None:
    hour = 3_600_000
    assert judge(Waiting(5, 0), -1, 1000 * hour) == []
    assert judge(Waiting(0, None), hour, 1000 * hour) == []
    assert judge(Waiting(5, 0), 10 * hour, 4 * hour) == []
    [found] = judge(Waiting(5, 0), 10 * hour, 6 * hour)
    assert (found.check, found.severity) == ("archive-behind", "warning")
    assert "5 records are not archived, the oldest for 6.0 hours, and Kafka keeps them for 10.0" in found.wrong


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sftp://jo:p@ss@files.test/tasks", "sftp://...@files.test/tasks"),
        ("s3://backups/jo@site", "s3://backups/jo@site"),
        ("abfs://tasks@site.dfs.core.windows.net/log", "abfs://tasks@site.dfs.core.windows.net/log"),
    ],
)
def test_a_login_is_left_out_and_nothing_else(url: str, told: str) -> None:
    assert shown(url) == told
