"""Every error that a caller of this system may see.

PulpError
├── BadInput                    the caller's fault: change the request
│   ├── InvalidEvent            an event that may not be written
│   └── EventTooLarge           an event over the log's size limit
├── UndecodableRecord           bytes in the log that are not an event
├── TaskError
│   ├── TaskNotFound
│   ├── TaskAlreadyFinal
│   ├── TaskNotCancellable
│   ├── TaskUnfinished
│   └── TaskNotPurgeable
├── LogError                    Kafka
│   ├── LogUnavailable          nothing was written: repeat it
│   │   ├── TopicNotFound       Kafka has no such topic
│   │   └── LogRefused          Kafka refuses the login, the certificate or a right: an operator must look
│   ├── AppendOutcomeUnknown    perhaps written: repeat it with the same ids
│   └── TopicMismatch           the topic is not what was agreed: an operator must look
│       └── OffsetOutOfRange    the log no longer holds an offset that is needed
├── HistoryError                the history has no answer about a moment
│   ├── BeforeHistory           nothing had happened yet
│   ├── HistoryIncomplete       events that are needed are no longer in the read model
│   └── TooMuchHistory          too many tasks have changed since
├── ReadError                   Postgres
│   ├── ReadModelUnavailable
│   ├── KeysUnusable            the keys of personal data cannot be used (pulp_projections): an operator must look
│   └── PositionNotReached      the projection did not reach a position in time
└── SettingsError               a setting is missing or wrong
    └── WrongSetting            one setting, and what is expected of it
"""

from uuid import UUID


class PulpError(Exception):
    """Root of all errors meant for a caller. The message says what went wrong, where, and what to do."""


class BadInput(PulpError):
    """The input is refused; nothing was written."""


class InvalidEvent(BadInput):
    """An event breaks a rule of the contract and may not be appended."""


class EventTooLarge(BadInput):
    """An encoded event is larger than the log accepts."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the event has {size_bytes} bytes, the log takes at most {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class UndecodableRecord(PulpError):
    """A record of the log is not an event of the contract. `reason` is one line for the dead letter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TaskError(PulpError):
    """The request does not apply to the task."""

    def __init__(self, task_id: UUID | str, message: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskNotFound(TaskError):
    """No task has this id."""

    def __init__(self, task_id: UUID | str) -> None:
        super().__init__(task_id, f"no task {task_id}")


class TaskAlreadyFinal(TaskError):
    """The task has ended; its outcome does not change any more."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(task_id, f"task {task_id} has ended already")


class TaskNotCancellable(TaskError):
    """The task is running and its operation does not support cancellation."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(task_id, f"task {task_id} is running, and its operation cannot be cancelled")


class TaskUnfinished(TaskError):
    """The task has not ended, so it cannot be run again: the second run would wait behind the first."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(
            task_id, f"task {task_id} has not ended: wait for its end, or cancel it, before you run it again"
        )


class TaskNotPurgeable(TaskError):
    """The task has not ended, and only a task that has ended is purged."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__(task_id, f"task {task_id} has not ended: wait for its end, or cancel it, before you purge it")


class LogError(PulpError):
    """Kafka did not carry out the request."""


class LogUnavailable(LogError):
    """Kafka is away or did not take the event: nothing was written, and the call may be repeated."""


class TopicNotFound(LogUnavailable):
    """Kafka has no topic of this name, at least not yet."""


class LogRefused(LogUnavailable):
    """Kafka refuses the login, the certificate or a right: nothing was written, and waiting does not help."""


class AppendOutcomeUnknown(LogError):
    """No answer within the time limit: the event may or may not be in the log.

    Repeating it with the same task id and event id is safe, because the fold ignores the second event.
    """


class TopicMismatch(LogError):
    """The topic is not the expected one: it has another partition count or another topic id."""


class OffsetOutOfRange(TopicMismatch):
    """The log lacks a needed offset: retention has cut it, or the topic was deleted and created again."""

    @classmethod
    def lost(cls, topic: str, needed: str) -> "OffsetOutOfRange":
        """For a client that learns it while it reads; `needed` says which offset, as far as known."""
        return cls(
            f"{topic} no longer holds an offset that comes next ({needed}). Retention has cut the log, or the topic"
            " was truncated or created again: nothing was skipped. Restore the log, or begin with a new topic and an"
            " empty database"
        )


class HistoryError(PulpError):
    """The history cannot answer for the requested moment."""


class BeforeHistory(HistoryError):
    """The moment is before the first event."""


class HistoryIncomplete(HistoryError):
    """Events that the answer needs are gone from the read model, such as those of a month that was detached."""


class TooMuchHistory(HistoryError):
    """More tasks have changed since than one answer folds."""


class ReadError(PulpError):
    """The read model did not answer."""


class ReadModelUnavailable(ReadError):
    """Postgres is away."""


class PositionNotReached(ReadError):
    """The projection did not reach the wanted position in time."""


class SettingsError(PulpError):
    """A setting is missing or wrong. The message has its name, its value unless it is secret, and what is expected."""


class WrongSetting(SettingsError):
    """One setting is missing or wrong. `expected` is the part of the message that does not repeat its value."""

    def __init__(self, name: str, message: str, expected: str) -> None:
        super().__init__(message)
        self.name = name
        self.expected = expected
