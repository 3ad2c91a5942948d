"""The only package that uses private names of Faust, aiokafka and mode.

Other modules import only the names of this module. tests/unit/test_private_names.py lists each private name and fails
when an installed version lacks it.
"""

from pulp_processor.consuming.internals import batch_transport, record_fetcher
from pulp_processor.consuming.internals.app_without_folders import AppWithoutFolders
from pulp_processor.consuming.internals.batch_transport import SCHEME, Batch, ConsumerOwner

__all__ = ["SCHEME", "AppWithoutFolders", "Batch", "ConsumerOwner", "install", "is_installed"]


def install() -> None:
    """Replace aiokafka's fetching and register our Faust transport, for this whole process.

    Call it once when a process starts, before it makes a consumer; a spawned child process calls it again.
    """
    record_fetcher.install()
    batch_transport.install()


def is_installed() -> bool:
    """Whether consumers made in this process fetch our records."""
    return record_fetcher.is_installed()
