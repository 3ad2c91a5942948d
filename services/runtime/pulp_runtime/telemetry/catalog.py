"""Every metric of every process; docs/reference/metrics.md is made from this.

A name says the unit. `tasks_…` are the names of Pulp 3, the others begin with `pulp_tasks_`.
"""

from collections.abc import Mapping
from typing import Final

from pulp_runtime.telemetry.metric import Kind, Metric

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS: Final = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400)
_RECORDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def _gauge(name: str, sentence: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, sentence, labels)


def _counter(name: str, sentence: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, sentence, labels)


def _histogram(name: str, sentence: str, *labels: str, bounds: tuple[float, ...] = _SECONDS) -> Metric:
    return Metric(name, Kind.HISTOGRAM, sentence, labels, bounds)


# Every process.
INFO: Final = _gauge(
    "pulp_tasks_info", "1; the labels say which process and which version it is.", "process", "version"
)
SOURCE_UP: Final = _gauge(
    "pulp_tasks_source_up",
    "Whether the process could read its gauges from a source (`kafka`, `postgres`, `process`); 0: they are missing.",
    "source",
)

# The API, the processors and the workers.
APPEND_SECONDS: Final = _histogram(
    "pulp_tasks_append_seconds",
    "From an append until Kafka acknowledged the event; `type` is such as `accepted`, `schedule.due` or"
    " `subscription.parked`.",
    "type",
)
APPEND_FAILURES: Final = _counter(
    "pulp_tasks_append_failures_total", "Appends that Kafka refused, or did not acknowledge in time.", "type"
)

# The API and the processors.
LAG_EVENTS: Final = _gauge(
    "pulp_tasks_lag_events",
    "Events at the end of the log that are not projected yet. The API reports every partition, a processor those that"
    " it has.",
    "partition",
)

# A processor.
LAG_SECONDS: Final = _gauge(
    "pulp_tasks_lag_seconds",
    "The age of the oldest event that is not projected yet; 0 without lag. For an event that the processor has not"
    " fetched yet, the time since a monitor first saw the lag.",
    "partition",
)
DELAY_SECONDS: Final = _histogram(
    "pulp_tasks_projection_delay_seconds",
    "From the broker's time of the oldest event of a batch until the batch was committed.",
    bounds=(*_SECONDS, 60, 300),
)
COMMIT_SECONDS: Final = _histogram(
    "pulp_tasks_commit_seconds", "How long the transaction of a batch took, with all its retries."
)
BATCH_EVENTS: Final = _histogram("pulp_tasks_batch_events", "Records that one transaction projected.", bounds=_RECORDS)
PROJECTED: Final = _counter("pulp_tasks_projected_events_total", "Records that were projected.", "partition")
IGNORED: Final = _counter(
    "pulp_tasks_ignored_events_total",
    "Projected events without effect, by the reason that the history gives; `duplicate` is usual after a retry.",
    "reason",
)
DEAD: Final = _counter(
    "pulp_tasks_dead_events_total", "Projected records that are not events, or that Postgres cannot store."
)
READ_AGAIN: Final = _counter(
    "pulp_tasks_partitions_read_again_total",
    "How often a batch did not continue the position in Postgres, so that the partition was read from there again.",
)
ELECTED: Final = _gauge("pulp_tasks_dispatcher_elected", "1 in the processor that assigns tasks to workers, else 0.")
CLAIM_SECONDS: Final = _histogram(
    "pulp_tasks_claim_seconds", "How long the statement that assigns tasks to workers took."
)
WAIT_SECONDS: Final = _histogram(
    "pulp_tasks_wait_seconds",
    "From the acceptance of a task until it was assigned, whatever it waited for.",
    "queue",
    bounds=_LONG_SECONDS,
)

# A worker.
SLOTS: Final = _gauge("pulp_tasks_worker_slots", "How many tasks the worker may run at once.")
OPERATING: Final = _gauge("pulp_tasks_worker_operating", "How many operations run in the worker.")
LEASE_LEFT: Final = _gauge(
    "pulp_tasks_worker_lease_left_seconds", "How long the worker is still trusted without another heartbeat."
)
HEARTBEAT_SECONDS: Final = _histogram("pulp_tasks_heartbeat_seconds", "How long a heartbeat took.")
HEARTBEATS_FAILED: Final = _counter("pulp_tasks_heartbeats_failed_total", "Heartbeats that Postgres did not accept.")
LEASES_LOST: Final = _counter(
    "pulp_tasks_leases_lost_total", "How often the lease ran out, so that the worker stopped its operations."
)
BEGIN_SECONDS: Final = _histogram(
    "pulp_tasks_begin_seconds",
    "From the moment a worker knew that a task's turn had come until its operation began.",
)
RUN_SECONDS: Final = _histogram(
    "pulp_tasks_run_seconds", "How long operations ran.", "operation", bounds=(0.01, *_LONG_SECONDS)
)
STOP_SECONDS: Final = _histogram(
    "pulp_tasks_stop_seconds", "From the moment an operation was asked to stop until no part of it ran."
)
ATTEMPTS: Final = _counter(
    "pulp_tasks_attempts_total",
    "Attempts that ended, by outcome; `retried` for those that failed and are repeated.",
    "operation",
    "outcome",
)

