"""Pulp 2's words for states, and the form of its tags. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, LiteralString

from pulp_events.errors import BadInput
from pulp_events.task import State
from pulp_projections.reading.queries import Condition, TaskRow

WORDS: Final = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.SUCCESSFUL: "finished",
    State.FAILED: "error",
    State.CANCELLED: "canceled",
    State.SKIPPED: "skipped",
}
UNUSED: Final = ("accepted", "suspended")
"""States of Pulp 2 that no task here is ever in."""
_OLD: Final = "timed out"
"""A state only of Pulp 2.0, which later releases do not count: scripts still name it among the final states."""
WORD_SQL: Final[LiteralString] = (
    "case t.state when 'successful' then 'finished' when 'failed' then 'error' when 'cancelled' then 'canceled'"
    " when 'cancelling' then (case when t.started_at is null then 'waiting' else 'running' end) else t.state end"
)
"""`word_of` in SQL."""
_PREFIX: Final = "pulp:tag:"
_PARTS: Final = 3


def word_of(task: TaskRow) -> str:
    """Pulp 2's word for the state. It has none for cancelling: such a task is still running, or still waiting."""
    if task.state == State.CANCELLING:
        return "waiting" if task.started_at_ms is None else "running"
    return WORDS[State(task.state)]


def in_states(words: Sequence[str], parameter: LiteralString = "states") -> Condition:
    """The tasks that Pulp 2 shows in any of these states, or in `cancelling`, which only this service has.

    Raises `BadInput` for an unknown word.
    """
    known = {**{word: state for state, word in WORDS.items()}, "cancelling": State.CANCELLING}
    unknown = [word for word in words if word not in known and word not in (*UNUSED, _OLD)]
    if unknown:
        raise BadInput(f"unknown state {', '.join(unknown)}; known are: {', '.join((*known, *UNUSED))}")
    states = [known[word] for word in words if word in known]
    bound: LiteralString = "%(" + parameter + ")s"
    if State.WAITING in states or State.RUNNING in states:
        return Condition(
            "(t.state = any (" + bound + ") or (t.state = 'cancelling' and"
            " (case when t.started_at is null then 'waiting' else 'running' end) = any (" + bound + ")))",
            {parameter: states},
        )
    return Condition("t.state = any (" + bound + ")", {parameter: states})


def shown_tag(tag: str) -> str:
    """The tag as NAMESPACE:TYPE:ID; the clients of Pulp 2 end at any other, so that becomes `pulp:tag:TAG`."""
    return tag if len(tag.split(":", 2)) == _PARTS else _PREFIX + tag


def stored_tags(tags: Iterable[str]) -> list[str]:
    """All tags that are meant by these: a task is found by its tag as it was submitted, and as it is shown."""
    found: dict[str, None] = {}
    for tag in tags:
        bare = tag.removeprefix(_PREFIX)
        found |= dict.fromkeys([tag] if shown_tag(bare) == bare else [bare, _PREFIX + bare])
    return list(found)


def with_tags(tags: Sequence[str]) -> list[Condition]:
    """The tasks that have all of these tags."""
    names: list[LiteralString] = [f"tags{number}" for number in range(len(tags))]
    return [
        Condition("t.tags <> '{}' and t.tags && %(" + name + ")s", {name: stored_tags([tag])})
        for name, tag in zip(names, tags, strict=True)
    ]
