"""A run that cannot continue still reports what it has seen."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.report import print_report
from tests.faults.runner import Runner
from tests.faults.stage import Fault, Stage


class Broken:
    """An arena that cannot be restored."""

    kafka = "127.0.0.1:1"
    auth = ("admin", "x")
    stack = SimpleNamespace(url="http://127.0.0.1:1")
    database = SimpleNamespace(conninfo="")

    async def mend(self) -> None:
        raise TimeoutError("kafka-2 does not start")


async def fails(_: Stage) -> None:
    raise RuntimeError("the worker does not leave")


async def test_an_arena_that_cannot_be_mended_is_a_breach(capsys: pytest.CaptureFixture[str]) -> None:
    arena: Any = Broken()
    plan = [[Fault("a fault", "none", fails)], [Fault("one that never comes", "none", fails)]]
    outcome = await Runner(arena, 1, print).run(plan, seconds=600, quiet_s=0)
    assert [(breach.promise, breach.where, breach.what) for breach in outcome.state.ledger.breaches] == [
        ("faults", "a fault", "RuntimeError: the worker does not leave"),
        ("faults", "a fault", "the run ended early: TimeoutError: kafka-2 does not start"),
    ]
    print_report(outcome)
    said = capsys.readouterr().out
    assert "kafka-2 does not start" in said
    assert "2 breaches of promises" in said
