"""The words for task states: one table for input and output. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from pulp_console.groups import suggestion

from pulp_admin.exits import CANCELLED, FAILED, SKIPPED


class StateWord(NamedTuple):
    """A state in every spelling."""

    guide: str
    """The user guide's word, for people."""
    pulp2: str
    """The word of the v2 dialect, which `--output json` prints."""
    pulp3: str
    """The word of the v3 dialect."""
    synonyms: tuple[str, ...] = ()
    """Other spellings that users may type."""
    exit_code: int | None = None
    """The exit code of `watch` for a final state."""


STATES: Final = (
    StateWord("Waiting", "waiting", "waiting", ("pending", "queued")),
    StateWord("Running", "running", "running", ("started",)),
    StateWord("Cancelling", "cancelling", "canceling"),
    StateWord("Successful", "finished", "completed", ("success", "succeeded"), exit_code=0),
    StateWord("Error", "error", "failed", ("failure",), exit_code=FAILED),
    StateWord("Cancelled", "canceled", "canceled", ("cancelled",), exit_code=CANCELLED),
    StateWord("Skipped", "skipped", "skipped", exit_code=SKIPPED),
)
_NEVER: Final = {
    word: StateWord(word.capitalize(), word, word)
    for word in ("accepted", "suspended", "timed out")  # the last one is only in 2.0
}
"""States of Pulp 2 that no task here is ever in. Scripts name them, and the server takes them."""
UNFINISHED: Final = tuple(state for state in STATES if state.exit_code is None)
_BY_SPELLING: Final = {
    spelling.lower(): state for state in STATES for spelling in (state.guide, state.pulp2, state.pulp3, *state.synonyms)
}
_UNKNOWN: Final = StateWord("Unknown", "", "")


class UnknownState(ValueError):
    """The text is not a state in any spelling."""


def state_of(word: object) -> StateWord:
    """The state that a server names, in either dialect; `Unknown` for a word of a newer server."""
    return _BY_SPELLING.get(str(word).lower(), _UNKNOWN)


def state_of_report(report: object) -> StateWord:
    """The state in a report of the v2 dialect, which has no word of its own for cancelling."""
    if not isinstance(report, dict):
        return _UNKNOWN
    return state_of("cancelling" if report.get("cancelling") else report.get("state"))


def states_in(texts: Iterable[str]) -> list[StateWord]:
    """The states that a user names: any spelling in any case, several with commas between. Raises `UnknownState`."""
    words = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    found = []
    for word in words:
        state = _BY_SPELLING.get(word.lower()) or _NEVER.get(word.lower())
        if state is None:
            known = ", ".join(item.guide for item in STATES)
            raise UnknownState(f"{word!r} is not a state; they are {known}.{suggestion(word, spellings())}")
        found.append(state)
    return list(dict.fromkeys(found))


def spellings() -> list[str]:
    """Every word that `states_in` takes."""
    return list(_BY_SPELLING)
