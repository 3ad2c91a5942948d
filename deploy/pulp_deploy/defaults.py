"""What commands and the local stack take where nothing is said."""

from typing import Final

PARTITIONS: Final = 8
"""Of the events topic, when it is created."""
