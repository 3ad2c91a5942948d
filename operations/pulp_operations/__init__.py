"""Operations on yum repositories: `sync`, `publish`, `remove-orphans`. Written with the worker's SDK alone."""

from pulp_operations.orphans import remove_orphans
from pulp_operations.publish import publish
from pulp_operations.sync import sync

__all__ = ["publish", "remove_orphans", "sync"]
