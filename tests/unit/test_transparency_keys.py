"""Files of keys, the lock of the folder, and where checkpoints are to go."""

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from pulp_deploy.commands.evidence.progress import _outlets, _standing
from pulp_deploy.main import pulp_tasks
from pulp_events.settings import SettingsError
from pulp_transparency import key_files
from pulp_transparency.errors import FolderInUse, KeyFault
from pulp_transparency.follower import STATUS, FolderLock
from pulp_transparency.key_files import is_cut, make_key, rotate_key
from pulp_transparency.keys import KeyRing, read_signer
from pulp_transparency.note import NoteSigner
from pulp_transparency.outlets import CheckpointOutbox, CheckpointOutlet, WitnessRefused, outside_folder, witness
from pulp_transparency.published import Published
from pulp_transparency.settings import Settings, ring_beside

NOTE = Published(3, "log/3", 42, "the note\n", 50)


def test_a_key_is_made_once_and_replaced(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "signing-key"
    ring = ring_beside(key)
    first = make_key(key, ring, "pulp.example/x")
    assert (key.stat().st_mode & 0o777, read_signer(key)) == (0o600, first)
    assert first.encode() not in ring.read_text()
    with pytest.raises(KeyFault, match="is there already, and stays: --rotate replaces a key"):
        make_key(key, ring, "pulp.example/x")
    second = rotate_key(key, ring, {0: 7, 1: 0})
    assert (key.stat().st_mode & 0o777, read_signer(key)) == (0o600, second)
    found = KeyRing.read(ring).keys
    assert [each.verifier for each in found] == [first.verifier, second.verifier]
    assert [dict(each.after) for each in found] == [{}, {0: 7, 1: 0}]


def test_a_rotation_that_was_cut_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, ring = tmp_path / "key", tmp_path / "key.keys"
    first = make_key(key, ring, "pulp.example/x")

    def fail(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(key_files, "_write_private", fail)
        with pytest.raises(OSError, match="killed"):
            rotate_key(key, ring, {0: 7})
    assert read_signer(key) == first  # the process says that the two files do not match, and how to repair that
    last = rotate_key(key, ring, {0: 7})
    found = KeyRing.read(ring)
    assert found.keys[-1].verifier == read_signer(key).verifier == last.verifier
    assert len(found.keys) == 3


def test_a_first_key_that_was_cut_is_finished(tmp_path: Path) -> None:
    """When keygen was killed between its two files, it left a key without verifier keys, and refused that key from then
    on."""
    key, ring = tmp_path / "key", tmp_path / "key.keys"
    made = make_key(key, ring, "pulp.example/x")
    ring.unlink()
    with pytest.raises(KeyFault, match="is there already, and stays"):
        make_key(key, ring, "pulp.example/other")
    assert make_key(key, ring, "pulp.example/x") == made
    assert [each.verifier for each in KeyRing.read(ring).keys] == [made.verifier]


def test_verifier_keys_of_a_key_that_has_signed_are_not_made_again(tmp_path: Path) -> None:
    """The file may have held earlier keys; without them, what those signed cannot be checked any more."""
    key, ring, log = tmp_path / "key", tmp_path / "key.keys", tmp_path / "log"
    make_key(key, ring, "pulp.example/x")
    rotate_key(key, ring, {0: 7})
    (log / "0").mkdir(parents=True)
    (log / "0" / "checkpoint").write_text("signed")
    ring.unlink()
    assert not is_cut(key, ring, log)
    with pytest.raises(KeyFault, match=r"key\.keys is missing, and the key in .*/key has signed the logs"):
        make_key(key, ring, "pulp.example/x", log)
    command = ["audit", "keygen", "--name", "pulp.example/x", "--key", str(key), "--folder", str(log)]
    result = CliRunner().invoke(pulp_tasks, command, env={"PULP_KAFKA": "kafka.invalid"})
    assert isinstance(result.exception, KeyFault)
    assert not ring.exists()


def test_a_key_is_not_replaced_from_a_folder_without_a_log(tmp_path: Path) -> None:
    """The spans would be those of an empty log, and the process would refuse its own checkpoints."""
    key, ring = tmp_path / "key", tmp_path / "key.keys"
    first = make_key(key, ring, "pulp.example/x")
    wrong = ["audit", "keygen", "--rotate", "--key", str(key), "--folder", str(tmp_path / "elsewhere")]
    result = CliRunner().invoke(pulp_tasks, wrong, env={"PULP_KAFKA": "kafka.invalid"})
    assert isinstance(result.exception, KeyFault)
    assert "has no checkpoint" in str(result.exception)
    assert (read_signer(key), len(KeyRing.read(ring).keys)) == (first, 1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_plain_list_of_keys_is_shown_without_spans(tmp_path: Path) -> None:
    """Each of its keys may sign everything; the older ones were once shown as if they might sign nothing."""
    keys = [NoteSigner.generate("pulp.example/x").verifier for _ in range(2)]
    (tmp_path / "trusted.keys").write_text("".join(f"{each.vkey}\n" for each in keys))
    command = ["audit", "keys", "--partition", "3", "--keys", str(tmp_path / "trusted.keys"), "--output", "json"]
    result = CliRunner().invoke(pulp_tasks, [*command, "--folder", str(tmp_path)], env={"PULP_KAFKA": "kafka.invalid"})
    assert [(each["signs_from"], each["signs_to"]) for each in json.loads(result.output)] == [(0, None), (0, None)]


def test_one_process_writes_a_folder(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "log"), pytest.raises(FolderInUse, match=r"another process writes the log in .*log"):
        FolderLock(tmp_path / "log")
    with FolderLock(tmp_path / "log"):
        pass


def test_witnesses_are_commands(tmp_path: Path) -> None:
    given = {"PULP_KAFKA": "k:9092", "PULP_TRANSPARENCY_WITNESSES": " mail -s 'a; b' me ; ; /bin/x\n--y"}
    assert Settings.read(given).witnesses == (("mail", "-s", "a; b", "me"), ("/bin/x", "--y"))
    with pytest.raises(SettingsError, match=r"PULP_TRANSPARENCY_WITNESSES: .*with quotes in pairs") as refused:
        Settings.read({**given, "PULP_TRANSPARENCY_WITNESSES": "curl -H 'Authorization: Bearer s3cret"})
    assert "s3cret" not in str(refused.value)  # it goes to logs
    assert Settings.read({"PULP_KAFKA": "k:9092", "PULP_TRANSPARENCY_KEY": "/x/k"}).needed_keys == Path("/x/k.keys")
    with pytest.raises(
        SettingsError, match="PULP_TRANSPARENCY_FOLDER: it is not set, and names the folder of the tiles"
    ):
        _ = Settings.read({"PULP_KAFKA": "k:9092"}).needed_folder


def test_a_witness_gets_the_note_and_its_failure_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    witness(1, ["tee", str(taken)], 30).send(NOTE)
    assert taken.read_text() == NOTE.note
    with pytest.raises(WitnessRefused, match=r"it exited with 3: no\. 2"):
        witness(1, ["sh", "-c", "echo no. 1 >&2; echo no. 2 >&2; exit 3"], 30).send(NOTE)
    with pytest.raises(WitnessRefused, match=r"it took longer than 0\.1 s"):
        witness(1, ["sleep", "60"], 0.1).send(NOTE)
    with pytest.raises(OSError, match="No such file"):
        witness(1, [str(tmp_path / "nothing")], 30).send(NOTE)


def test_a_checkpoint_outside_is_never_overwritten(tmp_path: Path) -> None:
    outside = outside_folder(tmp_path)
    outside.send(NOTE)
    outside.send(NOTE._replace(note="another one\n"))
    assert (tmp_path / "3" / f"{42:020}").read_text() == NOTE.note


def test_a_status_says_what_waits_and_may_be_of_another_release(tmp_path: Path) -> None:
    outlet = {"waiting": 2, "fault": None}
    told = {"time": 5.0, "sizes": {}, "lag": {}, "outlets": {"topic x": outlet, "folder y": outlet | {"waiting": 0}}}
    (tmp_path / STATUS).write_text(json.dumps(told))
    outlets, told_s = _outlets(tmp_path)
    assert told_s == 5.0
    assert [(each["name"], _standing(each)) for each in outlets] == [
        ("topic x", "a checkpoint of 2 partitions waits"),
        ("folder y", "up to date"),
    ]
    assert _standing(outlet | {"fault": "no route to host"}) == "no route to host"
    for other in ("[]", "{", '{"outlets": {"x": 5}}', '{"outlets": []}', '{"time": 5}'):
        (tmp_path / STATUS).write_text(other)
        assert _outlets(tmp_path) == ([], None)
    assert _outlets(None) == ([], None)


def test_an_outbox_sends_the_newest_and_repeats_what_failed() -> None:
    sent: list[Published] = []
    is_open, was_refused, is_sent = threading.Event(), threading.Event(), threading.Event()

    def send(published: Published) -> None:
        if not is_open.is_set():
            was_refused.set()
            raise WitnessRefused("closed")
        sent.append(published)
        is_sent.set()

    outbox = CheckpointOutbox(CheckpointOutlet("w", send))
    outbox.offer(NOTE)
    assert was_refused.wait(60)
    newer = NOTE._replace(size=43)
    outbox.offer(newer)
    assert outbox.waiting == 1
    is_open.set()
    assert is_sent.wait(60)
    outbox.close(60)
    assert (sent, outbox.fault, outbox.waiting) == ([newer], None, 0)
