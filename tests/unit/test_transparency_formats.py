"""Entries, signed notes, checkpoints and keys, compared with the specifications of their formats."""

import struct
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pulp_events.reader import Record
from pulp_transparency import note
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.entry import LogEntry, contents
from pulp_transparency.errors import (
    KeyFault,
    NoteMalformed,
    RecordsFault,
    RetiredKey,
    SignatureWrong,
    UnknownKey,
)
from pulp_transparency.keys import KeyRing, read_signer
from pulp_transparency.note import NoteSigner, Verifier
from pulp_transparency.tiles import ENTRIES, Tile, tiles_of

from tests.support.transparency import RING, SIGNER, record

# From C2SP signed-note, "Example".
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "\N{EM DASH} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_example_of_signed_notes() -> None:
    verifier = Verifier.parse(VKEY)
    assert verifier.vkey == VKEY
    text, found = note.opened(NOTE, [verifier])
    assert (text, found) == ("This is an example message.\n", [verifier])


def test_what_a_signature_does_not_prove() -> None:
    verifier = Verifier.parse(VKEY)
    with pytest.raises(SignatureWrong, match=r"key example.com/foo\+530d903a has not signed this text"):
        note.opened(NOTE.replace("example message", "altered message"), [verifier])
    with pytest.raises(UnknownKey, match=r"signed by example.com/foo\+530d903a, which is not a known key") as raised:
        note.opened(NOTE, [SIGNER.verifier])
    assert raised.value.signers == ("example.com/foo+530d903a",)
    with pytest.raises(SignatureWrong, match="or its last line was altered"):
        note.opened(NOTE.replace("\N{EM DASH} example.com/foo", "\N{EM DASH} example.com/bar"), [verifier])
    both = NOTE + SIGNER.sign("This is an example message.\n").rpartition("\n\n")[2]
    assert note.opened(both, [verifier])[1] == [verifier]
    assert note.opened(both, [SIGNER.verifier, verifier])[1] == [verifier, SIGNER.verifier]


@pytest.mark.parametrize(
    "text", ["", "no signature\n", "a\n\n\n", NOTE[:-1], NOTE.replace("Uw2Q", "!!!!"), NOTE + "more\n", "\t" + NOTE]
)
def test_what_is_not_a_signed_note(text: str) -> None:
    with pytest.raises(NoteMalformed):
        note.split(text)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", VKEY.replace("530d", "530e"), VKEY[:-4]],
)
def test_what_is_not_a_verifier_key(vkey: str) -> None:
    with pytest.raises(KeyFault, match="is not a"):
        Verifier.parse(vkey)


def test_a_signing_key_is_written_and_read_and_not_shown(tmp_path: Path) -> None:
    made = NoteSigner.generate("pulp.example/x")
    assert NoteSigner.parse(made.encode()) == made
    assert made.encode().startswith(f"PRIVATE+KEY+{made.verifier.label}+")
    assert made.seed.hex() not in repr(made)
    file = tmp_path / "key"
    file.write_text(made.encode() + "\n")
    file.chmod(0o640)
    with pytest.raises(KeyFault, match=r"others may read the signing key in .*chmod 600"):
        read_signer(file)
    file.chmod(0o600)
    assert read_signer(file) == made
    file.write_text("something else")
    with pytest.raises(KeyFault, match="not a signing key"):
        read_signer(file)
    with pytest.raises(KeyFault, match="cannot be the name of a key"):
        NoteSigner.generate("a+b")


def test_the_text_of_a_checkpoint() -> None:
    # The root of one leaf without bytes, from the reference tests of Certificate Transparency.
    root = bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    checkpoint = Checkpoint("pulp.example/events/0", 1, root)
    assert checkpoint.text == "pulp.example/events/0\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n"
    assert Checkpoint.parse(checkpoint.text) == Checkpoint.parse(checkpoint.text + "more\n") == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
        "o\n-1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
        "o\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB1=\n",  # the same bytes, spelled otherwise
        "o\n1\nbjQL\n",
        "o\n0\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
        "\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
    ],
)
def test_what_is_not_a_checkpoint(text: str) -> None:
    with pytest.raises(NoteMalformed):
        Checkpoint.parse(text)


def test_the_encoding_of_a_record_is_the_one_of_the_document() -> None:
    found = Record(3, 41, 1_700_000_000_123, b"k", None, (("h", b""), ("n", None)))
    body = (
        struct.pack(">I", 1) + b"k"
        + struct.pack(">I", 2)
        + struct.pack(">I", 1) + b"h" + struct.pack(">I", 0)
        + struct.pack(">I", 1) + b"n" + b"\xff\xff\xff\xff"
        + b"\xff\xff\xff\xff"
    )  # fmt: skip
    assert contents(found) == body
    entry = LogEntry.of(found)
    wanted = b"PTL\x01" + struct.pack(">IQq", 3, 41, 1_700_000_000_123) + sha256(body).digest()
    assert (entry.encode(), LogEntry.decode(wanted)) == (wanted, entry)
    # Golden: these bytes never change.
    assert entry.encode().hex() == "50544c010000000300000000000000290000018bcfe5687b" + sha256(body).hexdigest()
    with pytest.raises(RecordsFault, match="this release reads version 1"):
        LogEntry.decode(b"PTL\x02" + wanted[4:])


