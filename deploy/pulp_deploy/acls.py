"""Which rights in Kafka each process needs: one table, from which the ACLs and their documentation are made. Pure."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pulp_events.topics import Topics


class Role(StrEnum):
    """The process that logs in."""

    API = "api"
    PROCESSOR = "processor"
    WORKER = "worker"
    TRANSPARENCY = "transparency"
    READER = "reader"
    OPERATOR = "operator"


DESCRIPTIONS: Final[Mapping[Role, str]] = {
    Role.API: "`pulp-tasks api`",
    Role.PROCESSOR: "`pulp-tasks processor`, `rebuild`, `verify`",
    Role.WORKER: "`pulp-tasks worker`",
    Role.TRANSPARENCY: "`pulp-tasks transparency`, `audit verify`, `audit copy`, `archive`",
    Role.READER: "subscribers, `pulp-tasks events tail`, `verify`",
    Role.OPERATOR: "`pulp-tasks topics`, `dead-letters retry` and `discard`, `users`, `audit`, `events tail`,"
    " `states rebuild`",
}


class Right(NamedTuple):
    """One operation on one resource. A topic is named by `{events}`, `{dead_letters}`, `{audit}`, `{schedules}`,
    `{subscriptions}`, `{checkpoints}` or `{states}`.
    """

    resource: str
    """`topic`, `group` or `transactional-id`."""
    name: str
    operation: str
    """The spelling of Kafka's `kafka-acls.sh`."""
    why: str

    def of(self, topics: "Topics") -> "Right":
        """The same right with the resource name of one installation."""
        return self._replace(name=self.name.format(**topics._asdict()))


_EVENTS: Final = "{events}"
_DEAD_LETTERS: Final = "{dead_letters}"
_AUDIT: Final = "{audit}"
_SCHEDULES: Final = "{schedules}"
_SUBSCRIPTIONS: Final = "{subscriptions}"
_CHECKPOINTS: Final = "{checkpoints}"
_STATES: Final = "{states}"
_STATES_GROUP: Final = "{events}.states"

