"""Exit codes of pulp-tasks are those of sysexits.h."""

import errno
import os
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import click
import pytest
from pulp_console import edge
from pulp_deploy import main
from pulp_deploy.errors import DataFolderInUse, DeployError, PortInUse, ProcessFailed
from pulp_deploy.exits import exit_code
from pulp_events.errors import LogRefused, OffsetOutOfRange, PulpError, TopicMismatch
from pulp_events.settings import SettingsError
from pulp_processor.instance import InstanceInUse
from pulp_processor.rebuilding.errors import RebuildCancelled, RebuildInterrupted, RebuildInUse, RebuildRefused
from pulp_runtime.startup import DependencyAway
from pulp_worker.loading import OperationsNotLoaded
from pulp_worker.registration import NameHolder, NameInUse


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DependencyAway("x"), os.EX_UNAVAILABLE),
        (OperationsNotLoaded("x"), os.EX_CONFIG),
        (LogRefused("x"), os.EX_NOPERM),
        (SettingsError("x"), os.EX_CONFIG),
        (TopicMismatch("x"), os.EX_CONFIG),
        (OffsetOutOfRange("x"), os.EX_CONFIG),
        (DataFolderInUse("x"), os.EX_CANTCREAT),
        (PortInUse("x"), os.EX_CANTCREAT),
        (InstanceInUse("x", "y"), os.EX_CANTCREAT),
        (NameInUse("x", NameHolder("host", 1, UUID(int=1), datetime(2026, 11, 24, tzinfo=UTC), 6)), os.EX_CANTCREAT),
        (RebuildInUse("x"), os.EX_CANTCREAT),
        (RebuildRefused("x"), os.EX_USAGE),
        (RebuildInterrupted("x"), os.EX_UNAVAILABLE),
        (RebuildCancelled(2), os.EX_TEMPFAIL),
        (DeployError("x"), os.EX_CONFIG),
        (PulpError("x"), os.EX_SOFTWARE),
        (ProcessFailed("x", 78), os.EX_CONFIG),
        (ProcessFailed("x", -9), os.EX_SOFTWARE),
    ],
)
def test_each_error_has_its_code(error: PulpError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device (/data/x): make room on that disk"),
        (errno.EDQUOT, "make room, or have the quota raised"),
        (errno.EROFS, "Read-only file system (/data/x): name a folder elsewhere with --data"),
        (errno.EMFILE, "raise the limit of open files"),
        (errno.ENFILE, "too many files open"),
        (errno.ENOMEM, "free some memory"),
        (errno.EIO, "the disk may be damaged"),
    ],
)
def test_what_the_system_has_not_got_is_said_with_what_helps(
    capsys: pytest.CaptureFixture[str], number: int, words: str
) -> None:
    assert main._explain({}, OSError(number, os.strerror(number), "/data/x")) == os.EX_IOERR
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: make room on that disk", 74),
        (OSError(errno.EFBIG, "File too large"), "File too large: the file system or a limit", 74),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/tiles/0"), "/tiles/0 cannot be used", 78),
        (ZeroDivisionError("a bug"), "unexpected error", 70),
    ],
)
def test_a_service_tells_in_its_log_how_it_ended(
    caplog: pytest.LogCaptureFixture, error: Exception, words: str, code: int
) -> None:
    @click.command
    def processor() -> None:
        raise error

    run: main.Run = {"command": "processor"}
    done = edge.run(
        processor, [], program="test", explain=partial(main._explain, run), full=partial(main._explain_full, run)
    )
    [record] = caplog.records
    assert (done, record.levelname, vars(record)["exit_code"]) == (code, "CRITICAL", code)
    assert words in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR])
def test_a_name_that_is_wrong_is_said_without_a_traceback(capsys: pytest.CaptureFixture[str], number: int) -> None:
    """For example, for a missing checkpoint, or for a folder below one that is not writable."""
    assert main._explain({}, OSError(number, os.strerror(number), "/kept/checkpoint")) == os.EX_CONFIG
    said = capsys.readouterr().err
    assert f"/kept/checkpoint cannot be used: {os.strerror(number)}. Name another" in " ".join(said.split())
    assert "Traceback" not in said
