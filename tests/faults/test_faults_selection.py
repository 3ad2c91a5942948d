"""A short run of the fault suite on the whole system; `./dev faults` runs all of it, and judges the bounds as well."""

import logging
from collections.abc import Iterator

import pytest

from tests.faults.arena import Arena
from tests.faults.catalogue import BY_NAME
from tests.faults.faults_attacks import MEMORY
from tests.faults.report import BOUNDS, print_report
from tests.faults.runner import Runner
from tests.faults.size import Size

SEED = 20261124
CHOSEN = (
    ["kill -9: worker"],
    ["poison of every kind", "rebuild, activation, rollback"],
    ["answer of a write lost"],
    ["kill -9: broker", "kill -9: processor"],
    ["kill -9: dispatcher"],
    ["SIGSTOP, SIGCONT: dispatcher", "workers come and go"],
    ["failover with a lost tail"],
    ["attackers: big-head", "kill -9: worker"],
    ["attackers: slow-body"],
    ["attackers: guessing"],
)


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Silences the log: processes end and brokers are lost all the time here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_quiet")
async def test_every_promise_holds_under_faults() -> None:
    async with Arena(print, Size(workers=3)) as arena:
        runner = Runner(arena, SEED, print)
        outcome = await runner.run([[BY_NAME[name] for name in names] for names in CHOSEN], seconds=float("inf"))
    print_report(outcome)
    assert outcome.state.ledger.breaches == []
    # Every fault has happened, and there was something to check.
    assert [episode.faults for episode in outcome.happened] == list(CHOSEN)
    assert outcome.tasks > 20
    assert outcome.state.counts["poisonous records"] > 50
    assert outcome.state.counts["attackers: connections"] > 100
    assert max(outcome.state.measured[MEMORY]) <= BOUNDS[MEMORY][1]