RIGHTS: Final[Mapping[Role, tuple[Right, ...]]] = {
    Role.API: (
        Right("topic", _EVENTS, "Write", "submissions and cancels are events"),
        Right("topic", _EVENTS, "Read", "event streams of clients"),
        Right("topic", _EVENTS, "DescribeConfigs", "to see that Kafka deletes no events"),
        Right("topic", _AUDIT, "Write", "logins and refusals"),
        Right("topic", _AUDIT, "DescribeConfigs", "to see that Kafka deletes none of it"),
        Right("topic", _SCHEDULES, "Write", "changes of schedules are events"),
        Right("topic", _SCHEDULES, "DescribeConfigs", "to see that Kafka deletes none of them"),
        Right("topic", _SUBSCRIPTIONS, "Write", "changes of subscriptions are events"),
        Right("topic", _SUBSCRIPTIONS, "DescribeConfigs", "to see that Kafka deletes none of them"),
        Right("topic", _CHECKPOINTS, "Read", "the live page shows the newest ones"),
    ),
    Role.PROCESSOR: (
        Right("topic", _EVENTS, "Read", "the projection"),
        Right("topic", _EVENTS, "Write", "the reactor's events, such as the end of a task whose worker has gone"),
        Right("topic", _EVENTS, "DescribeConfigs", "to see that Kafka deletes no events"),
        Right("topic", _DEAD_LETTERS, "Write", "undecodable records"),
        Right("topic", _SCHEDULES, "Read", "the projection of schedules"),
        Right("topic", _SCHEDULES, "Write", "ticks of schedules, and what came of them"),
        Right("topic", _SCHEDULES, "DescribeConfigs", "to see that Kafka deletes none of them"),
        Right("topic", _SUBSCRIPTIONS, "Read", "the projection of subscriptions"),
        Right("topic", _SUBSCRIPTIONS, "Write", "subscriptions whose endpoint was given up"),
        Right("topic", _SUBSCRIPTIONS, "DescribeConfigs", "to see that Kafka deletes none of them"),
        Right("group", "{events}.processor", "Read", "processors share the partitions out as a consumer group"),
        Right("topic", _STATES, "Write", "the states of tasks, with `PULP_STATE_TOPIC=yes`, as are the next ones"),
        Right("topic", _STATES, "DescribeConfigs", "to see that Kafka keeps the last state of each task"),
        Right("transactional-id", _STATES, "Write", "of two processors that publish states Kafka lets one write"),
        Right("group", _STATES_GROUP, "Read", "up to where states are published"),
    ),
    Role.WORKER: (
        Right("topic", _EVENTS, "Write", "starts, progress and ends of tasks"),
        Right("topic", _EVENTS, "DescribeConfigs", "to see that Kafka deletes no events"),
    ),
    Role.TRANSPARENCY: (
        Right("topic", _EVENTS, "Read", "every record, in order; without a consumer group"),
        Right("topic", _CHECKPOINTS, "Read", "what was published last, which the log must not contradict"),
        Right("topic", _CHECKPOINTS, "Write", "each new checkpoint"),
    ),
    Role.READER: (
        Right("topic", _EVENTS, "Read", "every event; without a consumer group"),
        Right("topic", _SCHEDULES, "Read", "every event of a schedule"),
        Right("topic", _SUBSCRIPTIONS, "Read", "every event of a subscription"),
        Right("topic", _CHECKPOINTS, "Read", "every checkpoint of the log"),
        Right("topic", _STATES, "Read", "what each task is now"),
    ),
    Role.OPERATOR: (
        Right("topic", _EVENTS, "Create", "`topics create`"),
        Right("topic", _EVENTS, "AlterConfigs", "`topics mend`; it includes DescribeConfigs"),
        Right("topic", _EVENTS, "Read", "`events tail`"),
        Right("topic", _EVENTS, "Write", "`dead-letters retry` and `discard`"),
        Right("topic", _DEAD_LETTERS, "Create", "`topics create`"),
        Right("topic", _DEAD_LETTERS, "Describe", "`topics list`"),
        Right("topic", _DEAD_LETTERS, "AlterConfigs", "`topics mend`"),
        Right("topic", _AUDIT, "Create", "`topics create`"),
        Right("topic", _AUDIT, "AlterConfigs", "`topics mend`"),
        Right("topic", _AUDIT, "Write", "`users` notes who changed what"),
        Right("topic", _AUDIT, "Read", "`audit`"),
        Right("topic", _SCHEDULES, "Create", "`topics create`"),
        Right("topic", _SCHEDULES, "Describe", "`topics list`"),
        Right("topic", _SCHEDULES, "AlterConfigs", "`topics mend`"),
        Right("topic", _SUBSCRIPTIONS, "Create", "`topics create`"),
        Right("topic", _SUBSCRIPTIONS, "Describe", "`topics list`"),
        Right("topic", _SUBSCRIPTIONS, "AlterConfigs", "`topics mend`"),
        Right("topic", _CHECKPOINTS, "Create", "`topics create`"),
        Right("topic", _CHECKPOINTS, "Read", "`doctor` and `audit status` tell how far the log is"),
        Right("topic", _CHECKPOINTS, "AlterConfigs", "`topics mend`"),
        Right("topic", _STATES, "Create", "`topics create`"),
        Right("topic", _STATES, "Describe", "`topics list`"),
        Right("topic", _STATES, "AlterConfigs", "`topics mend`"),
        Right("transactional-id", _STATES, "Write", "`states rebuild`"),
        Right("group", _STATES_GROUP, "Read", "`states rebuild`"),
    ),
}
"""Read and Write include Describe. Idempotent producers need no right of their own since Kafka 3.0."""


class Acl(NamedTuple):
    """One rule that allows an operation from every host."""

    principal: str
    resource: str
    name: str
    operation: str
    pattern: str = "literal"


def wanted(topics: "Topics", principals: Mapping[Role, Collection[str]]) -> list[Acl]:
    """The rules for these principals, without repeats, in the order of the table."""
    found = [
        Acl(principal, right.resource, right.of(topics).name, right.operation)
        for role, rights in RIGHTS.items()
        for principal in principals.get(role, ())
        for right in rights
    ]
    return list(dict.fromkeys(found))


def command_of(acl: Acl) -> str:
    """The arguments of `kafka-acls.sh` that add the rule."""
    return (
        f'kafka-acls.sh --bootstrap-server "$PULP_KAFKA" --add --allow-principal {shlex.quote(acl.principal)}'
        f" --operation {acl.operation} --{acl.resource} {shlex.quote(acl.name)}"
    )


def markdown() -> str:
    """The table for docs/operate/kafka-acls.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterable[str]:
    from pulp_events.topics import Topics  # `--help` of the command need not load it

    usual = Topics.named()
    yield "| role | resource | name | operation | for |"
    yield "| --- | --- | --- | --- | --- |"
    for role, rights in RIGHTS.items():
        for right in rights:
            yield f"| {role} | {right.resource} | `{right.of(usual).name}` | {right.operation} | {right.why} |"
