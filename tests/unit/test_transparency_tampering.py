"""Any change of records, tiles or checkpoints is found, at the right place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_events.reader import Record
from pulp_transparency.auditing import Alteration, KeptCheckpoint, LogReport, audit
from pulp_transparency.checkpoint import Checkpoint, origin_of
from pulp_transparency.comparison import Kind
from pulp_transparency.entry import LogEntry
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import NoteSigner
from pulp_transparency.outlets import outside_folder
from pulp_transparency.published import Published
from pulp_transparency.tiles import TileFolder, tiles_of
from pulp_transparency.verifying import merged, outside_notes

from tests.support.transparency import RING, SIGNER, logged, opened, record, records, signed

SIZE = 300
RECORDS = records(SIZE)
PLACES = st.integers(0, SIZE - 1)
BITS = st.integers(0, 7)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 300 records, which no test changes."""
    path = tmp_path_factory.mktemp("log")
    logged(path, RECORDS)
    return path


def audited(
    path: Path, found: list[Record], notes: list[KeptCheckpoint] | None = None, ring: KeyRing = RING
) -> LogReport:
    return audit(TileFolder(path), ring, 0, found, notes or [])


def only(report: LogReport) -> Alteration:
    [found] = report.found
    return found


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_a_log_that_nobody_has_changed(log: Path) -> None:
    report = audited(log, [*RECORDS, record(SIZE)])
    assert (report.found, report.size, report.compared, report.uncovered) == ([], SIZE, SIZE, 1)


PARTS: dict[str, Callable[[Record, int], Record]] = {
    "key": lambda each, bit: msgspec.structs.replace(each, key=flipped(each.key or b"", 0, bit)),
    "value": lambda each, bit: msgspec.structs.replace(
        each, value=flipped(each.value or b"", -1 % len(each.value or b""), bit)
    ),
    "header": lambda each, bit: msgspec.structs.replace(
        each, headers=((each.headers[0][0], flipped(each.headers[0][1] or b"", 3, bit)), *each.headers[1:])
    ),
    "name of a header": lambda each, bit: msgspec.structs.replace(
        each, headers=((each.headers[0][0] + chr(97 + bit), each.headers[0][1]), *each.headers[1:])
    ),
    "a header that was not there": lambda each, bit: msgspec.structs.replace(
        each, headers=(*each.headers, (f"x{bit}", b""))
    ),
    "nothing in place of an empty header": lambda each, bit: msgspec.structs.replace(
        each, headers=(each.headers[0], ("empty", None), each.headers[2])
    ),
    "no key": lambda each, bit: msgspec.structs.replace(each, key=None),
    "time": lambda each, bit: msgspec.structs.replace(each, timestamp_ms=each.timestamp_ms ^ 1 << bit),
    "partition": lambda each, bit: msgspec.structs.replace(each, partition=each.partition ^ 1 << bit),
}


@settings(max_examples=60, deadline=None)
@given(place=PLACES, part=st.sampled_from(sorted(PARTS)), bit=BITS)
def test_an_altered_record(place: int, part: str, bit: int, log: Path) -> None:
    changed = [*RECORDS]
    changed[place] = PARTS[part](changed[place], bit)
    found = only(audited(log, changed))
    assert (found.subject, found.kind, found.index, found.offset) == (
        "record",
        Kind.ALTERED,
        place,
        RECORDS[place].offset,
    )
    assert ("time" in found.what) == (part == "time")


@settings(max_examples=40, deadline=None)
@given(place=PLACES, count=st.integers(1, 3), are_moved_up=st.booleans())
def test_missing_records(place: int, count: int, are_moved_up: bool, log: Path) -> None:
    """Their offsets stay free, or the later records have them, as if the records had been written to a new topic."""
    kept = [*RECORDS[:place], *RECORDS[place + count :]]
    if are_moved_up:
        kept = [msgspec.structs.replace(each, offset=RECORDS[at].offset) for at, each in enumerate(kept)]
    found = only(audited(log, kept))
    is_end = place + count >= SIZE
    assert (found.index, found.offset) == (place, RECORDS[place].offset)
    if are_moved_up and count > 1 and not is_end:
        assert found.kind in (
            Kind.MISSING,
            Kind.ALTERED,
        )  # where several are missing, the next one is not one place away
    else:
        assert found.kind == (Kind.CUT_OFF if is_end else Kind.MISSING)


@settings(max_examples=40, deadline=None)
@given(first=PLACES, second=PLACES, keep_offsets=st.booleans())
def test_swapped_records(first: int, second: int, keep_offsets: bool, log: Path) -> None:
    if first == second:
        return
    first, second = sorted((first, second))
    changed = [*RECORDS]
    changed[first], changed[second] = changed[second], changed[first]
    if not keep_offsets:
        changed = [msgspec.structs.replace(each, offset=RECORDS[at].offset) for at, each in enumerate(changed)]
    found = only(audited(log, changed))
    assert (found.kind, found.index, found.offset) == (Kind.SWAPPED, first, RECORDS[first].offset)
    assert f"where {RECORDS[second].offset} does" in found.what


