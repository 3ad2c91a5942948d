"""The meaning of each exit code of `pulp-admin`. The numbers are in `pulp_console.exits`."""

from collections.abc import Mapping
from typing import Final

from pulp_console.exits import (
    CONFIG,
    DATA,
    DENIED,
    INTERRUPTED,
    NO_INPUT,
    NO_READER,
    SOFTWARE,
    TEMPORARY,
    UNAVAILABLE,
    UNWRITABLE,
    USAGE,
)

FAILED: Final = 1
CANCELLED: Final = 3
SKIPPED: Final = 4

MEANINGS: Final[Mapping[int, str]] = {
    0: "yes; `watch`: the task was successful",
    FAILED: "`watch`: the task failed; the answer to a question is no",
    CANCELLED: "`watch`: the task was cancelled",
    SKIPPED: "`watch`: the task was skipped",
    USAGE: "the command line is wrong",
    DATA: "the server refuses the input, or has no such thing",
    NO_INPUT: "`--as-of`: before the first event, or its history is archived",
    UNAVAILABLE: "the task cannot be cancelled; of many tasks, some could not be cancelled or run again",
    SOFTWARE: "a fault of the client or the server",
    UNWRITABLE: "the output cannot be written",
    TEMPORARY: "the server is away for now, a quota is used up, or `--as-of` has not come yet: try again;"
    " `status`: Kafka or Postgres is away, or no worker is online",
    DENIED: "not allowed",
    CONFIG: "the configuration is wrong, or the server is not there",
    INTERRUPTED: "Ctrl-C",
    NO_READER: "the reader of the output has gone",
}
