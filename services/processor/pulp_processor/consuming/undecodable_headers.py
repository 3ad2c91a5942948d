"""Reading records that aiokafka cannot read: it fails on a header name that is not UTF-8."""

import asyncio
import logging
from collections.abc import Mapping

from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record

_PATIENCE_S = 5.0
_log = logging.getLogger("pulp.processor")


async def read_with_librdkafka(
    servers: Servers, topic: str, start: Mapping[int, int], most: int
) -> dict[int, list[Record]]:
    """The next records of the partitions in `start`, from those offsets on; {} if none arrives within some seconds.

    A record with such a header comes without its headers. aiokafka does not say which record it failed on, so this
    reads every partition that aiokafka was asked for. Raises what `Reader.poll` raises.
    """
    _log.warning("aiokafka cannot read a record, using librdkafka", extra={"topic": topic, "from": dict(start)})
    return await asyncio.to_thread(_read, servers, topic, start, most)


def _read(servers: Servers, topic: str, start: Mapping[int, int], most: int) -> dict[int, list[Record]]:
    with Reader(servers, topic, start) as reader:
        return reader.poll(_PATIENCE_S, most=most)
