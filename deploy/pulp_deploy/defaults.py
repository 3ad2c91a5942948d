"""Defaults of the commands and of the local stack."""

from typing import Final

PARTITIONS: Final = 8
"""Of the events topic, when it is created."""

KAFKA_PORT: Final = 9092
"""Of the first broker of a local stack; the others have the next ones."""
POSTGRES_PORT: Final = 24815
"""Of the Postgres of a local stack."""