@settings(max_examples=40, deadline=None)
@given(place=PLACES, are_moved_down=st.booleans())
def test_an_added_record(place: int, are_moved_down: bool, log: Path) -> None:
    new = record(10_000, offset=RECORDS[place].offset - 1)
    changed = [*RECORDS[:place], new, *RECORDS[place:]]
    if are_moved_down:
        changed = [msgspec.structs.replace(each, offset=record(at).offset) for at, each in enumerate(changed)]
    found = only(audited(log, changed))
    assert (found.kind, found.index) == (Kind.ADDED, place)
    assert found.offset == (RECORDS[place].offset if are_moved_down else new.offset)


@settings(max_examples=20, deadline=None)
@given(left=st.integers(0, SIZE - 1))
def test_a_log_that_was_cut_off(left: int, log: Path) -> None:
    found = only(audited(log, RECORDS[:left]))
    assert (found.kind, found.index, found.offset) == (Kind.CUT_OFF, left, RECORDS[left].offset)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), bit=BITS)
def test_a_bit_of_a_tile(data: st.DataObject, bit: int, log: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("altered") / "log"
    shutil.copytree(log, path)
    tile = data.draw(st.sampled_from(list(tiles_of(SIZE))))
    file = path / tile.path
    content = file.read_bytes()
    file.write_bytes(flipped(content, data.draw(st.integers(0, len(content) - 1)), bit))
    found = [each for each in audited(path, RECORDS).found if each.subject == "tile"]
    # A tile and the one above it vouch for each other: the report names the altered one, or the one next to it.
    number = {"tile/entries/000": "000", "tile/0/000": "000"}.get(tile.path, tile.path.rpartition("/")[2])
    assert found
    assert found[0].kind == Kind.ALTERED
    named = found[0].place.removeprefix(f"{path}/")
    assert named == tile.path or number in named or tile.level == 1 or named.startswith("tile/1/"), (named, tile)
    # The records match the signed log, which shows that only tiles were altered.
    assert not [each for each in audited(path, RECORDS).found if each.subject == "record"]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), bit=BITS)
