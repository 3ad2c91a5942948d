"""A plain operation as a worker runs it: with its real guardian and process, without Kafka and Postgres."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from pulp_worker.child_run import ChildRun
from pulp_worker.claims import Claim
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended
from pulp_worker.reporter import Reporter
from pulp_worker.surroundings import Surroundings

from tests.support import process_operations


@dataclass
class Plain:
    """One run; `reported` is set by its first progress."""

    run: ChildRun
    claim: Claim
    lease: Lease
    progress: list[Any] = field(default_factory=list)
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    async def end(self) -> Ended:
        """Wait for its end; return how it ended."""
        async with asyncio.timeout(60):
            return await self.run.wait()


@asynccontextmanager
async def plain(
    storage: Path,
    way: str,
    *,
    lease_s: float = 60,
    module: str = process_operations.__name__,
    environment: tuple[str, ...] = (),
    traceparent: str | None = None,
    **more: Any,
) -> AsyncIterator[Plain]:
    """The operation `ways` of the module, with this argument; killed at the end."""
    lease = Lease(lease_s)
    lease.renew(time.monotonic())
    arguments = msgspec.Raw(msgspec.json.encode({"way": way}))
    claim = Claim(
        task_id=uuid4(),
        attempt=1,
        attempt_id=uuid4(),
        instance_id=uuid4(),
        operation="ways",
        arguments=arguments,
        partition=0,
        correlation_id=None,
        hold_id=uuid4(),
        place=0,
        tokens={},
    )
    loaded = Loaded(process_operations.ways, module, "ways")
    surroundings = Surroundings(storage=storage, lease=lease, grace_s=1, environment=environment, **more)

    async def send(_: int, progress: bytes) -> bool:
        made.progress.append(msgspec.json.decode(progress))
        made.reported.set()
        return True

    made = Plain(ChildRun(loaded, claim, Reporter(send), surroundings, traceparent), claim, lease)
    try:
        yield made
    finally:
        made.run.kill()
        await made.end()