def test_no_two_records_have_the_same_encoding() -> None:
    several = [
        Record(0, 0, 0, b"a", b"b"),
        Record(0, 0, 0, b"ab", b""),
        Record(0, 0, 0, b"", b"ab"),
        Record(0, 0, 0, None, b"ab"),
        Record(0, 0, 0, b"a", b"b", (("x", b""),)),
        Record(0, 0, 0, b"a", b"b", (("", b"x"),)),
        Record(0, 0, 0, b"a", b"b", (("x", None),)),
        Record(0, 0, 0, b"a", b"b", (("x", b""), ("x", b""))),
    ]
    assert len({LogEntry.of(each).encode() for each in several}) == len(several)


def test_the_paths_and_widths_of_tiles_are_those_of_the_document() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 5, 7).path == "tile/entries/005.p/7"
    # "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one full
    # level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1"
    found = [tile for tile in tiles_of(70_000) if tile.level != ENTRIES]
    assert [tile for tile in found if tile.level == 0] == [*(Tile(0, n) for n in range(273)), Tile(0, 273, 112)]
    assert [tile for tile in found if tile.level > 0] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    # "a tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1"
    assert [tile for tile in tiles_of(256) if tile.level != ENTRIES] == [Tile(0, 0), Tile(1, 0, 1)]


def checkpoint(size: int, signer: NoteSigner, partition: int = 0) -> str:
    origin = f"{signer.name}/{partition}"
    return Checkpoint(origin, size, sha256(b"").digest()).signed(signer.named(origin))


def test_a_key_signs_within_its_span() -> None:
    second = NoteSigner(SIGNER.name, b"2" * 32)
    ring = RING.rotated(second.verifier, {0: 10, 1: 20})
    assert ring == KeyRing.parse(ring.text(), "it")
    assert ring.open(checkpoint(10, SIGNER), 0).size == 10
    assert ring.open(checkpoint(20, SIGNER, 1), 1).size == 20
    assert ring.open(checkpoint(10, second), 0).size == 10
    assert ring.open(checkpoint(99, second), 0).size == 99
    with pytest.raises(RetiredKey, match=r"size 11 is outside the span of its key: .* signs from 0 to 10"):
        ring.open(checkpoint(11, SIGNER), 0)
    with pytest.raises(RetiredKey, match="signs from 10 on"):
        ring.open(checkpoint(9, second), 0)
    with pytest.raises(SignatureWrong, match="it is of another log"):
        ring.open(checkpoint(5, SIGNER, 1), 0)
    with pytest.raises(UnknownKey):
        ring.open(checkpoint(5, NoteSigner(SIGNER.name, b"3" * 32)), 0)


def test_a_ring_of_verifier_keys() -> None:
    second = NoteSigner(SIGNER.name, b"2" * 32)
    ring = KeyRing.parse(f"# ours\n{SIGNER.verifier.vkey}\n{second.verifier.vkey}\n", "it")
    assert ring.open(checkpoint(7, SIGNER), 0) == ring.open(checkpoint(7, second), 0)
    endless = '{"format": "pulp-tasks/keys/v1", "keys": [{"vkey": "' + VKEY + '", "after": {"0": Infinity}}]}'
    twice = f"{SIGNER.verifier.vkey}\n" * 2
    for wrong in ("", "{}", "nonsense", f"{SIGNER.verifier.vkey}\n{VKEY}\n", twice, endless, '{"a":' * 100_000):
        with pytest.raises(KeyFault, match="it does not hold verifier keys"):
            KeyRing.parse(wrong, "it")


def test_a_key_that_was_replaced_before_any_checkpoint_signs_no_record() -> None:
    second = NoteSigner(SIGNER.name, b"2" * 32)
    ring = KeyRing.parse(RING.rotated(second.verifier, {}).text(), "it")
    with pytest.raises(RetiredKey, match="signs from 0 to 0"):
        ring.open(checkpoint(5, SIGNER), 0)
    assert ring.open(checkpoint(5, second), 0).size == 5


SECRET_PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "secret",
    [
        f"{SIGNER.encode()}\n",
        f"# the key\n{SIGNER.verifier.vkey}\n{SIGNER.encode()}",
        f'{{"format": "pulp-tasks/keys/v1", "keys": [{{"vkey": "{SIGNER.encode()}", "after": {{}}}}]}}',
        SECRET_PEM,
    ],
)
def test_a_signing_key_in_place_of_verifier_keys_is_not_repeated(secret: str, tmp_path: Path) -> None:
    """The message goes to terminals and logs."""
    file = tmp_path / "signing-key"
    file.write_text(secret)
    with pytest.raises(KeyFault, match=r"signing-key holds a signing key, which is secret: .*KEY\.keys") as refused:
        KeyRing.read(file)
    assert SIGNER.encode()[-20:] not in str(refused.value)
    with pytest.raises(KeyFault, match="secret") as refused:
        Verifier.parse(SIGNER.encode())
    assert SIGNER.encode()[-20:] not in str(refused.value)


def test_verifier_keys_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyFault, match="does not hold verifier keys: it is not text"):
        KeyRing.read(tmp_path / "keys")


def test_records_of_the_builder_differ() -> None:
    assert LogEntry.of(record(1)) != LogEntry.of(record(2))
