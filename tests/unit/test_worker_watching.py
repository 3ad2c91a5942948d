"""The threads that watch the loop, the lines of output, and what belongs to an async operation."""

import asyncio
import contextlib
import logging
import sys
import threading
from uuid import UUID

import pytest
from pulp_worker.belongings import OWNER, Belongings, own_tasks
from pulp_worker.guard import TICK_S, LoopWatch
from pulp_worker.output import BURST_BYTES, BYTES_A_SECOND, LINE_COST, LINE_LIMIT, OutputLines
from pulp_worker.printing import Attributed

TASK = UUID(int=7)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_lines_are_put_together_cut_and_made_visible() -> None:
    lines = OutputLines(Clock())
    assert lines.feed(b"on") == []
    assert lines.feed("e\r\nzw\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()[:-1]) == ["one"]
    assert lines.feed("\N{LATIN SMALL LETTER O WITH DIAERESIS}lf\n".encode()[1:]) == [
        "zw\N{LATIN SMALL LETTER O WITH DIAERESIS}lf"
    ]
    assert lines.feed(b"\x1b]0;title\x07\t\xff\n") == ["\\x1b]0;title\\x07\t\\xff"]
    assert lines.feed(b"x" * (LINE_LIMIT + 5) + b"\n") == ["x" * LINE_LIMIT + " (5 more characters)"]
    lines.feed(b"no end")
    assert lines.end() == ["no end"]


def test_too_many_lines_are_dropped_and_counted_once() -> None:
    clock = Clock()
    lines = OutputLines(clock)
    line = b"x" * (1024 - LINE_COST) + b"\n"
    kept = lines.feed(line * (BURST_BYTES // 1024 + 10))
    assert len(kept) == BURST_BYTES // 1024 + 1
    assert "lines are dropped" in kept[-1]
    assert lines.feed(line) == []
    clock.now_s += BURST_BYTES / 8 / BYTES_A_SECOND
    again = lines.feed(line)
    assert again == ["(11 lines were dropped)", line.decode().strip()]
    assert lines.end() == []


async def test_a_blocked_loop_is_told_with_the_task_and_the_place(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "is blocked" in record.getMessage():
                told.set()

    def blocks_here() -> None:
        assert told.wait(60)

    async def operation() -> None:
        Belongings(TASK, "blocking").enter()
        blocks_here()

    handler = Heard()
    logging.getLogger("pulp.worker").addHandler(handler)
    watch = LoopWatch()
    watch.start()
    try:
        await asyncio.create_task(operation())
    finally:
        watch.stop()
        logging.getLogger("pulp.worker").removeHandler(handler)
    [record] = [record for record in caplog.records if "is blocked" in record.getMessage()]
    assert (vars(record)["task_id"], vars(record)["operation"]) == (TASK, "blocking")
    assert vars(record)["blocked_s"] >= 1 - TICK_S
    assert "blocks_here" in (record.stack_info or "")


async def test_tasks_that_an_operation_leaves_are_cancelled_and_others_are_not() -> None:
    own_tasks(asyncio.get_running_loop())
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def operation() -> Belongings:
        mine = Belongings(TASK, "leaving")
        mine.enter()
        asyncio.get_running_loop().call_soon(lambda: kept.append(asyncio.create_task(forever())))
        await asyncio.sleep(0)
        return mine

    kept: list[asyncio.Task[None]] = []
    stranger = asyncio.create_task(asyncio.Event().wait())
    mine = await asyncio.create_task(operation())
    await asyncio.sleep(0)
    await mine.end(60, lambda: pytest.fail("it is not stuck"))
    assert cancelled.is_set()
    assert kept[0].cancelled()
    assert not stranger.done()
    stranger.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stranger


async def test_a_call_in_a_thread_is_waited_for_and_being_stuck_is_told() -> None:
    go, stuck = threading.Event(), asyncio.Event()
    mine = Belongings(TASK, "leaving")
    mine.submit(go.wait)
    ending = asyncio.create_task(mine.end(0, stuck.set))
    await stuck.wait()
    assert not ending.done()
    go.set()
    await ending


def test_what_an_operation_prints_goes_to_the_log_with_its_task(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    stream = Attributed(sys.stdout)
    print("the worker's", file=stream)
    token = OWNER.set(Belongings(TASK, "printing"))
    print("the", "operation's", file=stream)
    OWNER.reset(token)
    [record] = [record for record in caplog.records if record.name == "pulp.operation"]
    assert (record.getMessage(), vars(record)["task_id"]) == ("the operation's", TASK)
    assert capsys.readouterr().out == "the worker's\n"


@pytest.mark.parametrize(("name", "is_told"), [("mine", True), ("waitpid-3", False), ("asyncio-waitpid-3", False)])
async def test_threads_that_go_on_are_told_but_for_those_of_asyncio(
    name: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ending = threading.Event()
    thread = threading.Thread(target=ending.wait, name=name)
    thread.start()
    mine = Belongings(TASK, "leaving")
    mine.add_thread(thread)
    with caplog.at_level(logging.WARNING, "pulp.worker"):
        await mine.end(60, lambda: pytest.fail("it is not stuck"))
    ending.set()
    thread.join()
    assert ("left threads behind" in caplog.text) == is_told
