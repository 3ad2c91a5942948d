"""Defaults of the commands and of the local stack."""

from typing import Final

PARTITIONS: Final = 8
"""The number of partitions of a new events topic."""

KAFKA_PORT: Final = 9092
"""The port of the first broker of a local stack; further brokers use the following ones."""
POSTGRES_PORT: Final = 24815
"""The port of Postgres in a local stack."""
