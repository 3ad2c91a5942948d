"""A kind of event and a state that nothing knows yet: mypy and the tests name every place that lacks them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = tuple(f"services/{name}" for name in ("runtime", "accounts", "processor", "worker", "api"))
PACKAGES: Final = ("events", "projections", *SERVICES, "operations", "cli", "deploy")
COPIED: Final = (*PACKAGES, "docs", "tests", "pyproject.toml")
CLOSED_SETS: Final = "tests/unit/test_closed_sets.py"

KIND_IN_TYPES: Final = {"events/pulp_events/task.py", "events/pulp_events/codec.py"}
"""What mypy names for a new kind of event: the state machine, and the check of an event's parts."""
KIND_IN_TESTS: Final = {
    "test_the_codec_has_a_wire_type_for_every_kind_of_event",
    "test_the_package_exports_every_kind_of_event",
    "test_there_is_a_json_schema_of_every_kind_of_event",
    "test_the_client_tells_what_every_kind_of_event_says",
    "test_the_fault_suite_has_a_row_for_every_kind_of_event",
    "test_the_document_of_the_state_machine_has_every_state_and_kind_of_event",
    "test_the_table_names_every_event_and_every_state",
    "events/pulp_events/events.py",
}
STATE_IN_TYPES: Final = {
    "events/pulp_events/task.py",
    "events/pulp_events/decisions.py",
    "services/api/pulp_api/v3/waiting.py",
}
"""What mypy names for a new state: which states are final, what is decided in it, and how a holder in it is described."""
STATE_IN_TESTS: Final = {
    "test_the_drawing_has_every_state",
    "test_the_document_of_the_state_machine_has_every_state_and_kind_of_event",
    "test_the_document_of_the_output_has_every_state",
    "test_the_table_names_every_event_and_every_state",
    "test_the_words_of_the_history",
    "test_the_database_has_every_unfinished_state",
    "test_v2_has_a_word_for_every_state_but_cancelling",
    "test_v3_has_a_word_for_every_state",
    "test_the_reasons_for_waiting_have_words_for_every_state",
    "test_the_client_knows_every_word_of_v2",
    "test_the_client_knows_every_word_of_v3",
    "events/pulp_events/task.py",
    "projections/pulp_projections/writing/projector.py",
    "projections/pulp_projections/reading/queries.sql",
    "projections/pulp_projections/reading/queue.sql",
    "projections/pulp_projections/read_model.sql",
    "projections/pulp_projections/workers.sql",
    "services/api/pulp_api/v2/reasons.py",
    "services/api/pulp_api/v2/report.py",
    "services/api/pulp_api/v2/words.py",
    "services/api/pulp_api/v3/routes.py",
    "services/processor/pulp_processor/reacting/reactor.sql",
    "services/processor/pulp_processor/dispatching/dispatch.sql",
    "services/processor/pulp_processor/dispatching/elected.py",
    "services/worker/pulp_worker/attempt_state.py",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages, documents and tests, where they can be changed."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    return folder


@contextmanager
def changed(file: Path, *changes: tuple[str, str]) -> Iterator[None]:
    before = after = file.read_text(encoding="utf-8")
    for text, instead in changes:
        assert before.count(text) == 1, f"{file.name} has {before.count(text)} times: {text}"
        after = after.replace(text, instead)
    file.write_text(after, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def run(copy: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def files_that_mypy_names(copy: Path, member: str) -> set[str]:
    """The files in which a member reaches `assert_never`. Any other error of types fails."""
    found = run(copy, "mypy", *PACKAGES).splitlines()[:-1]
    assert [line for line in found if "assert_never" not in line or member not in line] == []
    return {line.split(":", 1)[0] for line in found}


def names_that_tests_name(copy: Path) -> set[str]:
    """The tests that fail; of those about one place each, the files of these places."""
    tables = ("tests/unit/test_events_table.py", "tests/unit/test_events_names.py")
    found = re.findall(
        r"^FAILED \S+::(\w+)(?:\[(.*?)\])?", run(copy, "pytest", "-q", CLOSED_SETS, *tables), re.MULTILINE
    )
    return {place.split(": ")[0] or test for test, place in found}


def test_every_place_that_lacks_a_made_up_kind_of_event_is_named(copy: Path) -> None:
    paused = "@final\nclass Paused(Struct, frozen=True, kw_only=True, gc=False):\n    pass\n\n\n"
    with changed(copy / "events/pulp_events/events.py", ("\nData = Accepted", f"\n{paused}Data = Paused | Accepted")):
        assert files_that_mypy_names(copy, "Paused") == KIND_IN_TYPES
        assert names_that_tests_name(copy) >= KIND_IN_TESTS


def test_every_place_that_lacks_a_made_up_state_is_named(copy: Path) -> None:
    made_up = ('    SKIPPED = "skipped"\n', '    SKIPPED = "skipped"\n    PAUSED = "paused"\n')
    unfinished = ("case State.WAITING | State.RUNNING |", "case State.PAUSED | State.WAITING | State.RUNNING |")
    with changed(copy / "events/pulp_events/task.py", made_up):
        assert files_that_mypy_names(copy, "PAUSED") == STATE_IN_TYPES
    with changed(copy / "events/pulp_events/task.py", made_up, unfinished):  # else nothing can be imported
        assert names_that_tests_name(copy) >= STATE_IN_TESTS
