"""Each guard matters: with it taken out, tests fail that pass with it.

A guard is taken out of a copy of the packages by replacing its text, which must be there exactly once; then the tests
that are to notice run in a process that imports the copy. So a guard that is moved or written otherwise, and a test that
no longer notices, fail here.
"""

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from pulp_worker.descendants import adopt_orphans, children_of, tree_of

from tests.support.backends import Backend

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "events",
    "projections",
    "services/runtime",
    "services/accounts",
    "services/processor",
    "services/worker",
    "services/api",
    "operations",
)
COPIED: Final = (*PACKAGES, "deploy", "tests", "pyproject.toml")
FAILED: Final = 1
"""Exit code of pytest: tests ran, and some failed. Another one means that they could not run."""


class Guard(NamedTuple):
    """What is taken out, and which tests notice."""

    path: str
    text: str
    instead: str
    module: str
    """That it is in: the copy must be what is imported."""
    tests: tuple[str, ...]


PROJECTOR = "projections/pulp_projections/writing/projector.py"
TASK = "events/pulp_events/task.py"
GUARDS_TEST = "tests/contract/test_projectors.py"
PRODUCER_TEST = "tests/integration/test_producer_guards.py"
SCHEDULES_TEST = "tests/model/test_schedules.py::test_no_schedule_breaks_a_promise"
PROCESS_TEST = "tests/integration/test_operation_process.py"
ORPHANS_TEST = "tests/unit/test_orphan_removal.py"
NORMALISE_TEST = "tests/unit/test_yum_normalise.py"
TABLE_TEST = "tests/unit/test_events_table.py"

