"""Random requests for Pulp 3's list of tasks: filters, expressions, orders, pages, fields, and sometimes a mistake."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from tests.support.lists.world import KEYS, NAMES, TAGS, ListedTask, World

STATES: Final = ("waiting", "skipped", "running", "completed", "failed", "canceled", "canceling")
TIMES: Final = ("pulp_created", "started_at", "finished_at", "unblocked_at")
ORDERS: Final = (
    *("pulp_created", "pulp_last_updated", "pulp_id", "pk", "state", "name", "logging_cid", "started_at"),
    *("finished_at", "unblocked_at", "error", "result", "reserved_resources_record", "immediate", "deferred"),
    *("versions", "profile_options", "pulp_api_version"),
)
FIELDS: Final = (
    *("pulp_href", "prn", "pulp_created", "pulp_last_updated", "state", "name", "logging_cid", "created_by"),
    *("unblocked_at", "started_at", "finished_at", "error", "worker", "parent_task", "child_tasks", "task_group"),
    *("progress_reports", "created_resources", "created_resource_prns", "reserved_resources_record", "result"),
    "pulp_api_version",
)
MINIMAL: Final = frozenset(
    [
        "pulp_href",
        "prn",
        "pulp_created",
        "pulp_last_updated",
        "pulp_api_version",
        "name",
        "state",
        "unblocked_at",
        "started_at",
        "finished_at",
        "worker",
    ]
)
OWN: Final = frozenset(
    ["rerun_of", "rerun_of__isnull", "reruns__isnull", "tags", "pulp_id__startswith", "purged", "arguments__contains"]
)
"""The filters of this service besides those of Pulp 3."""
BAD: Final = (
    *(("bogus", "1"), ("state", "nope"), ("state", "Running"), ("state__ne", "cancelled"), ("name__icontains", "s")),
    *(("started_at__gte", "garbage"), ("pulp_created", "2023-13-01"), ("finished_at__range", "2023-11-14T22:00:00Z")),
    *(("unblocked_at__range", "a,b"), ("pulp_id__in", "zzz"), ("task_group", "garbage"), ("parent_task", "")),
    *(("child_tasks", "/pulp/api/v3/workers/00000000-0000-4000-8000-000000000000/"), ("ordering", "bogus")),
    *(("ordering", "name,-bogus"), ("task_group", "/pulp/api/v3/tasks/00000000-0000-4000-8000-000000000000/")),
    *(("parent_task", "/pulp/api/v3/tasks/zzz/"), ("pulp_created__", "2023-11-14"), ("started_at__isnull", "garbage")),
    *(("limit", "-1"), ("offset", "x"), ("limit", "0"), ("prn__in", "garbage"), ("pulp_href__in", "garbage")),
    *(("name__in", ""), ("state", ""), ("pulp_id__in", ""), ("state__in", "nope"), ("name", "a\x00b"), ("name", "  ")),
    *(("created_resources", "garbage"), ("worker", "w1"), ("worker", ""), ("q", "bogus=1"), ("q", "name=")),
    *(("q", "state=nope OR name=a"), ("q", "name=a AND q=b"), ("page_size", "3"), ("format", "json")),
    *(("finished_at__range", ""), ("state__in", ",waiting,"), ("name__in", "sync,,publish"), ("name", " sync ")),
    *(("logging_cid", ""), ("reserved_resources", ""), ("reserved_resources__in", ""), ("shared_resources", "")),
)
"""Values that are wrong, empty or odd."""


@dataclass(frozen=True, slots=True)
class Term:
    """A filter in an expression."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts of an expression joined by `AND` or `OR`; one part behind `NOT`."""

    word: str
    parts: "Sequence[Joined | Term]"


Expression = Joined | Term


