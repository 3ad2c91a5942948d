"""The worker. Write operations with the names exported here."""

from pulp_worker.errors import LimitExceeded, OperationError, ProgressTooLarge, TaskCancelled
from pulp_worker.sdk import Context, Operation, Resource, operation

__all__ = [
    "Context",
    "LimitExceeded",
    "Operation",
    "OperationError",
    "ProgressTooLarge",
    "Resource",
    "TaskCancelled",
    "operation",
]
