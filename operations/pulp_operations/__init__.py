"""Operations on yum repositories, which use only the worker's SDK."""

from pulp_operations.orphans import remove_orphans
from pulp_operations.publish import publish
from pulp_operations.remove_repository import remove_repository
from pulp_operations.repair import repair
from pulp_operations.settings import check_settings
from pulp_operations.sync import sync

__all__ = ["check_settings", "publish", "remove_orphans", "remove_repository", "repair", "sync"]