def test_a_bit_of_a_tile_of_an_earlier_size(
    data: st.DataObject, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever has an older checkpoint still reads that tile."""
    path = tmp_path_factory.mktemp("grown") / "log"
    logged(path, RECORDS[:7])
    for end in (20, 31):
        log = opened(path)
        for each in RECORDS[log.size : end]:
            log.append(LogEntry.of(each))
        signed(log)
    assert not audited(path, RECORDS[:31]).found
    older = sorted(each for each in path.glob("tile/*/*.p/*") if each.name != "31")
    assert {each.name for each in older} == {"7", "20"}
    file = data.draw(st.sampled_from(older))
    content = file.read_bytes()
    file.write_bytes(flipped(content, data.draw(st.integers(0, len(content) - 1)), bit))
    [found] = audited(path, RECORDS[:31]).found
    assert (found.subject, found.kind, found.place) == ("tile", Kind.ALTERED, str(file))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_tile_that_was_removed_or_cut_off(
    data: st.DataObject, log: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("altered") / "log"
    shutil.copytree(log, path)
    tile = data.draw(st.sampled_from(list(tiles_of(SIZE))))
    file = path / tile.path
    is_removed = data.draw(st.booleans())
    if is_removed:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    [found] = [each for each in audited(path, RECORDS).found if each.subject == "tile"]
    assert (found.place, found.kind) == (str(file), Kind.MISSING if is_removed else Kind.ALTERED)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), bit=BITS)
def test_a_bit_of_a_checkpoint(
    data: st.DataObject, bit: int, log: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("altered") / "log"
    shutil.copytree(log, path)
    file = path / "checkpoint"
    content = file.read_bytes()
    file.write_bytes(flipped(content, data.draw(st.integers(0, len(content) - 1)), bit))
    found = only(audited(path, RECORDS))
    assert (found.subject, found.place) == ("checkpoint", str(file))
    assert found.kind in (Kind.ALTERED, "unknown key")


def test_a_key_that_nobody_knows_is_told_from_an_altered_checkpoint(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "log"
    shutil.copytree(log, path)
    file = path / "checkpoint"
    own = RING.open(file.read_text(), 0)
    forger = NoteSigner(SIGNER.name, b"f" * 32)
    file.write_text(own.signed(forger.named(own.origin)))
    assert only(audited(path, RECORDS)).kind == "unknown key"
    file.write_text(own._replace(size=own.size - 1).signed(SIGNER.named(own.origin)).replace("299", "300"))
    assert only(audited(path, RECORDS)).kind == Kind.ALTERED
    retired = RING.rotated(forger.verifier, {0: 200})
    file.write_text((log / "checkpoint").read_text())
    assert only(audited(path, RECORDS, ring=retired)).kind == "retired key"
    file.unlink()
    assert only(audited(path, RECORDS)).kind == Kind.MISSING


def test_a_log_that_was_written_anew_and_signed_again_contradicts_what_others_have(log: Path, tmp_path: Path) -> None:
    """Whoever has the key can write another history, but cannot take the first one from those who have it."""
    others = [
        KeptCheckpoint("the witness", logged(tmp_path / "prefix", RECORDS[:200])),
        KeptCheckpoint("old", logged(tmp_path / "p", RECORDS[:50])),
    ]
    forged = [*RECORDS]
    forged[120] = record(9_999, offset=forged[120].offset)
    logged(tmp_path / "forged", forged)
    report = audited(tmp_path / "forged", forged, others)
    assert (only(report).kind, only(report).place, report.checkpoints) == ("contradicted", "the witness", 1)
    assert "the first 200 records" in only(report).what
    assert audited(log, RECORDS, others).checkpoints == 2


def test_checkpoints_are_used_as_they_are_read_and_the_smallest_that_differs_is_named_first(
    log: Path, tmp_path: Path
) -> None:
    """A place that gets each checkpoint has millions in a year."""
    sizes = [280, 200, 250, 50, 150]
    noted = [KeptCheckpoint(str(size), logged(tmp_path / str(size), RECORDS[:size])) for size in sizes]
    forged = [*RECORDS]
    forged[120] = record(9_999, offset=forged[120].offset)
    logged(tmp_path / "forged", forged)
    report = audit(TileFolder(tmp_path / "forged"), RING, 0, forged, iter(noted))
    assert [each.place for each in report.found] == ["150", "200", "250", "280"]
    assert report.checkpoints == 1
    assert audit(TileFolder(log), RING, 0, RECORDS, iter(noted)).checkpoints == len(sizes)


def test_a_checkpoint_that_comes_while_the_log_is_checked_is_not_held_against_it(log: Path, tmp_path: Path) -> None:
    """It covers more records than the log had when it was read, as if the log had been cut off."""
    outlet = outside_folder(tmp_path)
    for size in (50, 100):
        outlet.send(Published(0, RING.name, size, logged(tmp_path / f"to {size}", RECORDS[:size]), 0))
    notes = outside_notes(tmp_path)
    outlet.send(Published(0, RING.name, SIZE, (log / "checkpoint").read_text(), 0))
    assert sorted(Path(each.place).name for each in notes[0]) == [f"{50:020}", f"{100:020}"]
    assert len(list(notes[0])) == 2  # they can be read again
    assert len(list(outside_notes(tmp_path)[0])) == 3
    both = merged(notes, {0: [KeptCheckpoint("kept", (log / "checkpoint").read_text())]})
    report = audit(TileFolder(tmp_path / "to 100"), RING, 0, RECORDS, both[0])
    assert (only(report).place, report.checkpoints) == ("kept", 2)


def test_a_log_that_was_set_back(tmp_path: Path, log: Path) -> None:
    logged(tmp_path / "back", RECORDS[:100])
    newest = KeptCheckpoint("topic", (log / "checkpoint").read_text())
    found = only(audited(tmp_path / "back", RECORDS, [newest]))
    assert (found.subject, found.kind, found.index, found.place) == ("checkpoint", Kind.CUT_OFF, 100, "topic")


def test_records_without_tiles_are_held_against_the_checkpoints(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.mkdir()
    shutil.copy(log / "checkpoint", path / "checkpoint")
    older = KeptCheckpoint("older", logged(tmp_path / "older", RECORDS[:100]))
    assert [each.subject for each in audited(path, RECORDS, [older]).found] == ["tile"]
    changed = [*RECORDS]
    changed[150] = record(9_999, offset=changed[150].offset)
    tile, wrong = audited(path, changed, [older]).found
    assert (tile.kind, wrong.kind, wrong.index) == (Kind.MISSING, Kind.ALTERED, 100)
    assert "the first 100 records are those that were signed" in wrong.what


def test_a_rotated_key_goes_on_with_the_log(tmp_path: Path) -> None:
    logged(tmp_path, RECORDS[:100])
    second = NoteSigner(SIGNER.name, b"2" * 32)
    ring = RING.rotated(second.verifier, {0: 100})
    log = opened(tmp_path)
    for each in RECORDS[100:]:
        log.append(LogEntry.of(each))
    signed(log, signer=second)
    older = KeptCheckpoint(
        "older", Checkpoint(origin_of(SIGNER.name, 0), 300, log.root).signed(SIGNER.named(origin_of(SIGNER.name, 0)))
    )
    assert not audited(tmp_path, RECORDS, ring=ring).found
    found = only(audited(tmp_path, RECORDS, [older], ring=ring))
    assert (found.kind, found.place) == ("retired key", "older")