GUARDS: Final[dict[str, Guard]] = {
    "the fence": Guard(
        "projections/pulp_projections/writing/store.sql",
        "where partition = %(partition)s and next_offset = %(expected)s;",
        "where partition = %(partition)s;",
        "pulp_projections.writing.store",
        (GUARDS_TEST,),
    ),
    "the fence of small batches": Guard(
        "projections/pulp_projections/writing/small_batch.sql",
        "where partition = %(partition)s and next_offset = %(expected)s and exists (select from entered)",
        "where partition = %(partition)s and exists (select from entered)",
        "pulp_projections.writing.small_batch",
        (GUARDS_TEST,),
    ),
    "the cause of a task in a small batch": Guard(
        PROJECTOR,
        "if changes.dead_letters or changes.causes:",
        "if changes.dead_letters:",
        "pulp_projections.writing.projector",
        ("tests/integration/test_small_batch.py",),
    ),
    "the seek to the positions in Postgres": Guard(
        "services/processor/pulp_processor/app.py",
        "            await self.consumer.seek_wait({TP(topic, partition): offset for partition, offset in positions.items()})\n",
        "",
        "pulp_processor.app",
        ("tests/integration/test_processor_seek.py",),
    ),
    "the first offset of a batch": Guard(
        PROJECTOR,
        "if rest and rest[0].offset != next_offset:",
        "if rest and rest[0].offset < 0:",
        "pulp_projections.writing.projector",
        (GUARDS_TEST,),
    ),
    "no hole in a batch": Guard(
        PROJECTOR,
        "if rest and rest[-1].offset - rest[0].offset != len(rest) - 1:",
        "if rest and rest[-1].offset < 0:",
        "pulp_projections.writing.projector",
        (GUARDS_TEST,),
    ),
    "what was written before is left out": Guard(
        PROJECTOR,
        "rest = [record for record in records if record.offset >= next_offset]",
        "rest = list(records)",
        "pulp_projections.writing.projector",
        (GUARDS_TEST,),
    ),
    "the batch before, for one that is folded while it is written": Guard(
        "projections/pulp_projections/writing/batch_fold.py",
        "self.known.update(after._fold.evolved(self.task_ids))",
        "pass",
        "pulp_projections.writing.batch_fold",
        ("tests/unit/test_batch_fold.py",),
    ),
    "the very batch that was folded early": Guard(
        PROJECTOR,
        "if begun is None or begun.records is not records or refused:",
        "if begun is None or refused:",
        "pulp_projections.writing.projector",
        ("tests/integration/test_projector_ahead.py",),
    ),
    "the order guard": Guard(
        "projections/pulp_projections/writing/store.sql",
        "where t.task_id = c.task_id and t.version < c.version;",
        "where t.task_id = c.task_id;",
        "pulp_projections.writing.store",
        (GUARDS_TEST,),
    ),
    "the order guard of small batches": Guard(
        "projections/pulp_projections/writing/small_batch.sql",
        "and t.task_id = c.task_id and t.version < c.version",
        "and t.task_id = c.task_id",
        "pulp_projections.writing.small_batch",
        (GUARDS_TEST,),
    ),
    "the rise of sequence": Guard(
        TASK,
        "if data.attempt_id.int != task.attempt_id.int or data.sequence <= task.sequence:",
        "if data.attempt_id.int != task.attempt_id.int:",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "the attempt of progress": Guard(
        TASK,
        "if data.attempt_id.int != task.attempt_id.int or data.sequence <= task.sequence:",
        "if data.sequence <= task.sequence:",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "the attempt of the end": Guard(
        TASK,
        "    if data.attempt_id != task.attempt_id:\n",
        "    if task.attempt_id is None and data.attempt_id is not None:\n",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "a later attempt only": Guard(
        TASK,
        "if task.state is _RUNNING and data.attempt <= task.attempt:",
        "if task.state is _RUNNING and data.attempt < 0:",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "one partition for a task": Guard(
        "projections/pulp_projections/writing/fold.py",
        "if task is None or task.partition == record.partition:",
        "if task is None or task.partition >= 0:",
        "pulp_projections.writing.fold",
        ("tests/unit/test_fold.py",),
    ),
    "no two conflicting claims": Guard(
        "projections/pulp_projections/migrations/0001_operational.sql",
        "    primary key (task_id, resource),\n"
        "    constraint reservations_conflict exclude using gist (resource with =, slot with &&)\n",
        "    primary key (task_id, resource)\n",
        "pulp_projections.migrations",
        ("tests/integration/test_claim_order.py::test_a_conflicting_reservation_is_refused_by_the_database",),
    ),
    "only what is final is let go of as ended": Guard(
        "services/worker/pulp_worker/claims.sql",
        "     where t.task_id = any (%(task_ids)s::uuid[])\n"
        "       and t.state not in ('waiting', 'running', 'cancelling')  -- `in` would have the index by state read\n",
        "     where t.task_id = any (%(task_ids)s::uuid[])\n",
        "pulp_worker.claims",
        ("tests/integration/test_worker_chains.py::test_what_is_not_final_is_not_let_go_of_as_ended",),
    ),
    "the wait for the own started": Guard(
        "services/worker/pulp_worker/attempt.py",
        "            standing = await tools.standings.after(self.claim, position)\n",
        "            return await self._inherit()\n",
        "pulp_worker.attempt",
        ("tests/integration/test_worker_cancel.py::test_no_task_starts_after_a_cancel_that_precedes_it_in_the_log",),
    ),
    "the end of operations with the lease": Guard(
        "services/worker/pulp_worker/worker.py",
        "        for attempt in self._slots.attempts:\n            attempt.lose()\n        self._registration.become_another()\n",
        "        self._registration.become_another()\n",
        "pulp_worker.worker",
        (SCHEDULES_TEST,),
    ),
    "what an operation has started ends with it": Guard(
        "services/worker/pulp_worker/guardian.py",
        "        self._end_all()\n",
        "",
        "pulp_worker.guardian",
        (f"{PROCESS_TEST}::test_an_orphan_is_dead_before_the_run_has_ended",),
    ),
    "the end of a plain operation with the lease": Guard(
        "services/worker/pulp_worker/guardian.py",
        "            self._kill()\n            self._until_s = self._exits_by_s = math.inf\n",
        "            self._until_s = self._exits_by_s = math.inf\n",
        "pulp_worker.guardian",
        (f"{PROCESS_TEST}::test_what_hangs_ends_with_the_lease_though_nobody_looks",),
    ),
    "what was claimed without an answer is given back": Guard(
        "services/worker/pulp_worker/claiming.py",
        "            self._on_doubt()\n",
        "",
        "pulp_worker.claiming",
        (SCHEDULES_TEST,),
    ),
    "the idempotent producer": Guard(
        "events/pulp_events/log.py",
        "                enable_idempotence=True,\n",
        "                enable_idempotence=False,\n",
        "pulp_events.log",
        (f"{PRODUCER_TEST}::test_an_event_whose_acknowledgement_was_lost_is_in_the_log_once_and_in_its_place",),
    ),
    "the acknowledgement of all replicas": Guard(
        "events/pulp_events/log.py",
        '                enable_idempotence=True,\n                acks="all",\n',
        "                acks=1,\n",
        "pulp_events.log",
        (f"{PRODUCER_TEST}::test_an_append_waits_for_all_replicas_in_sync",),
    ),
    "the stop of orphan removal at a record that cannot be read": Guard(
        "operations/pulp_operations/versions.py",
        "            raise damaged[0]\n",
        "            pass\n",
        "pulp_operations.versions",
        (ORPHANS_TEST,),
    ),
    "the fence of content that was removed": Guard(
        "operations/pulp_operations/fences.py",
        '        _pass(file, token, "content was removed")\n        yield\n',
        "        yield\n",
        "pulp_operations.fences",
        (f"{ORPHANS_TEST}::test_a_sync_whose_content_may_be_gone_saves_no_version",),
    ),
    "the count of the packages that primary promises": Guard(
        "operations/pulp_operations/reading/primary.py",
        "        if named < promised:\n",
        "        if False:\n",
        "pulp_operations.reading.primary",
        (f"{NORMALISE_TEST}::test_fewer_packages_than_promised_are_an_error",),
    ),
    "the bound of one part of a document": Guard(
        "operations/pulp_operations/reading/documents.py",
        "        if self._fed - self._start > MOST_ELEMENT_BYTES + _PIECE:\n",
        "        if False:\n",
        "pulp_operations.reading.documents",
        (f"{NORMALISE_TEST}::test_one_text_is_bounded",),
    ),
    "a credential for its own URLs alone": Guard(
        "services/worker/pulp_worker/fetching/fetcher.py",
        "        credential = self._credential if self._credential is not None and self._credential.covers(to.url) else None\n",
        "        credential = self._credential\n",
        "pulp_worker.fetching.fetcher",
        ("tests/unit/test_feed_credentials.py::test_it_is_sent_to_its_urls_and_to_no_other",),
    ),
    "the files of credentials are nobody else's": Guard(
        "services/worker/pulp_worker/fetching/credentials.py",
        "            if not stat.S_ISREG(found.st_mode) or not (is_own or is_root_s):\n",
        "            if not stat.S_ISREG(found.st_mode):\n",
        "pulp_worker.fetching.credentials",
        ("tests/unit/test_feed_credentials.py::test_a_file_that_others_may_read_is_refused",),
    ),
    "a sync that would remove most packages": Guard(
        "operations/pulp_operations/syncing/comparing.py",
        "    if is_much and (is_emptied or changes.removed > _FEW):\n",
        "    if False:\n",
        "pulp_operations.syncing.comparing",
        ("tests/unit/test_sync_steps.py::test_a_sync_that_would_remove_too_much_is_refused",),
    ),
    "a sync starts over": Guard(
        "operations/pulp_operations/syncing/run.py",
        "        return may_have_changed(error) and await self.feed.changed()\n",
        "        return False\n",
        "pulp_operations.syncing.run",
        ("tests/integration/test_yum_changes.py::test_a_sync_starts_over_when_the_metadata_has_gone",),
    ),
    "the checksums of a metalink": Guard(
        "operations/pulp_operations/feeds/sources.py",
        "            if wanted and not any(_is(content, digests) for digests in wanted):\n",
        "            if False:\n",
        "pulp_operations.feeds.sources",
        ("tests/unit/test_feeds.py::test_no_mirror_has_the_repomd_of_the_metalink",),
    ),
    "a server that is dead is given up": Guard(
        "services/worker/pulp_worker/fetching/standing.py",
        "        return is_hopeless(self.rounds, self.lost_s, most_rounds) or self.ready_s > latest_s\n",
        "        return False\n",
        "pulp_worker.fetching.standing",
        ("tests/unit/test_fetch_patience.py::test_a_server_that_is_given_up_is_not_asked",),
    ),
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and the tests, where they can be changed."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def run(copy: Path, backend: Backend) -> Run:
    """Runs Python in the copy, on the backend of this run."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(copy / name) for name in (*PACKAGES, "deploy")),
        "PYTHONDONTWRITEBYTECODE": "1",  # two changes within a second must not be taken for one
        "PULP_KAFKA": backend.kafka,
        "PULP_POSTGRES": backend.postgres,
    }

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        before = set(children_of(os.getpid()))
        command = [sys.executable, *arguments]
        try:
            return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=240)
        finally:
            end_orphans(set(children_of(os.getpid())) - before)

    adopt_orphans()
    return run


def end_orphans(adopted: set[int]) -> None:
    """End what a run has left behind: where the guard that ends an operation is gone, nothing else ends it."""
    for pid in adopted:
        for each in tree_of(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        os.waitpid(pid, 0)


def pytest_of(run: Run, tests: set[str]) -> "subprocess.CompletedProcess[str]":
    return run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--backend", "given", *sorted(tests))


@contextmanager
def without(guard: Guard, copy: Path) -> Iterator[None]:
    """The copy, with the guard taken out of it."""
    file = copy / guard.path
    before = file.read_text(encoding="utf-8")
    assert before.count(guard.text) == 1, f"{guard.path} has {before.count(guard.text)} times: {guard.text}"
    file.write_text(before.replace(guard.text, guard.instead), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def test_with_every_guard_in_place_these_tests_pass(run: Run) -> None:
    result = pytest_of(run, {test for guard in GUARDS.values() for test in guard.tests})
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", GUARDS)
def test_without_it_a_test_fails(name: str, run: Run, copy: Path) -> None:
    guard = GUARDS[name]
    assert Path(importlib.import_module(guard.module).__file__ or "").is_relative_to(ROOT)
    with without(guard, copy):
        imported = run("-c", f"import {guard.module} as module; print(module.__file__)").stdout.strip()
        assert Path(imported).parent == (copy / guard.path).parent, "another copy is imported than the one changed"
        result = pytest_of(run, set(guard.tests))
    assert result.returncode == FAILED, f"nothing notices that {name} is gone:\n{result.stdout}{result.stderr}"
