"""The supervisor of a stack in the foreground."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulp_deploy import foreground
from pulp_deploy.errors import DataFolderUnusable
from pulp_deploy.stack import Stack, StackOptions

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", SIGNALS)
def test_an_error_that_a_signal_has_caused_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signum: signal.Signals
) -> None:
    def up(_: Stack) -> None:
        """A step that closes a descriptor, and is interrupted before it notes that."""
        descriptor = os.open("/", os.O_RDONLY)
        try:
            os.close(descriptor)
            os.kill(os.getpid(), signum)
        finally:
            try:
                os.close(descriptor)
            except OSError as error:
                raise DataFolderUnusable(f"the data folder cannot be used: {error.strerror}") from error

    monkeypatch.setattr(Stack, "up", up)
    with pytest.raises(KeyboardInterrupt):
        foreground.run(StackOptions(data=tmp_path / "data"), private=True, output="text")


def test_an_error_without_a_signal_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def up(_: Stack) -> None:
        raise DataFolderUnusable("the data folder cannot be used: Permission denied")

    monkeypatch.setattr(Stack, "up", up)
    with pytest.raises(DataFolderUnusable):
        foreground.run(StackOptions(data=tmp_path / "data"), private=True, output="text")
