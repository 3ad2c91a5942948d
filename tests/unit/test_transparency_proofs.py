"""Proofs as files: what the script proves, and that it rejects a proof with any bit changed."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import NotLogged, ProofWrong, TransparencyError
from pulp_transparency.proofs import Consistency, Inclusion
from pulp_transparency.records import encoded
from pulp_transparency.tiles import LogTree, TileFolder

from examples import check_proof
from examples.check_proof import Wrong, check_consistency, check_inclusion
from tests.support.transparency import RING, SIGNER, logged, record, records

SIZE = 300
[VKEY] = [each.vkey for each in RING.verifiers(0)]
INDEX = 217
REFUSED = (Wrong, ValueError, KeyError, TypeError)
"""What the script calls not proved."""


class Files:
    """A log and its proofs."""

    def __init__(self, folder: Path) -> None:
        self.older = logged(folder / "older", records(100))
        self.note = logged(folder / "log", records(SIZE))
        self.tree = LogTree(TileFolder(folder / "log"), SIZE)
        self.inclusion = Inclusion.of(self.tree, self.note, record(INDEX).offset).text()
        self.consistency = Consistency.of(self.tree, self.note, self.older).text()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("proofs"))


def json_of(number: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(encoded(record(number)))
    return found


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, SIZE - 1))
def test_each_record_is_proved(index: int, files: Files) -> None:
    proof = Inclusion.of(files.tree, files.note, record(index).offset)
    assert Inclusion.parse(proof.text()) == proof
    assert proof.check(RING).offset == record(index).offset
    said = check_inclusion(proof.text(), json_of(index), [VKEY])
    assert said == f"record 0:{record(index).offset} is number {index} of the {SIZE} records of pulp.example/events/0"
    with pytest.raises(Wrong, match="was altered"):
        check_inclusion(proof.text(), json_of((index + 1) % SIZE), [VKEY])


@settings(max_examples=30, deadline=None)
@given(old=st.sampled_from([0, 1, 2, 100, 127, 128, 255, 256, 257, 299, 300]))
def test_each_older_log_is_proved_to_be_continued(
    old: int, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    older = logged(tmp_path_factory.mktemp("older"), records(old))
    proof = Consistency.of(files.tree, files.note, older)
    assert Consistency.parse(proof.text()) == proof
    assert [each.size for each in proof.check(RING, 0)] == [old, SIZE]
    said = check_consistency(proof.text(), [VKEY])
    assert said == f"the {SIZE} records of pulp.example/events/0 begin with the {old} of the older checkpoint"


@settings(max_examples=250, deadline=None)
@given(kind=st.sampled_from(["inclusion", "consistency"]), data=st.data(), bit=st.integers(0, 7))
def test_no_bit_of_a_proof_may_change(kind: str, data: st.DataObject, bit: int, files: Files) -> None:
    whole = getattr(files, kind).encode()
    first = whole.index(b"\n") + 1  # the first line says what it is; the script immediately refuses any other
    at = data.draw(st.integers(first, len(whole) - 1))
    changed = (whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]).decode(errors="replace")
    assert not is_proved_by_the_script(kind, changed)
    assert not is_proved(kind, changed)


def is_proved_by_the_script(kind: str, text: str) -> bool:
    try:
        _ = check_inclusion(text, json_of(INDEX), [VKEY]) if kind == "inclusion" else check_consistency(text, [VKEY])
    except REFUSED:
        return False
    return True


def is_proved(kind: str, text: str) -> bool:
    try:
        if kind == "inclusion":
            return Inclusion.parse(text).check(RING) == LogEntry.of(record(INDEX))
        Consistency.parse(text).check(RING, 0)
    except TransparencyError:
        return False
    return True


def test_a_log_that_does_not_continue_the_older_one_has_no_proof(files: Files, tmp_path: Path) -> None:
    other = logged(tmp_path, [*records(99), record(5000, offset=record(99).offset)])
    with pytest.raises(ProofWrong, match="the newer log does not continue the older one"):
        Consistency.of(files.tree, files.note, other)
    longer = logged(tmp_path / "longer", records(SIZE + 1))
    with pytest.raises(ProofWrong, match="the earlier checkpoint has 301 records, and the log 300"):
        Consistency.of(files.tree, files.note, longer)


def test_what_is_not_in_the_log(files: Files) -> None:
    with pytest.raises(NotLogged, match="the log has no record with offset 2: Kafka leaves gaps"):
        Inclusion.of(files.tree, files.note, 2)
    with pytest.raises(NotLogged, match=r"does not cover offset 99999 yet: its last checkpoint has 300 records"):
        Inclusion.of(files.tree, files.note, 99_999)


def test_a_key_of_the_wrong_kind_is_refused_and_a_signing_key_not_repeated(files: Files) -> None:
    for key in (SIGNER.encode(), f"{RING.name}/0+{sha256(f'{RING.name}/0'.encode() + bytes([10])).hexdigest()[:8]}+"):
        with pytest.raises(Wrong, match=r"--vkey .*is not a verifier key") as refused:
            check_inclusion(files.inclusion, json_of(INDEX), [key])
        assert key[-20:] not in str(refused.value) or not key.startswith("PRIVATE")


@pytest.mark.parametrize(
    ("proof", "record_text", "code", "says"),
    [
        (None, "{}", 2, "cannot be read: No such file or directory"),
        ("whole", None, 2, "cannot be read: No such file or directory"),
        ("whole", "{", 1, "NOT PROVED: the files do not have the form of a proof and a record"),
        ("whole", "[]", 1, "NOT PROVED: the files do not have the form of a proof and a record"),
        ("whole", "[" * 100_000, 1, "NOT PROVED: the files do not have the form of a proof and a record"),
        ("", "{}", 1, "NOT PROVED: this is not a proof of the log"),
        ("whole", '{"headers": {}}', 1, "NOT PROVED: the record has no headers"),
        ("whole", '{"headers": [[5, null]]}', 1, "NOT PROVED: the record has no headers"),
        ("whole", '{"headers": [5]}', 1, "NOT PROVED: the files do not have the form of a proof and a record"),
    ],
)
def test_what_is_no_proof_ends_with_a_sentence(
    proof: str | None, record_text: str | None, code: int, says: str, files: Files, tmp_path: Path
) -> None:
    """A missing file is distinguished from a proof that does not hold."""
    given_proof, given_record = tmp_path / "1.tlog-proof", tmp_path / "1.json"
    if proof is not None:
        given_proof.write_text(files.inclusion if proof else "")
    if record_text is not None:
        given_record.write_text(record_text)
    command = [sys.executable, check_proof.__file__, "--vkey", VKEY, str(given_proof), "--record", str(given_record)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # the script of the repository
    assert (ended.returncode, ended.stderr.count("\n"), says in ended.stderr) == (code, 1, True), ended.stderr
