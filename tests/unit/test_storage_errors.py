"""Messages for errors of the storage: the place, the free space, and what to do."""

import asyncio
import errno
import os
import resource
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulp_operations.storage import check_room, size_in_words, storage_error, storage_errors
from pulp_worker import OperationError
from pulp_worker.isolation import IsolationSettings, isolated

from tests.support.isolated_functions import fill_disk

MIB = 1 << 20


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB."""
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-disk-") as name:
        mounting = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", name]
        done = subprocess.run(mounting, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TESTED: a full storage. It needs root and mount: {done.stderr.strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def test_a_full_disk_is_told_with_place_and_amounts(small_disk: Path) -> None:
    path = small_disk / "partial" / "zoo" / "ant.part"
    path.parent.mkdir(parents=True)
    with pytest.raises(OperationError) as raised, storage_errors(small_disk, path, 8 * MIB), path.open("wb") as file:
        file.write(bytes(8 * MIB))
    told = raised.value.description
    assert raised.value.code == "storage-full"
    assert "partial/zoo/ant.part in the folder PULP_STORAGE cannot be written (No space left on device)" in told
    assert "0 bytes of 4.0 MiB are free, 8.0 MiB are needed. Make room" in told


async def test_a_disk_that_fills_up_in_an_isolated_process_is_told(small_disk: Path) -> None:
    with pytest.raises(OperationError, match="the storage is full") as raised, storage_errors(small_disk, small_disk):
        await isolated(
            fill_disk, str(small_disk / "x"), returns=None, limits=IsolationSettings(), what="writing the metadata"
        )
    assert raised.value.code == "storage-full"


def test_a_file_system_without_inodes_is_told() -> None:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-disk-") as name:
        mounting = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=2", "tmpfs", name]
        if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
            pytest.skip("NOT TESTED: a storage without inodes. It needs root and mount")
        try:
            (Path(name) / "last").touch()
            with pytest.raises(OperationError, match="no inodes left"), storage_errors(Path(name)):
                (Path(name) / "next").touch()
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def test_a_file_that_a_limit_of_the_process_forbids(tmp_path: Path) -> None:
    path = tmp_path / "scratch" / "file"
    path.parent.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OperationError, match=r"ulimit -f") as raised, storage_errors(tmp_path, path):
            path.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.code == "storage-failed"
    assert "scratch/file in the folder PULP_STORAGE: File too large" in raised.value.description


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EDQUOT, "Make room"),
        (errno.EROFS, "mount it for writing"),
        (errno.EACCES, "to the user of the workers"),
        (errno.EIO, "run repair"),
        (errno.EISDIR, "let only the workers write there"),
        (errno.ENOENT, "let only the workers write there"),
        (errno.ENAMETOOLONG, "255 bytes are needed"),
        (errno.ESTALE, "mount it again"),
        (errno.EBUSY, "submit the task again"),
    ],
)
def test_every_refusal_has_a_cure(tmp_path: Path, number: int, words: str) -> None:
    told = storage_error(OSError(number, "", str(tmp_path / "content" / "sha256")), tmp_path)
    assert told is not None
    assert "content/sha256 in the folder PULP_STORAGE" in told.description
    assert words in told.description
    assert str(tmp_path) not in told.description


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(errno.ETIMEDOUT, "timed out"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ssl.SSLError(1, "certificate verify failed"),
        FileNotFoundError(errno.ENOENT, "", "/usr/bin/gpg"),
        OSError("no such name"),
    ],
)
def test_what_is_no_error_of_the_storage_passes(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)) as raised, storage_errors(tmp_path):
        raise error
    assert raised.value is error


def test_a_name_that_is_not_ordinary_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "scratch" / "Packages" / "<b>click here</b>"
    told = storage_error(OSError(errno.ENAMETOOLONG, "", str(path)), tmp_path)
    assert told is not None
    assert "scratch/Packages in the folder PULP_STORAGE" in told.description
    assert "click" not in told.description


def test_too_little_room_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    check_room(tmp_path, 1, 0, "the packages of zoo")
    check_room(tmp_path, 0, 1 << 60, "the packages of zoo")  # a sync that fetches nothing needs no room
    with pytest.raises(OperationError, match=r"the packages of zoo need .+ are free, of which .+ stay free") as raised:
        check_room(tmp_path, found.f_blocks * found.f_frsize, 1 << 60, "the packages of zoo")
    assert raised.value.code == "storage-full"
    assert "PULP_YUM_RESERVE_BYTES" in raised.value.description


def test_sizes_in_words() -> None:
    assert [size_in_words(size) for size in (0, 1023, 1024, 1536 * MIB, 1 << 60)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 GiB",
        "1024.0 PiB",
    ]


def test_a_timeout_of_asyncio_is_none_of_the_storage(tmp_path: Path) -> None:
    async def wait() -> None:
        with storage_errors(tmp_path):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
