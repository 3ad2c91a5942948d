"""A new member of a closed set is missing nowhere: there is one test for each place, so that a failure names it."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, get_args

import click
import pulp_events
import pytest
from pulp_accounts import quotas, users
from pulp_admin import audit_options, bulk, history
from pulp_admin.subscription_changes import create
from pulp_admin.words import STATES, state_of
from pulp_api.v2 import words as v2_words
from pulp_api.v3 import tasks, waiting
from pulp_deploy import acls
from pulp_events import audit, codec, schemas, task
from pulp_events.events import Access, Data, Outcome
from pulp_events.filters import kind_of
from pulp_events.findings import Severity
from pulp_events.task import FINAL, Reason, State
from pulp_events.webhook import WebhookState
from pulp_projections import grants, migrations
from pulp_runtime.preconditions import watch

from tests.faults import rules
from tests.support.choices import (
    ROOT,
    functions_that_choose_by_kind,
    functions_that_choose_by_state,
    functions_that_compare_with,
    statements_that_name_states,
)

STATES_DECIDED: Final = frozenset(
    {"waiting", "running", "cancelling", "successful", "failed", "cancelled", "skipped"},
)
"""What the places below were written for. Add a new state when each of them has been decided for it."""
KINDS_DECIDED: Final = frozenset(
    {"Accepted", "Started", "Progress", "AttemptFailed", "CancelRequested", "Finished", "Purged", "Unparked"}
)
"""The same for kinds of events."""
MORE_DECIDED: Final[dict[str, tuple[type[StrEnum], frozenset[str]]]] = {
    "Access": (Access, frozenset({"EXCLUSIVE", "SHARED"})),
    "Outcome": (Outcome, frozenset({"SUCCESSFUL", "FAILED", "CANCELLED", "SKIPPED"})),
    "Reason": (
        Reason,
        frozenset(
            {
                *("DUPLICATE", "UNKNOWN_TASK", "ATTEMPT_TAKEN", "CANCEL_CAME_FIRST", "NOT_STARTED", "STALE"),
                *("NOT_CANCELLABLE", "ALREADY_REQUESTED", "FINAL", "UNFINISHED", "ALREADY_PURGED"),
                *("WRONG_PARTITION", "UNKNOWN_TYPE", "DEAD_LETTER"),
            }
        ),
    ),
}
"""The same for enumerations that functions compare with."""
TABLES: Final[dict[str, tuple[Mapping[Any, object], type[StrEnum]]]] = {
    "pulp_events.audit.OUTCOMES": (audit.OUTCOMES, audit.What),
    "pulp_accounts.quotas.DEFAULTS": (quotas.DEFAULTS, users.Role),
    "pulp_deploy.acls.DESCRIPTIONS": (acls.DESCRIPTIONS, acls.Role),
    "pulp_deploy.acls.RIGHTS": (acls.RIGHTS, acls.Role),
    "pulp_projections.grants._VIEWS": (grants._VIEWS, grants.Process),
    "pulp_runtime.preconditions.watch._LEVELS": (watch._LEVELS, Severity),
}
DOCS: Final = Path(__file__).parents[2] / "docs"


def kind_words() -> set[str]:
    """Every kind as it is written in wire types: `cancel-requested` for `CancelRequested`."""
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower() for kind in get_args(Data)}


@pytest.mark.parametrize("place", list(functions_that_choose_by_state()))
def test_a_function_that_chooses_by_state_is_decided_for_every_state(place: str) -> None:
    assert set(State) == STATES_DECIDED, f"decide what {place} does in a new state"


@pytest.mark.parametrize("place", list(statements_that_name_states(STATES_DECIDED)))
def test_sql_that_names_states_is_decided_for_every_state(place: str) -> None:
    assert set(State) == STATES_DECIDED, f"decide what {place} does in a new state"


@pytest.mark.parametrize("place", list(functions_that_choose_by_kind(KINDS_DECIDED)))
def test_a_function_that_asks_for_a_kind_of_event_is_decided_for_every_kind(place: str) -> None:
    assert {kind.__name__ for kind in get_args(Data)} == KINDS_DECIDED, f"decide what {place} does with a new kind"


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name in MORE_DECIDED for place in functions_that_compare_with(name)]
)
def test_a_function_that_compares_is_decided_for_every_member(name: str, place: str) -> None:
    members, decided = MORE_DECIDED[name]
    assert {member.name for member in members} == decided, f"decide what {place} does with a new member of {name}"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_every_member(name: str) -> None:
    table, members = TABLES[name]
    assert set(table) == set(members)


def test_the_database_has_every_unfinished_state() -> None:
    found: list[str] = []
    for name in migrations.names():
        text = (Path(migrations.__file__).parent / name).read_text(encoding="utf-8")
        found += re.findall(r"function is_final\(.*?\$\$select state not in \((.*?)\)\$\$", text, re.DOTALL)
    assert set(re.findall(r"'(\w+)'", found[-1])) == set(State) - FINAL


def test_the_codec_has_a_wire_type_for_every_kind_of_event() -> None:
    assert set(codec.TYPES) == set(get_args(Data))


def test_the_package_exports_every_kind_of_event() -> None:
    assert {kind.__name__ for kind in get_args(Data)} <= set(pulp_events.__all__)


def test_there_is_a_json_schema_of_every_kind_of_event() -> None:
    found = {path.name for path in schemas.FOLDER.glob("org.pulpproject.task.*.json")}
    of_events = set(codec.EVERY_TYPE.values())
    assert found == {f"{wire_type}.json" for wire_type in (*of_events, "org.pulpproject.task.state.v1")}
    assert {kind_of(wire_type) for wire_type in of_events} == kind_words()


def test_the_client_tells_what_every_kind_of_event_says() -> None:
    assert set(history.TOLD) == kind_words()


def test_the_live_page_hears_of_every_kind_of_event_and_of_every_version() -> None:
    source = (ROOT / "services" / "web" / "src" / "model" / "stream.ts").read_text(encoding="utf-8")
    found = re.search(r"export const TYPES = (\[[^]]*\])", source)
    versions = set(re.findall(r"\$\{PREFIX\}\$\{name\}\.(v\d+)", source))
    assert found is not None
    heard = {f"org.pulpproject.task.{word}.{version}" for word in json.loads(found[1]) for version in versions}
    assert set(codec.EVERY_TYPE.values()) <= heard
    assert set(json.loads(found[1])) == kind_words()


def test_the_command_of_the_audit_knows_every_kind_of_event() -> None:
    assert set(audit_options.KINDS) == kind_words()


def test_the_command_of_subscriptions_names_every_kind_of_event() -> None:
    told = " ".join(option.help or "" for option in create.params if isinstance(option, click.Option))
    assert [word for word in kind_words() if not re.search(rf"\b{word}\b", told)] == []


def test_the_document_of_filters_names_every_kind_of_event() -> None:
    [row] = re.findall(r"^\| types \| .*$", (DOCS / "subscribe.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall("`([a-z-]+)`", row)) == kind_words()


def test_the_fault_suite_has_a_row_for_every_kind_of_event() -> None:
    assert set(rules.TABLE) == kind_words()


def test_the_drawing_has_every_state() -> None:
    assert [state.name for state in State if state.name not in str(task.__doc__)] == []


def test_the_document_of_the_state_machine_has_every_state_and_kind_of_event() -> None:
    table = (DOCS / "explain/how-it-works.md").read_text(encoding="utf-8").split("## The state machine")[1]
    assert [word for word in (*State, *kind_words()) if not re.search(rf"\b{word}\b", table)] == []


def test_the_document_of_the_output_has_every_state() -> None:
    text = (DOCS / "reference/output-of-pulp-admin.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"^\| STATE \| `state`, `cancelling` \| (.*) \|$", text, re.MULTILINE)
    assert listed.split(", ") == [state.guide for state in STATES]
    v2 = [v2_words.WORDS.get(state, state.value) for state in State]
    v3 = [tasks.WORDS.get(state) for state in State]
    enums = re.findall(r"\bstate: \{enum: \[(.*)\]\}", text)
    subscriptions, *of_tasks = [words.split(", ") for words in enums]
    assert subscriptions == [state.value for state in WebhookState]
    assert of_tasks == [[word for word in v2 if word != "cancelling"], v2, v3]


def test_the_fault_suite_knows_every_final_state() -> None:
    assert set(FINAL) == rules.ENDED


def test_every_outcome_is_a_final_state() -> None:
    assert {State(outcome.value) for outcome in Outcome} == FINAL


def test_v2_has_a_word_for_every_state_but_cancelling() -> None:
    assert set(v2_words.WORDS) == set(State) - {State.CANCELLING}  # which v2 shows as waiting or running


def test_v3_has_a_word_for_every_state() -> None:
    assert set(tasks.WORDS) == set(State)


def test_the_reasons_for_waiting_have_words_for_every_state() -> None:
    assert set(waiting.IS) == {*State, None}


def test_the_client_knows_every_word_of_v3() -> None:
    assert {state.pulp3 for state in STATES} == {tasks.WORDS.get(state) for state in State}


def test_the_client_knows_every_word_of_v2() -> None:
    assert {state.pulp2 for state in STATES} == {v2_words.WORDS.get(state, state.value) for state in State}


def test_the_client_has_an_exit_code_for_every_final_state() -> None:
    assert {state.pulp3 for state in STATES if state.exit_code is not None} == {
        tasks.WORDS.get(state) for state in FINAL
    }


def test_the_client_has_a_word_for_every_outcome() -> None:
    assert [outcome for outcome in Outcome if not state_of(outcome).pulp2] == []


def test_the_document_of_the_output_has_every_word_for_a_request() -> None:
    text = (DOCS / "reference/output-of-pulp-admin.md").read_text(encoding="utf-8")
    [words] = re.findall(r"\boutcome: \{enum: \[null, (.*)\]\}", text)
    assert words.split(", ") == [*bulk.Word]


def test_the_document_of_the_api_has_every_reason_for_waiting() -> None:
    found = re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "operate/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(waiting.Code) <= set(found)
