"""The worker. Operations are written with what is exported here."""

from pulp_worker.sdk import (
    Context,
    Operation,
    OperationError,
    ProgressTooLarge,
    Resource,
    TaskCancelled,
    operation,
)

__all__ = [
    "Context",
    "Operation",
    "OperationError",
    "ProgressTooLarge",
    "Resource",
    "TaskCancelled",
    "operation",
]
