"""The contract between the API and the workers about purges: the operation's name and arguments."""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

PURGE_TASKS: Final = "purge-tasks"
"""The operation that purges all tasks that match; every worker offers it."""


class PurgeArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which tasks are purged: those that match all of it, and are not purged already."""

    states: Annotated[
        tuple[Literal["successful", "failed", "cancelled", "skipped"], ...],
        Meta(min_length=1, description="How the tasks ended.", examples=[["successful"]]),
    ]
    finished_before: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="When they had ended; without it, before the purge was submitted."),
    ] = None
    created_by: Annotated[
        str | None, Meta(description="Who submitted them, as user:NAME; without it, anybody.", examples=["user:ann"])
    ] = None
