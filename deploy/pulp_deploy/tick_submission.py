"""Gives a processor what submits the tasks of ticks: the API's own submission, loaded when the first tick is due."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulp_accounts.users import Role
    from pulp_events.log import TimedLog
    from pulp_runtime.tick_submission import MakeTickSubmitter, OpenTickSubmitter, TickSubmitter


def submitting_to(
    conninfo: str, quotas: "Mapping[Role, str]", *, tells_origin: bool = True, key_file: Path | None = None
) -> "MakeTickSubmitter":
    """What a processor makes its submitter with; `quotas` are those of roles.

    With `tells_origin` false, events are written as version 1. `key_file` has the master keys of personal data.
    """

    def make(log: "TimedLog", partitions: int) -> "OpenTickSubmitter":
        return partial(_open, log, conninfo, partitions, quotas, tells_origin, key_file)

    return make


@asynccontextmanager
async def _open(
    log: "TimedLog",
    conninfo: str,
    partitions: int,
    quotas: "Mapping[Role, str]",
    tells_origin: bool,
    key_file: Path | None,
) -> "AsyncIterator[TickSubmitter]":
    scheduled = await asyncio.to_thread(import_module, "pulp_api.scheduled")  # takes half a second, once
    opening = scheduled.open_tick_submitter(
        log, conninfo, partitions, quotas, tells_origin=tells_origin, key_file=key_file
    )
    async with opening as submitter:
        yield submitter
