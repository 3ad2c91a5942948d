"""Events of tasks as a stream of Faust: an agent that counts how tasks ended, by operation.

    pip install faust-streaming
    python examples/kafka_faust.py --events 1   # and without --events for ever

Faust shares the partitions out among the processes of an app, and stores the place in Kafka after each event.
"""

import argparse
import asyncio
import json
import os
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import faust

ACCEPTED = ("org.pulpproject.task.accepted.v1", "org.pulpproject.task.accepted.v2")  # the operation is in both versions
FINISHED = "org.pulpproject.task.finished.v1"


async def main(arguments: list[str]) -> None:
    """Follow the events until there were enough."""
    parser = argparse.ArgumentParser(description="Count how tasks end.")
    parser.add_argument("--app", default="example-faust", help="its name, and that of its consumer group")
    parser.add_argument("--events", type=int, help="stop after so many")
    options = parser.parse_args(arguments)
    app = faust.App(
        options.app,
        broker=f"kafka://{os.environ['PULP_KAFKA']}",
        broker_credentials=credentials(),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,  # it would create a topic of its own
        topic_allow_declare=False,
        web_enabled=False,
    )
    topic = app.topic(f"{os.environ.get('PULP_TOPIC_PREFIX', 'pulp.tasks')}.events", value_serializer="raw")
    operations: dict[str, str] = {}
    outcomes: Counter[tuple[str, str]] = Counter()
    enough = asyncio.Event()

    @app.agent(topic)
    async def count(values: Any) -> None:
        seen = 0
        async for value in values:
            event = parsed(value)
            if event is not None:
                told(event, operations, outcomes)
            seen += 1
            if seen == options.events:
                enough.set()

    await app.start()
    await enough.wait()
    await app.stop()


def told(event: dict[str, Any], operations: dict[str, str], outcomes: Counter[tuple[str, str]]) -> None:
    """Remember the task; when it ends, count it and print the count. An event handled twice would count twice."""
    print(event["type"], event["subject"], flush=True)
    if event["type"] in ACCEPTED:
        operations[event["subject"]] = event["data"]["operation"]
    elif event["type"] == FINISHED:
        ended = operations.pop(event["subject"], "unknown"), event["data"]["outcome"]
        outcomes[ended] += 1
        print(*ended, outcomes[ended], flush=True)


def parsed(value: bytes | None) -> dict[str, Any] | None:
    """The event, or None for anything else: an agent that raises would end."""
    try:
        event = json.loads(value or b"")
        return event if {"type", "subject", "data"} <= event.keys() else None
    except (ValueError, AttributeError):
        return None


def credentials() -> faust.SASLCredentials | None:
    """The login of the environment, by the names that Pulp Tasks uses too."""
    if not (user := os.environ.get("PULP_KAFKA_USERNAME")):
        return None
    protocol = os.environ["PULP_KAFKA_SECURITY_PROTOCOL"]
    return faust.SASLCredentials(
        username=user,
        password=Path(os.environ["PULP_KAFKA_PASSWORD_FILE"]).read_text().strip(),
        mechanism=os.environ["PULP_KAFKA_SASL_MECHANISM"],
        ssl_context=ssl.create_default_context() if protocol == "SASL_SSL" else None,
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
