"""Private files are opened safely: no links, no other owners, no FIFOs, our own modes; and never half of one."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pulp_deploy.credentials import is_ours, kept_password, write_client_file
from pulp_deploy.errors import DataFolderUnusable, NotOurs
from pulp_deploy.files import (
    RECORD_BYTES,
    make_folder,
    open_file,
    open_folder,
    read_json,
    remove_leftovers,
    resolved,
    write_private,
    write_record,
)
from pulp_deploy.folder import DataFolder
from pulp_deploy.local.processes import open_log

STRANGER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture(params=[0, 0o027, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    make_folder(inner)
    write_private(inner / "file", "x")
    write_record(inner / "record", {})
    open_log(inner / "log").close()
    write_client_file(tmp_path / ".pulp" / "admin.toml", "http://127.0.0.1:1", "p")
    assert {mode(path) for path in (tmp_path / "a", inner, tmp_path / ".pulp")} == {0o700}
    assert {mode(path) for path in (*inner.iterdir(), tmp_path / ".pulp" / "admin.toml")} == {0o600}


def link(path: Path) -> None:
    target = path.with_name("target")
    target.touch()
    path.symlink_to(target)


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def second_name(path: Path) -> None:
    target = path.with_name("target")
    target.touch()
    path.hardlink_to(target)


@pytest.mark.parametrize("plant", [link, dangling_link, second_name, os.mkfifo, os.mkdir])
def test_nothing_but_a_file_with_one_name_is_opened(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    plant(tmp_path / "file")
    before = sorted(os.listdir(tmp_path))
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_APPEND | os.O_CREAT):
        with pytest.raises((NotOurs, IsADirectoryError)):
            open_file(tmp_path / "file", flags)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("plant", [link, dangling_link, second_name, os.mkfifo])
def test_what_is_written_replaces_the_name_and_not_what_it_leads_to(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    plant(tmp_path / "file")
    write_private(tmp_path / "file", "secret")
    assert (tmp_path / "file").read_text() == "secret"
    assert not (tmp_path / "file").is_symlink()
    assert [path.read_text() for path in tmp_path.glob("target")] in ([], [""])
    assert not (tmp_path / "nothing").exists()


def test_no_folder_on_the_way_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    for path in (tmp_path / "link", tmp_path / "link" / "inner"):
        with pytest.raises(NotOurs, match="symbolic link"), open_folder(path):
            pass
        with pytest.raises(NotOurs, match="symbolic link"):
            make_folder(path)
    with pytest.raises(NotOurs, match="symbolic link"):
        write_private(tmp_path / "link" / "file", "x")
    assert resolved(tmp_path / "link" / "inner") == tmp_path / "real" / "inner"


@pytest.mark.parametrize("name", ["logs", "lock", "owner.json", "kafka", "storage"])
def test_a_link_in_a_data_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    outside.mkdir(mode=0o755)
    with DataFolder(data):
        pass
    for path in data.glob(name):
        path.rmdir() if path.is_dir() else path.unlink()
    (data / name).symlink_to(outside if name in ("logs", "kafka", "storage") else outside / "file")
    folder = DataFolder(data)
    if name in ("kafka", "storage"):
        with pytest.raises(NotOurs, match="symbolic link"):
            make_folder(data / name)
    elif name == "owner.json":  # it is written again, in place of the link
        with folder:
            assert not (data / name).is_symlink()
    else:
        with pytest.raises(NotOurs):
            folder.hold()
    assert list(outside.iterdir()) == []
    assert mode(outside) == 0o755


def test_a_data_folder_below_a_link_of_ours_is_where_that_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    with DataFolder(tmp_path / "link" / "data") as folder:
        assert folder.path == tmp_path / "disk" / "data"
    assert DataFolder(Path(f"{tmp_path}/link/../disk/data/")).path == tmp_path / "disk" / "data"


def test_settings_behind_a_link_are_not_believed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"PULP_KAFKA": "attacker:9092"}')
    with DataFolder(tmp_path / "data") as folder:
        assert folder.services() is None
        (folder.path / "services.json").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(NotOurs, match="not a regular file"):
            folder.services()


@needs_root
def test_a_link_that_somebody_else_has_made_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    os.chown(tmp_path / "link", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(NotOurs, match=rf"link is a symbolic link that the user with number {STRANGER} made"):
        DataFolder(tmp_path / "link" / "data")


@needs_root
def test_a_folder_of_another_user_is_refused_with_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with DataFolder(data):
        pass
    os.chown(data, STRANGER, STRANGER)
    before = {path: path.stat() for path in data.iterdir()}
    for refused in (DataFolder(data).hold, DataFolder(data).check, lambda: DataFolder(data).processes()):
        with pytest.raises(NotOurs, match=rf"{data} belongs to the user with number {STRANGER}, and you are root"):
            refused()
    assert {path: path.stat() for path in data.iterdir()} == before


def test_a_folder_that_others_may_write_to_is_refused_unless_it_is_empty(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    with DataFolder(data):
        assert mode(data) & 0o022 == 0
    data.chmod(0o777)
    with pytest.raises(NotOurs, match=rf"others may write to {data}.* chmod go-w '{data}'"):
        DataFolder(data).hold()


@needs_root
@pytest.mark.parametrize("name", ["stack.json", "admin-password"])
def test_a_file_of_another_user_is_not_believed(tmp_path: Path, name: str) -> None:
    write_private(tmp_path / name, "{}")
    os.chown(tmp_path / name, STRANGER, STRANGER)
    with pytest.raises(NotOurs, match=name):
        read_json(tmp_path / name)
    with pytest.raises(NotOurs, match=name):
        kept_password(tmp_path) if name == "admin-password" else DataFolder(tmp_path).made_before()


@pytest.mark.parametrize("plant", [link, second_name, os.mkfifo])
def test_a_client_file_that_is_no_file_of_ours_is_left_alone(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    plant(tmp_path / "admin.toml")
    assert not is_ours(tmp_path / "admin.toml")


@needs_root
def test_a_client_file_in_the_folder_of_another_user_is_left_alone(tmp_path: Path) -> None:
    assert is_ours(tmp_path / "admin.toml")
    os.chown(tmp_path, STRANGER, STRANGER)
    assert not is_ours(tmp_path / "admin.toml")


def test_the_folder_of_the_client_file_is_closed_to_writers(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    assert is_ours(tmp_path / "admin.toml")
    assert mode(tmp_path) == 0o755


class FullDisk:
    """No file can be created, and none can grow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = os.open

        def open_(path: str, flags: int, *more: int, **named: int) -> int:
            if flags & os.O_EXCL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return opened(path, flags, *more, **named)

        monkeypatch.setattr("os.open", open_)


