"""The data folder of a local stack: it has one holder, and nothing in it is mixed up."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pulp_deploy.errors import DataFolderCorrupt, DataFolderInUse, DataFolderUnusable, DeployError
from pulp_deploy.folder import DataFolder
from pulp_deploy.local import postgres
from pulp_deploy.local.accounts import Account
from pulp_deploy.local.kafka import Kafka, Node, escaped
from pulp_deploy.local.postgres import Postgres
from pulp_deploy.local.processes import Identity
from pulp_deploy.temporary import make_temporary


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    with DataFolder(tmp_path), pytest.raises(DataFolderInUse, match=f"process {os.getpid()} since 2"):
        DataFolder(tmp_path).hold()


def test_a_released_folder_may_be_held_again(tmp_path: Path) -> None:
    with DataFolder(tmp_path):
        pass
    with DataFolder(tmp_path) as folder:
        assert folder.owner() is not None
    assert DataFolder(tmp_path).owner() is None


def test_what_it_was_made_with_is_kept(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        first = folder.made(brokers=3, partitions=5)
        assert folder.made(brokers=None, partitions=8) == first
        assert (first.brokers, first.partitions) == (3, 5)
        with pytest.raises(DeployError, match=r"made with 3 broker"):
            folder.made(brokers=1, partitions=8)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "unknown": 2}', '{"version": 99}'])
def test_a_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    with DataFolder(tmp_path) as folder, pytest.raises(DataFolderCorrupt, match=r"stack\.json"):
        folder.made(brokers=None, partitions=8)


def test_data_without_its_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    with DataFolder(tmp_path) as folder, pytest.raises(DataFolderCorrupt, match=r"stack\.json is missing"):
        folder.made(brokers=None, partitions=8)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.write_services({"PULP_POSTGRES": "secret"})
        assert stat.S_IMODE((tmp_path / "services.json").stat().st_mode) == 0o600


def test_a_process_of_an_earlier_run_is_ended_and_a_stranger_with_its_pid_is_not(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as left, subprocess.Popen(sleeper) as stranger:
        identity = Identity.of(left.pid)
        reused = Identity.of(stranger.pid)._replace(started=Identity.of(stranger.pid).started - 100)
        DataFolder(tmp_path).write_processes({"api": identity, "worker": reused})
        with DataFolder(tmp_path):
            assert identity.process() is None
            assert psutil.pid_exists(stranger.pid)
            assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("umask", [0, 0o027, 0o077])
def test_folders_have_our_modes_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with DataFolder(tmp_path / "a" / "b") as folder:
            pass
    finally:
        os.umask(before)
    passable = 0o711 if os.geteuid() == 0 else 0o700  # PostgreSQL's account must pass
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", folder.path, folder.logs)]
    assert modes == [passable, passable, 0o700]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(DataFolderUnusable, match=r"it holds letter\.txt and is not a data folder"):
        DataFolder(tmp_path).hold()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["a,b", "a\\b", "a\nb", "\udcff"])
def test_a_name_that_kafka_cannot_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataFolderUnusable, match="cannot be used"):
        DataFolder(tmp_path / name).hold()


def test_a_closed_parent_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Account(54_321, 54_321, "postgres")
    monkeypatch.setattr(postgres, "server_account", lambda: stranger)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o711)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(DataFolderUnusable, match=rf"postgres, may not enter {closed}: let it \(chmod o\+x {closed}\)"):
        Postgres(folder=closed / "data" / "postgres", port=1).check_folder()
    closed.chmod(0o711)
    Postgres(folder=closed / "data" / "postgres", port=1).check_folder()


def test_the_programs_of_postgres_are_for_everybody(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "initdb"
    program.parent.mkdir(mode=0o700)
    program.touch(mode=0o700)
    (tmp_path / "share").touch(mode=0o600)
    postgres._open_to_all(tmp_path)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (program.parent, program, tmp_path / "share")] == [
        *(0o755, 0o755, 0o644)
    ]


@pytest.mark.parametrize(
    ("value", "text"), [("/a b/ä", r"/a b/\u00e4"), ("żół", r"\u017c\u00f3\u0142"), ("\U0001f4e6", r"\ud83d\udce6")]
)
def test_a_path_reads_the_same_in_a_file_of_java(value: str, text: str) -> None:
    assert escaped(value) == text


def kafka_at(folder: Path) -> tuple[Kafka, Node]:
    node = Node(number=1, port=1, controller_port=2, folder=folder)
    return Kafka(cluster_id="mine", nodes=(node,), class_path=""), node


def test_kafka_data_without_its_meta_properties_is_refused(tmp_path: Path) -> None:
    kafka, node = kafka_at(tmp_path)
    node.data.mkdir()
    with pytest.raises(DataFolderCorrupt, match=r"meta\.properties is missing"):
        kafka.prepare(node)


def test_kafka_data_of_another_cluster_is_refused(tmp_path: Path) -> None:
    kafka, node = kafka_at(tmp_path)
    node.data.mkdir()
    (node.data / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=1\n")
    with pytest.raises(DataFolderCorrupt, match=r"cluster other, this data folder to mine"):
        kafka.prepare(node)


@pytest.mark.parametrize(
    ("version", "reason"), [(None, r"PG_VERSION is missing"), ("17", r"made by PostgreSQL 17, this is 18")]
)
def test_postgres_data_that_this_server_cannot_take_is_refused(
    tmp_path: Path, version: str | None, reason: str
) -> None:
    (tmp_path / "data").mkdir()
    if version is not None:
        (tmp_path / "data" / "PG_VERSION").write_text(version + "\n")
    with pytest.raises(DataFolderCorrupt, match=reason):
        Postgres(folder=tmp_path, port=1).prepare()


def test_the_password_is_in_no_conninfo(tmp_path: Path) -> None:
    (tmp_path / "pgpass").write_text("127.0.0.1:*:*:pulp:secret\n")
    assert "secret" not in Postgres(folder=tmp_path, port=1).conninfo()


def test_of_many_that_start_at_once_one_holds_the_folder(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from pulp_deploy.errors import DataFolderInUse
from pulp_deploy.folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
sys.stdin.readline()
try:
    folder.hold()
except DataFolderInUse:
    print("in use", flush=True)
else:
    print("held", flush=True)
sys.stdin.readline()
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a" / "b")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        assert process.stdout is not None
        said.append(process.stdout.readline().strip())
    for process in started:
        process.communicate("end\n")
    assert sorted(said) == ["held", *["in use"] * 5]


def test_a_clock_that_is_set_makes_no_process_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Identity.of(os.getpid())
    assert me.boot, "NOT TESTED: a clock that is set; this system has no id of its boot"
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert me.process() is not None
    assert Identity.of(os.getpid()) == me


def test_a_process_of_before_the_last_boot_is_another_one() -> None:
    me = Identity.of(os.getpid())
    assert me._replace(boot="another").process() is None
    assert me._replace(started=me.started + 0.02).process() is None


def test_a_record_of_an_earlier_release_still_names_its_process(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        started = psutil.Process().create_time()
        (tmp_path / "processes.json").write_text(json.dumps({"api": [os.getpid(), started]}))
        (tmp_path / "processes.json").chmod(0o600)
        identity = folder.processes()["api"]
        assert identity is not None
        assert identity.process() is not None


def test_a_temporary_folder_of_a_stack_that_was_killed_is_removed_with_what_it_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, held, other = make_temporary(), make_temporary(), tmp_path / "pulp-tasks-kept"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        abandoned = DataFolder(killed)
        abandoned.hold()
        abandoned.mark_temporary()
        identity = Identity.of(left.pid)
        abandoned.write_processes({"api": identity})
        assert abandoned._lock is not None
        abandoned._lock.close()  # as the system does for a process that was killed
        with DataFolder(held) as running, DataFolder(other):
            running.mark_temporary()
            fresh = make_temporary()
            assert sorted(tmp_path.iterdir()) == sorted([held, other, fresh])
        assert identity.process() is None


def test_a_folder_that_is_removed_or_replaced_is_noticed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.hold()
    assert folder.is_there()
    (tmp_path / "data").rename(tmp_path / "away")
    assert not folder.is_there()
    with DataFolder(tmp_path / "data"):
        assert not folder.is_there()
    folder.release()
