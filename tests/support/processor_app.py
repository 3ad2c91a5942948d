"""A processor in this process, without its command."""

import asyncio
from typing import Any

from pulp_events import admin
from pulp_processor.consuming import internals
from pulp_processor.consuming.app import ProcessorApp
from pulp_processor.settings import Settings

LIMIT_S = 60


async def caught_up(settings: Settings, ends: dict[int, int]) -> dict[int, int]:
    """Run a processor until it has projected everything before the ends; return how often each partition was
    re-read."""
    topic_id = (await asyncio.to_thread(admin.describe, settings.kafka, settings.topics.events)).topic_id
    internals.install()
    app = ProcessorApp(settings, topic_id)
    moved = asyncio.Event()
    app.after_commit = moved.set
    await app.start()
    stopped = asyncio.create_task(app.wait_until_stopped())
    try:
        async with asyncio.timeout(LIMIT_S):
            while any(app.positions().get(partition, 0) < end for partition, end in ends.items()):
                waiting = asyncio.create_task(moved.wait())
                ends_first: list[asyncio.Future[Any]] = [waiting, stopped, app.fault]
                await asyncio.wait(ends_first, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                assert not stopped.done(), app.crash_reason
                if app.fault.done():
                    app.fault.result()
                moved.clear()
        return {partition: writer.seeks for partition, writer in app.writers.items()}
    finally:
        stopped.cancel()
        await app.close_writers()
        await app.stop()
