"""The beginning of the log is requested once for all streams that resume at the same time."""

import asyncio

import pytest
from pulp_api.streaming import first_offsets
from pulp_api.streaming.first_offsets import FirstOffsets
from pulp_events.errors import LogUnavailable
from pulp_events.memory import MemoryLog


class CountedLog(MemoryLog):
    """Counts the requests for its beginning."""

    asked = 0

    def __init__(self) -> None:
        super().__init__(2, lambda: 0)

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        self.asked += 1
        return await super().offsets_since(timestamp_ms)


async def test_many_streams_share_an_answer_also_if_one_of_them_goes() -> None:
    log = CountedLog()
    offsets = FirstOffsets(log)
    gone, *others = [asyncio.create_task(offsets.read()) for _ in range(2000)]
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(*others) == [{0: 0, 1: 0}] * 1999
    assert await offsets.read() == {0: 0, 1: 0}
    assert log.asked == 1


async def test_an_error_and_an_old_answer_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    log = CountedLog()
    offsets = FirstOffsets(log)
    log.away = True
    with pytest.raises(LogUnavailable):
        await offsets.read()
    log.away = False
    assert await offsets.read() == {0: 0, 1: 0}
    monkeypatch.setattr(first_offsets, "_KEPT_S", -1.0)
    await offsets.read()
    assert log.asked == 3