# The API.
HTTP_SECONDS: Final = _histogram(
    "pulp_tasks_http_request_seconds",
    "From a request's head until the response began. `route` is the path with names for its parts, `none` if no route"
    " matches; `status` is `none` if the client left.",
    "method",
    "route",
    "status",
)
STREAMS: Final = _gauge("pulp_tasks_streams", "Event streams that are open.")
STREAMS_REFUSED: Final = _counter(
    "pulp_tasks_streams_refused_total", "Event streams that were refused because too many are open."
)
CANCEL_SECONDS: Final = _histogram(
    "pulp_tasks_cancel_seconds",
    "From a request to cancel until its task had ended; after two seconds the API answers without it.",
)
RUNNABLE: Final = _gauge(
    "pulp_tasks_runnable", "Tasks that lack only a worker with a free slot, without parked ones.", "queue"
)
BLOCKED: Final = _gauge(
    "pulp_tasks_blocked",
    "Waiting tasks that more workers would not help: they wait for a resource or a task. Parked tasks are left out.",
    "queue",
)
PARKED_IN_QUEUE: Final = _gauge(
    "pulp_tasks_parked",
    "Waiting tasks that are parked; `pulp_tasks_parked_tasks` also counts those that run or have no row.",
    "queue",
)
RUNNING: Final = _gauge("pulp_tasks_running", "Tasks that occupy a slot.", "queue")
UNSERVED: Final = _gauge("pulp_tasks_unserved", "Waiting tasks that no live worker can run.", "queue")
FREE_SLOTS: Final = _gauge("pulp_tasks_free_slots", "Free slots of live workers that serve the queue.", "queue")
OLDEST_WAIT: Final = _gauge(
    "pulp_tasks_oldest_wait_seconds",
    "The longest wait so far of a waiting task that is not parked; 0 if none waits.",
    "queue",
)
WORKERS: Final = _gauge("pulp_tasks_workers", "Live workers.")
HEARTBEAT_AGE: Final = _gauge(
    "pulp_tasks_worker_heartbeat_age_seconds", "The time since a live worker's heartbeat.", "worker"
)
DISPATCHING: Final = _gauge("pulp_tasks_dispatching", "Whether a processor assigns tasks to workers.")
DEAD_LETTERS: Final = _gauge("pulp_tasks_dead_letters", "Dead letters in the read model.")
PARKED: Final = _gauge(
    "pulp_tasks_parked_tasks", "Tasks that do not go on because one of their records cannot be projected."
)
OVERDUE: Final = _gauge("pulp_tasks_schedules_overdue", "Schedules with a tick that nobody has run in time.")
WEBHOOK_BACKLOG: Final = _gauge(
    "pulp_tasks_webhook_backlog_events",
    "Projected events behind the place of a subscription, including those that its filter rejects until it has passed"
    " them.",
    "subscription",
)
WEBHOOK_BACKLOG_SECONDS: Final = _gauge(
    "pulp_tasks_webhook_backlog_seconds",
    "The age of the oldest of these events, by the brokers' clock; 0 if there is none.",
    "subscription",
)
WEBHOOK_PARKED: Final = _gauge(
    "pulp_tasks_webhook_parked_tasks",
    "Tasks whose events a subscription does not deliver before somebody asks for a redelivery: its endpoint refused one"
    " too often.",
    "subscription",
)
FINDINGS: Final = _gauge("pulp_tasks_findings", "Findings of the API's last check of the preconditions.", "severity")
UNBLOCKED_QUEUE: Final = _gauge("tasks_unblocked_queue", "Pulp 3's name: runnable tasks of all queues.")
LONGEST_UNBLOCKED: Final = _gauge(
    "tasks_longest_unblocked_time",
    "Pulp 3's name: for how many seconds a task has been runnable at most; 0 if none is. Only the 500 oldest waiting"
    " tasks count.",
)

# The process that keeps the log.
UNCOVERED: Final = _gauge(
    "pulp_tasks_log_uncovered_events", "Events that no checkpoint of the log covers yet.", "partition"
)
UNTAKEN: Final = _gauge(
    "pulp_tasks_log_untaken_checkpoints",
    "Partitions whose last checkpoint an outlet has not accepted yet: the topic, the folder outside, or a witness.",
    "outlet",
)

EVERY_PROCESS: Final = (INFO, SOURCE_UP)
API: Final = (
    *(LAG_EVENTS, RUNNABLE, BLOCKED, PARKED_IN_QUEUE, RUNNING, UNSERVED, FREE_SLOTS, OLDEST_WAIT),
    *(
        WORKERS,
        HEARTBEAT_AGE,
        DISPATCHING,
        DEAD_LETTERS,
        PARKED,
        OVERDUE,
        WEBHOOK_BACKLOG,
        WEBHOOK_BACKLOG_SECONDS,
        WEBHOOK_PARKED,
        FINDINGS,
        UNBLOCKED_QUEUE,
        LONGEST_UNBLOCKED,
    ),
    *(HTTP_SECONDS, STREAMS, STREAMS_REFUSED, CANCEL_SECONDS, APPEND_SECONDS, APPEND_FAILURES),
)
PROCESSOR: Final = (
    *(LAG_EVENTS, LAG_SECONDS, DELAY_SECONDS, COMMIT_SECONDS, BATCH_EVENTS, PROJECTED, IGNORED, DEAD, READ_AGAIN),
    *(ELECTED, CLAIM_SECONDS, WAIT_SECONDS, APPEND_SECONDS, APPEND_FAILURES),
)
WORKER: Final = (
    *(SLOTS, OPERATING, LEASE_LEFT, HEARTBEAT_SECONDS, HEARTBEATS_FAILED, LEASES_LOST),
    *(BEGIN_SECONDS, RUN_SECONDS, STOP_SECONDS, ATTEMPTS, APPEND_SECONDS, APPEND_FAILURES),
)
TRANSPARENCY: Final = (UNCOVERED, UNTAKEN)
OF_PROCESS: Final[Mapping[str, tuple[Metric, ...]]] = {
    "api": API,
    "processor": PROCESSOR,
    "worker": WORKER,
    "transparency": TRANSPARENCY,
}
