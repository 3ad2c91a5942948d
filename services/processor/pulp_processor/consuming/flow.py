"""Flow control: which partitions to fetch next, and how long to wait for their records. Pure: no clock, no I/O.

Two things pull against each other. Postgres should never wait for Kafka, so each writer gets its next batch before it
has committed the one in flight. Memory should stay bounded, so fetching stops while enough is queued.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final, NamedTuple

FEW_RECORDS: Final = 4
"""Keep fetching a partition while fewer records than this are queued, since one task's end and the next one's start are
already two. A writer commits that few together with the records that follow."""
_FULL_BATCHES: Final = 3
"""Upper bound on full batches in hand for all partitions: one being encoded, one or two in Postgres."""
_STUCK_S: Final = 1.0
"""A writer whose batch has been in flight for longer counts as empty, so that it does not stop the other partitions."""
_SHORT_POLL_S: Final = 0.02
"""How long to wait for some partitions while others cannot be fetched: they may get capacity meanwhile."""
_SHORT_FETCH_MS: Final = 20
"""How long a broker may hold a request that leaves out partitions: they must be asked for soon after."""


class WriterLoad(NamedTuple):
    """What a partition's writer has in hand."""

    epoch: int
    """How often reading has started over. A fetched batch carries the epoch in which it was asked for."""
    is_reading: bool
    """Whether its partition is being read: Kafka's consumer is at the position in Postgres."""
    queued_batches: int
    queued_records: int
    next_is_large: bool
    """The first queued batch is a large one: it is folded while Postgres writes the one before."""
    in_flight: int
    """The number of records in the current transaction; 0 without one."""
    in_flight_s: float
    """How long that transaction has been under way."""

    @property
    def has_capacity(self) -> bool:
        """Whether the writer should get another batch; it would accept more."""
        if not self.is_reading:
            return False
        return self.queued_records < FEW_RECORDS or (self.queued_batches == 1 and self.next_is_large)

    @property
    def in_hand(self) -> int:
        """Records received and not committed; 0 while the writer waits for Postgres, so that others go on."""
        if self.in_flight and self.in_flight_s > _STUCK_S:
            return 0
        return self.in_flight + self.queued_records


class NextFetch(NamedTuple):
    """What to do next. Without partitions: wait for a writer to get capacity, at most for `timeout_s`."""

    epochs: Mapping[int, int]
    """The partitions to fetch, each with its writer's epoch."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class FlowControl:
    """Decides what to fetch, from what the writers have in hand. `batch_records` is the size of a full batch."""

    batch_records: int

    def next_fetch(self, loads: Mapping[int, WriterLoad], active: Set[int], longest_s: float) -> NextFetch:
        """The partitions of `active` to fetch now; the wait is `longest_s`, or short if some are left out."""
        if sum(load.in_hand for load in loads.values()) >= _FULL_BATCHES * self.batch_records:
            return NextFetch({}, longest_s)
        epochs = {
            partition: load.epoch for partition, load in loads.items() if partition in active and load.has_capacity
        }
        if not epochs or len(epochs) == len(active):
            return NextFetch(epochs, longest_s)
        return NextFetch(epochs, _SHORT_POLL_S)


def broker_wait_ms(usual_ms: int, *, leaves_out: bool) -> int:
    """How long a broker may hold a fetch request until records come.

    A request leaves out partitions whose fetched records are not all taken yet, and a broker has one request at a time.
    While that waits for idle partitions, nothing more comes from the busy ones.
    """
    return _SHORT_FETCH_MS if leaves_out else usual_ms
