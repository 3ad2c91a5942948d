"""Exit codes of pulp-tasks are those of sysexits.h."""

import os
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pulp_deploy.errors import DataFolderInUse, DeployError, PortInUse, ProcessFailed
from pulp_deploy.exits import exit_code
from pulp_events.errors import LogRefused, OffsetOutOfRange, PulpError, TopicMismatch
from pulp_events.settings import SettingsError
from pulp_processor.instance import InstanceInUse
from pulp_processor.rebuild_errors import RebuildCancelled, RebuildInterrupted, RebuildInUse, RebuildRefused
from pulp_projections.startup import DependencyAway
from pulp_worker.loading import OperationsNotLoaded
from pulp_worker.registration import Holder, NameInUse


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
        (NameInUse("x", Holder("host", 1, UUID(int=1), datetime(2026, 11, 24, tzinfo=UTC), 6)), os.EX_CANTCREAT),
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
