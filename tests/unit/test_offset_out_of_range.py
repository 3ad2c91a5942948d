"""The message for an offset that is gone is the same, whichever Kafka client finds out."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import Kafka
from pulp_events.reader import fault_of
from pulp_processor.consuming import internals
from pulp_processor.consuming.partition_reader import PartitionReader

ADVICE = re.escape(
    "Retention has cut the log, or the topic was truncated or created again: nothing was skipped. Restore the log, or"
    " begin with a new topic and an empty database"
)


class Cut:
    """A consumer of a log that has lost its beginning."""

    async def getmany(self, *_: Any, **__: Any) -> Any:
        raise OffsetOutOfRangeError({TopicPartition("events", 3): 5})


async def test_of_a_rebuild() -> None:
    internals.install()
    reader = PartitionReader("nowhere", "events", 3, 5)
    reader._consumer = Cut()
    with pytest.raises(OffsetOutOfRange, match=rf"events no longer .*\(partition 3, offset 5\)\. {ADVICE}"):
        await reader.read(10, most=1)


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE])
def test_of_a_reader(code: int) -> None:
    fault = fault_of(Kafka("127.0.0.1:1"), "events", KafkaError(code), {3: 5})
    assert isinstance(fault, OffsetOutOfRange)
    assert re.search(rf"events no longer .*\{{3: 5\}}\)\. {ADVICE}", str(fault))


def test_the_words_stand_once() -> None:
    root = Path(__file__).parents[2]
    paths = [path for folder in ("events", "services") for path in (root / folder).rglob("*.py")]
    found = [path.name for path in paths if "no longer holds an offset" in path.read_text()]
    assert found == ["errors.py"]
