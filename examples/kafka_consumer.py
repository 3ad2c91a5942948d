"""Events of tasks with confluent-kafka alone, for a program that does not install Pulp Tasks.

    pip install confluent-kafka
    python examples/kafka_consumer.py --events 1   # and without --events for ever

It joins a consumer group: start it several times, and each event goes to one of the processes. The place is stored in
Kafka after an event was handled, so each is handled at least once: `id` tells whether an event came before.
"""

import argparse
import json
import os
import sys
from itertools import count
from pathlib import Path

from confluent_kafka import Consumer


def main(arguments: list[str]) -> None:
    """Print events as they come."""
    parser = argparse.ArgumentParser(description="Print events of tasks.")
    parser.add_argument("--group", default="example-consumer", help="the consumer group")
    parser.add_argument("--events", type=int, help="stop after so many")
    options = parser.parse_args(arguments)
    consumer = Consumer(settings(options.group))
    consumer.subscribe([f"{os.environ.get('PULP_TOPIC_PREFIX', 'pulp.tasks')}.events"])
    try:
        for _ in count() if options.events is None else range(options.events):
            message = consumer.poll()
            assert message is not None
            if (error := message.error()) is not None:
                sys.exit(f"Kafka: {error.str()}")
            show(message.value())
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()


def settings(group: str) -> dict[str, str | bool]:
    """The brokers and the login of the environment, by the names that Pulp Tasks uses too."""
    found: dict[str, str | bool] = {
        "bootstrap.servers": os.environ["PULP_KAFKA"],
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if user := os.environ.get("PULP_KAFKA_USERNAME"):
        found |= {
            "security.protocol": os.environ["PULP_KAFKA_SECURITY_PROTOCOL"],
            "sasl.mechanism": os.environ["PULP_KAFKA_SASL_MECHANISM"],
            "sasl.username": user,
            "sasl.password": Path(os.environ["PULP_KAFKA_PASSWORD_FILE"]).read_text().strip(),
        }
    return found


def show(value: bytes | None) -> None:
    """The event is a CloudEvent in JSON. Anything else is skipped: a stranger may have written it."""
    try:
        event = json.loads(value or b"")
        print(event["type"], event["subject"], json.dumps(event["data"]), flush=True)
    except (ValueError, KeyError, TypeError) as error:
        print(f"not an event: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
