"""How long a fetch may wait for events: briefly if it leaves out partitions whose records are not taken yet."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from pulp_processor.consuming.internals.record_fetcher import _Fetcher

USUAL_MS = 1500


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(fetcher.Fetcher, "__init__", lambda _self, **_settings: None)
    monkeypatch.setattr(
        fetcher.Fetcher, "_get_actions_per_node", lambda self, _assignment: found.append(self._fetch_max_wait_ms)
    )
    return found


def test_a_fetch_of_all_partitions_waits_as_usual_and_others_are_short(waits: list[int]) -> None:
    asking: Any = _Fetcher(fetch_max_wait_ms=USUAL_MS)
    for held in ({}, {"a partition": "records"}, {}):
        asking._records = held
        asking._get_actions_per_node(None)
    assert waits == [USUAL_MS, 20, USUAL_MS]