@dataclass(frozen=True, slots=True)
class Request:
    """The query as it is sent, and the expression that its `q` is the text of."""

    query: tuple[tuple[str, str], ...]
    expression: Expression | None = None

    @property
    def is_own(self) -> bool:
        """Whether it asks for what Pulp 3 does not have."""
        return any(name in OWN for name, _value in self.query) or any(
            term.name in OWN for term in terms(self.expression)
        )

    def last(self, name: str) -> str | None:
        """The value of a parameter that counts; None if the parameter is missing."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def all(self, name: str) -> list[str]:
        """All values of a parameter."""
        return [value for key, value in self.query if key == name]


def terms(expression: Expression | None) -> list[Term]:
    """The filters of an expression."""
    if expression is None:
        return []
    if isinstance(expression, Term):
        return [expression]
    return [term for part in expression.parts for term in terms(part)]


class Requests:
    """Makes requests about the tasks of a world; the same ones for the same seed."""

    def __init__(
        self, world: World, seed: int, *, shows_ids: bool = False, without: Collection[str] = frozenset()
    ) -> None:
        """With `shows_ids` each answer shows which tasks it has, whatever fields it is asked for.

        `without` names filters, also all those of a field, and orders (`ordering=FIELD`) that are not used, or hardly.
        """
        self._world, self._chance, self._shows_ids, self._without = world, Random(seed), shows_ids, without
        self._orders = [name for name in ORDERS if f"ordering={name}" not in without]

    def one(self) -> Request:
        """The next request."""
        chance = self._chance
        query = [self._filter() for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3)))]
        expression = self._expression(2) if chance.random() < 0.2 else None
        if expression is not None:
            query.append(("q", _text(expression)))
        if chance.random() < 0.6:
            names = chance.sample(self._orders, chance.choice((1, 1, 2, 3)))
            query.append(("ordering", ",".join(chance.choice(("", "-")) + name for name in names)))
        if chance.random() < 0.6:
            query.append(("limit", str(chance.choice((1, 2, 3, 7, 20, 100, 5000)))))
        if chance.random() < 0.4:
            query.append(("offset", str(chance.choice((0, 1, 2, 5, 13, 50, 1000)))))
        if chance.random() < 0.2:
            names = chance.sample((*FIELDS, "bogus"), chance.choice((1, 2, 5)))
            name = chance.choice(("fields", "exclude_fields"))
            if self._shows_ids:
                names = [each for each in names if each != "pulp_href"]
                names += ["pulp_href"] if name == "fields" else ["bogus"]
            query += [(name, ",".join(names))] if chance.random() < 0.5 else [(name, each) for each in names]
        if chance.random() < 0.08:
            query.append(("minimal", chance.choice(("true", "1", "false", "garbage"))))
        if chance.random() < 0.15:
            query += chance.sample(BAD, chance.choice((1, 1, 1, 2)))
        return Request(tuple(query), expression)

    def _expression(self, depth: int) -> Expression:
        chance = self._chance
        if not depth or chance.random() < 0.3:
            return Term(*self._filter(is_quoted=True))
        word = chance.choice(("NOT", "AND", "OR"))
        count = 1 if word == "NOT" else 2
        return Joined(word, [self._expression(depth - 1) for _ in range(count)])

    def _filter(self, *, is_quoted: bool = False) -> tuple[str, str]:
        kinds: list[Callable[[], tuple[str, str]]] = [
            *(self._state, self._name, self._name, self._cid, self._time, self._time, self._time),
            *(self._resource, self._resource, self._relation, self._identity, self._own),
        ]
        while True:
            name, value = self._chance.choice(kinds)()
            if name in self._without or name.partition("__")[0] in self._without:
                continue
            # The two have no way to write the same text with a quote or a backslash in an expression.
            if not is_quoted or ("'" not in value and '"' not in value and "\\" not in value and value):
                return name, value

    def _task(self) -> ListedTask:
        return self._chance.choice(self._world.tasks)

    def _state(self) -> tuple[str, str]:
        lookup = self._chance.choice(("", "__ne", "__in"))
        return "state" + lookup, self._listed(STATES) if lookup == "__in" else self._chance.choice(STATES)

    def _name(self) -> tuple[str, str]:
        lookup = self._chance.choice(("", "__ne", "__in", "__contains"))
        name = self._chance.choice(NAMES)
        if lookup == "__in":
            return "name__in", self._listed([each for each in NAMES if "," not in each])
        if lookup == "__contains":
            start = self._chance.randrange(len(name))
            return "name__contains", name[start : start + self._chance.randint(1, 4)].strip() or "s"
        return "name" + lookup, name

    def _cid(self) -> tuple[str, str]:
        cid = self._task().cid
        if self._chance.random() < 0.5:
            return "logging_cid", cid
        return "logging_cid__contains", cid[: self._chance.randint(1, 4)]

    def _time(self) -> tuple[str, str]:
        name = self._chance.choice(TIMES)
        lookup = self._chance.choice(("", "__lt", "__lte", "__gt", "__gte", "__range", "__isnull"))
        if lookup == "__isnull":
            return name + lookup, self._chance.choice(("true", "false", "True", "1", "0"))
        if lookup == "__range":
            return name + lookup, f"{self._instant()},{self._instant()}"
        return name + lookup, self._instant()

    def _instant(self) -> str:
        task, chance = self._task(), self._chance
        times: list[datetime] = [each for each in (task.created, task.started, task.finished) if each]
        time = chance.choice(times) + timedelta(microseconds=chance.choice((0, 0, 0, 1, -1, 500_000)))
        form = chance.choice(("Z", "offset", "naive"))
        if form == "Z":
            return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if form == "naive":
            return time.strftime("%Y-%m-%d %H:%M:%S.%f")
        return (time + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00")

    def _resource(self) -> tuple[str, str]:
        name = self._chance.choice(("reserved", "exclusive", "shared")) + "_resources"
        keys = (*KEYS, KEYS[0], "repository:none")
        if self._chance.random() < 0.4:
            return name + "__in", self._listed(keys)
        return name, self._chance.choice(keys)

    def _relation(self) -> tuple[str, str]:
        name, chance = self._chance.choice(("parent_task", "child_tasks", "task_group")), self._chance
        if name == "task_group":
            groups = [task.group for task in self._world.tasks if task.group]
            return name, chance.choice((_href("task-groups", chance.choice(groups)), _prn("taskgroup", groups[0])))
        task = self._task()
        known = (task.parent or task.task_id) if name == "parent_task" else task.task_id
        return name, chance.choice((_href("tasks", known), _prn("task", known), "http://pulp" + _href("tasks", known)))

    def _identity(self) -> tuple[str, str]:
        ids = [self._task().task_id for _ in range(self._chance.choice((1, 2, 5)))]
        if self._chance.random() < 0.3:
            ids.append(UUID(int=self._chance.getrandbits(128), version=4))
        form = self._chance.choice(("pulp_id", "pulp_href", "prn"))
        shown: dict[str, Callable[[UUID], str]] = {
            "pulp_id": str,
            "pulp_href": lambda each: _href("tasks", each),
            "prn": lambda each: _prn("task", each),
        }
        return form + "__in", ",".join(shown[form](each) for each in ids)

    def _own(self) -> tuple[str, str]:
        chance, task = self._chance, self._task()
        return chance.choice(
            (
                ("rerun_of", _href("tasks", task.rerun_of or task.task_id)),
                ("rerun_of__isnull", chance.choice(("true", "false"))),
                ("reruns__isnull", chance.choice(("true", "false"))),
                ("tags", self._listed(TAGS)),
                ("pulp_id__startswith", str(task.task_id)[: chance.choice((1, 8, 10, 15))]),
                ("purged", chance.choice(("true", "false"))),
            )
        )

    def _listed(self, values: Sequence[str]) -> str:
        return self._chance.choice((",", ", ", ",")).join(self._chance.sample(values, self._chance.choice((1, 2, 3))))


def _href(folder: str, known: object) -> str:
    return f"/pulp/api/v3/{folder}/{known}/"


def _prn(kind: str, known: object) -> str:
    return f"prn:core.{kind}:{known}"


def _text(expression: Expression) -> str:
    if isinstance(expression, Term):
        return f"{expression.name}='{expression.value}'"
    if expression.word == "NOT":
        return f"NOT ({_text(expression.parts[0])})"
    return "(" + f" {expression.word} ".join(_text(part) for part in expression.parts) + ")"