def test_a_record_has_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path / "processes.json", {"api": [1, 2.0]})
    FullDisk(monkeypatch)
    write_record(tmp_path / "processes.json", {f"worker-{number}": [number, 2.0] for number in range(99)})
    assert read_json(tmp_path / "processes.json") == {f"worker-{number}": [number, 2.0] for number in range(99)}
    assert (tmp_path / "processes.json").stat().st_size == RECORD_BYTES
    with pytest.raises(OSError, match="No space left"):
        write_record(tmp_path / "new.json", {})
    assert os.listdir(tmp_path) == ["processes.json"]


def test_what_an_interrupted_start_left_behind_is_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with DataFolder(data):
        make_folder(data / "kafka" / "1" / "data.0123abcd")
        make_folder(data / "postgres" / "data.0123abcd")
        make_folder(data / "postgres" / "server")
    (data / "kafka" / "1" / "data.0123abcd" / "log").touch()
    (data / "postgres" / "data.0123abcd" / "away").symlink_to(tmp_path)
    left = [".owner.json.0123abcd", "postgres/password.0123abcd", "kafka/1/format.properties", "logs/api.log.new"]
    for name in left:
        (data / name).touch()
    (data / "kafka" / "1" / "server.properties").touch()
    with DataFolder(data):
        assert not [name for name in left if (data / name).exists()]
        assert [path.name for path in (data / "kafka" / "1").iterdir()] == ["server.properties"]
        assert [path.name for path in (data / "postgres").iterdir()] == ["server"]
    assert tmp_path.exists()
    remove_leftovers(tmp_path / "nothing")


def test_a_folder_that_was_removed_is_given_up_all_the_same(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.hold()
    (tmp_path / "data").rename(tmp_path / "away")
    folder.release()
    with pytest.raises(OSError, match="data"):
        folder.write_processes({})


@pytest.mark.parametrize("path", ["x" * 256, "x" * 5000, "/".join(["x" * 200] * 5)])
def test_a_path_that_is_too_long_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataFolderUnusable, match=r"cannot be used: (File name too long|its path is longer than)"):
        DataFolder(tmp_path / path).hold()
    assert list(tmp_path.iterdir()) == []
