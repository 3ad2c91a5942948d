"""Operations on yum repositories: `sync`, `publish`, `remove-orphans`. Written with the worker's SDK alone."""

from pulp_operations.orphans import remove_orphans
from pulp_operations.publish import publish
from pulp_operations.settings import check_settings
from pulp_operations.sync import sync

__all__ = ["check_settings", "publish", "remove_orphans", "sync"]
