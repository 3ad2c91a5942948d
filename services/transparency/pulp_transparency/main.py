"""The process that keeps the log."""

import asyncio
import logging
import signal
import threading
from typing import Final

from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.startup import wait_for_kafka
from pulp_runtime.telemetry.catalog import UNCOVERED, UNTAKEN
from pulp_runtime.telemetry.metric import Reading
from pulp_runtime.telemetry.serving import telling

from pulp_transparency.errors import KeyFault
from pulp_transparency.follower import FolderLock, LogFollower
from pulp_transparency.key_files import is_cut, make_key
from pulp_transparency.keys import KeyRing, read_signer
from pulp_transparency.outlets import CheckpointOutbox, CheckpointOutlet, opened, outside_folder, witness
from pulp_transparency.published import CheckpointTopic
from pulp_transparency.settings import Settings
from pulp_transparency.traces import LogTraces

_CLOSE_S: Final = 5.0
_log = logging.getLogger("pulp.transparency")


async def serve(settings: Settings, stopping: asyncio.Event | None = None) -> None:
    """Keep the log until SIGTERM or SIGINT; then sign what it has, and return.

    Raises `PulpError` for a fault that a restart may not fix. If `stopping` is given, it runs until that is set and
    does not handle signals.
    """
    if stopping is None:
        stopping = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with Heartbeat(settings.heartbeat) as heartbeat, telling(settings.telemetry, "transparency") as telemetry:
        folder, key = settings.needed_folder, settings.needed_key
        if settings.name is not None and (not key.exists() or is_cut(key, settings.needed_keys, folder)):
            made = make_key(key, settings.needed_keys, settings.name, folder)
            _log.warning("a key was made: give its verifier key to those who check the log: %s", made.verifier.vkey)
        signer, ring = read_signer(key), KeyRing.read(settings.needed_keys)
        if ring.keys[-1].verifier != signer.verifier:
            raise KeyFault(
                f"the key in {key} is {signer.verifier.label}, and the last one in {settings.needed_keys} is"
                f" {ring.keys[-1].verifier.label}: a key is replaced with pulp-tasks audit keygen --rotate"
            )
        await wait_for_kafka(settings.kafka, settings.startup_timeout_s)
        stop, is_up = threading.Event(), asyncio.Event()
        loop, tracing = asyncio.get_running_loop(), telemetry.tracing
        kept: list[LogFollower] = []

        async def gauges() -> list[Reading]:
            return [reading for each in kept for reading in await asyncio.to_thread(_readings, each)]

        telemetry.meter.add_source("kafka", gauges)

        def follow() -> None:
            with FolderLock(folder):
                outboxes = opened(_outlets(settings))
                try:
                    follower = LogFollower(
                        settings.kafka,
                        settings.topics,
                        folder,
                        signer,
                        ring,
                        outboxes,
                        interval_s=settings.interval_s,
                        traces=None if tracing is None else LogTraces(tracing, settings.topics.events),
                    )
                    kept.append(follower)
                    loop.call_soon_threadsafe(is_up.set)
                    _follow(follower, stop)
                finally:
                    _close(outboxes)

        following = asyncio.create_task(asyncio.to_thread(follow))
        signals = [asyncio.create_task(each.wait()) for each in (stopping, is_up)]
        try:
            await asyncio.wait([following, *signals], return_when=asyncio.FIRST_COMPLETED)
            if is_up.is_set():
                heartbeat.up()
                _log.info("the log is kept", extra={"folder": str(folder), "key": signer.verifier.label})
                await asyncio.wait([following, signals[0]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            for each in signals:
                each.cancel()
            await following


def _readings(follower: LogFollower) -> list[Reading]:
    return [
        *(Reading(UNCOVERED, events, (str(partition),)) for partition, events in follower.uncovered().items()),
        *(Reading(UNTAKEN, count, (outlet,)) for outlet, count in follower.untaken.items()),
    ]


def _follow(follower: LogFollower, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            follower.step()
        follower.sign()
    finally:
        follower.close()


def _close(outboxes: list[CheckpointOutbox]) -> None:
    for each in outboxes:
        each.close(_CLOSE_S)
        if each.waiting:
            _log.warning("checkpoints wait for the next start: %s", each.name, extra={"partitions": each.waiting})


def _outlets(settings: Settings) -> list[CheckpointOutlet]:
    topic = CheckpointTopic(settings.kafka, settings.topics.checkpoints)
    found = [CheckpointOutlet(f"topic {settings.topics.checkpoints}", topic.append)]
    if settings.outside is not None:
        found.append(outside_folder(settings.outside))
    found += [
        witness(number, command, settings.witness_timeout_s) for number, command in enumerate(settings.witnesses, 1)
    ]
    return found
