"""How a consumer handles aiokafka's reports about its group."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, InvalidSessionTimeoutError, KafkaError
from faust.types import TP
from pulp_events.errors import LogRefused
from pulp_processor.consuming.internals.batch_transport import BatchConsumer


class Coordinator:
    """Stands in for the used part of aiokafka's; `error` is raised once."""

    def __init__(self, error: KafkaError | None, member_id: str) -> None:
        self.error, self.member_id = error, member_id
        self._coordination_task = SimpleNamespace(done=lambda: False)

    def check_errors(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


def consumer(error: KafkaError | None = None, member_id: str = "a-1") -> tuple[BatchConsumer, list[Exception]]:
    """A consumer that commits position 5 of partition 0, and the faults that it reports."""
    faults: list[Exception] = []
    committed: list[Any] = []

    async def commit(offsets: Any) -> bool:
        committed.append(offsets)
        return True

    made: Any = BatchConsumer.__new__(BatchConsumer)
    made._thread = SimpleNamespace(_consumer=SimpleNamespace(_coordinator=Coordinator(error, member_id)))
    made.app = SimpleNamespace(on_fault=faults.append, positions=lambda: {0: 5})
    made.assignment = lambda: {TP("t", 0)}
    made._group_offsets = {}
    made._commit = commit
    return made, faults


async def test_a_member_tells_the_group_how_far_it_is() -> None:
    made, faults = consumer()
    assert await _force_commit(made)
    assert faults == []


async def test_who_is_no_member_tells_nothing() -> None:
    made, faults = consumer(member_id="")
    assert not await _force_commit(made)
    assert faults == []


async def test_an_answer_that_nobody_expects_is_taken_and_told(caplog: pytest.LogCaptureFixture) -> None:
    made, faults = consumer(KafkaError("UnknownError()"))
    assert await _force_commit(made)
    thread: Any = made._thread
    assert thread._consumer._coordinator.error is None
    assert faults == []
    assert "joining the consumer group again" in caplog.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [(GroupAuthorizationFailedError("g"), LogRefused), (InvalidSessionTimeoutError(), InvalidSessionTimeoutError)],
)
async def test_what_joining_again_does_not_mend_ends_the_processor(error: KafkaError, kind: type[Exception]) -> None:
    made, faults = consumer(error)
    await _force_commit(made)
    assert [type(fault) for fault in faults] == [kind]


async def _force_commit(made: Any) -> bool:
    """Past the decorator of Faust, which notes the state of a service that has started."""
    told: bool = await BatchConsumer.force_commit(made)
    return told
