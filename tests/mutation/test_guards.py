"""Each guard matters: without it, tests fail that pass with it. A guard is removed from a copy of the packages by
replacing its text, which must occur exactly once; then the tests that should notice run in a process that imports the
copy. So this fails if a guard is moved or rewritten, or if a test no longer notices.
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
COPIED: Final = (*PACKAGES, "deploy", "docs", "tests", "pyproject.toml")
FAILED: Final = 1
"""Pytest's exit code if tests failed. Others mean that they could not run."""


class Guard(NamedTuple):
    """A removed guard, and the tests that must notice."""

    path: str
    text: str
    instead: str
    module: str
    """The module of `path`, to check that the copy is imported."""
    tests: tuple[str, ...]


PROJECTOR = "projections/pulp_projections/writing/projector.py"
TASK = "events/pulp_events/task.py"
DISPATCH_SQL = "services/processor/pulp_processor/dispatching/dispatch.sql"
DISPATCHING = "pulp_processor.dispatching.tables"
CLAIMS_SQL = "services/worker/pulp_worker/claims.sql"
ATTEMPT_STATE = "services/worker/pulp_worker/attempt_state.py"
DISPATCHER_TEST = "tests/integration/test_dispatcher.py"
CHAINS_TEST = "tests/integration/test_worker_chains.py"
GUARDS_TEST = "tests/contract/test_projectors.py"
PRODUCER_TEST = "tests/integration/test_producer_guards.py"
SCHEDULES_TEST = "tests/model/test_schedules.py::test_no_schedule_breaks_a_promise"
REFUSED_WRITES_TEST = "tests/model/test_refused_writes.py"
PROCESS_TEST = "tests/integration/test_operation_process.py"
ORPHANS_TEST = "tests/unit/test_orphan_removal.py"
NORMALISE_TEST = "tests/unit/test_yum_normalise.py"
TABLE_TEST = "tests/unit/test_events_table.py"

GUARDS: Final[dict[str, Guard]] = {
    "the fence": Guard(
        "projections/pulp_projections/writing/target.sql",
        "where partition = %(partition)s and next_offset = %(expected)s\n",
        "where partition = %(partition)s\n",
        "pulp_projections.writing.target",
        (GUARDS_TEST,),
    ),
    "the fence of a task that was healed": Guard(
        "projections/pulp_projections/writing/target.sql",
        "   and heals = %(heals)s\n",
        "",
        "pulp_projections.writing.target",
        ("tests/integration/test_heal.py::test_a_batch_that_waits_for_the_repair_is_folded_again",),
    ),
    "the active generation, before the fence": Guard(
        "projections/pulp_projections/writing/target.sql",
        "{fence} and exists (select from entered)",
        "{fence}",
        "pulp_projections.writing.target",
        ("tests/integration/test_small_batch.py::test_another_generation_is_left_alone",),
    ),
    "the cause of a task in a small batch": Guard(
        "projections/pulp_projections/writing/small_batch.py",
        "return not (changes.dead_letters or changes.restood or changes.freed or changes.causes)",
        "return not (changes.dead_letters or changes.restood or changes.freed)",
        "pulp_projections.writing.small_batch",
        ("tests/integration/test_small_batch.py",),
    ),
    "the seek to the positions in Postgres": Guard(
        "services/processor/pulp_processor/consuming/app.py",
        "            await self.consumer.seek_wait({TP(topic, partition): offset for partition, offset in positions.items()})\n",
        "",
        "pulp_processor.consuming.app",
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
        "elif begun is None or begun.records is not records or refused:",
        "elif begun is None or refused:",
        "pulp_projections.writing.projector",
        ("tests/integration/test_projector_ahead.py",),
    ),
    "the order guard": Guard(
        "projections/pulp_projections/writing/large_batch.sql",
        "where t.task_id = c.task_id and t.version < c.version;",
        "where t.task_id = c.task_id;",
        "pulp_projections.writing.large_batch",
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
        "    if data.attempt_id != task.attempt_id:\n        return _without_attempt(task) if",
        "    if task.attempt_id is None and data.attempt_id is not None:\n        return _without_attempt(task) if",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "a later attempt only": Guard(
        TASK,
        "    if data.attempt <= task.attempt:\n",
        "    if data.attempt < 0:\n",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "the attempt that has failed": Guard(
        TASK,
        "    if data.attempt_id != task.attempt_id:\n        return Ignored(Reason.STALE)\n    # The task",
        "    # The task",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "the bound of a wrong clock on the next attempt": Guard(
        TASK,
        "    return min(max(wanted_ms, at_ms), at_ms + int(longest_s * 1000))\n",
        "    return wanted_ms\n",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "no attempt beyond the retries": Guard(
        "events/pulp_events/retries.py",
        "self.retry is not None and self.failed < self.retry.retries",
        "self.retry is not None",
        "pulp_events.retries",
        ("tests/unit/test_events_retries.py",),
    ),
    "no attempt beyond the deadline": Guard(
        "events/pulp_events/retries.py",
        "    return None if attempts.deadline is not None and found >= attempts.deadline else found\n",
        "    return found\n",
        "pulp_events.retries",
        ("tests/unit/test_events_retries.py",),
    ),
    "version 2 of an event says how it was asked": Guard(
        "events/pulp_events/codec.py",
        '        raise ValueError("Object missing required field `request` - at `$.data`")\n',
        "        pass\n",
        "pulp_events.codec",
        ("tests/unit/test_events_codec.py",),
    ),
    "a page of the audit goes on where the one before ended": Guard(
        "projections/pulp_projections/reading/audit.py",
        "        following[partition] = rest[0].offset if rest else stops[partition]\n",
        "        following[partition] = stops[partition]\n",
        "pulp_projections.reading.audit",
        ("tests/unit/test_audit_pages.py",),
    ),
    "no attempt after a cancel, of the reactor": Guard(
        "events/pulp_events/decisions.py",
        "    is_repeated = task.state is State.RUNNING and is_worth_repeating(error.code)\n",
        "    is_repeated = is_worth_repeating(error.code)\n",
        "pulp_events.decisions",
        ("tests/unit/test_events_decisions.py",),
    ),
    "no attempt after a cancel, of the worker": Guard(
        ATTEMPT_STATE,
        "    if ended.may_repeat and orders.may_repeat and not orders.is_cancelled:\n",
        "    if ended.may_repeat and orders.may_repeat:\n",
        "pulp_worker.attempt_state",
        ("tests/unit/test_worker_attempt_state.py",),
    ),
    "no attempt before its time": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "                    self.core.back_off(task_id)\n",
        "",
        "pulp_processor.dispatching.elected",
        (SCHEDULES_TEST,),
    ),
    "a task that has backed off is assigned": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "            self.core.resume(task_id)\n",
        "            pass\n",
        "pulp_processor.dispatching.elected",
        (SCHEDULES_TEST,),
    ),
    "the number of an attempt whose claim was lost with a server": Guard(
        DISPATCH_SQL,
        "greatest(w.last_attempt, (select p.attempt from claims p where p.task_id = w.task_id)) + 1",
        "coalesce((select p.attempt from claims p where p.task_id = w.task_id), 0) + 1",
        DISPATCHING,
        ("tests/integration/test_dispatcher_retries.py",),
    ),
    "one partition for a task": Guard(
        TASK,
        "if task is not None and task.partition != position.partition:",
        "if task is not None and task.partition < 0:",
        "pulp_events.task",
        ("tests/unit/test_fold.py",),
    ),
    "an unfinished task is not purged": Guard(
        TASK,
        "        return Ignored(Reason.UNFINISHED)\n",
        "        return _purged(task, data, position.offset, at_ms)\n",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "a task is purged once": Guard(
        TASK,
        "    if task.purged_at_ms is not None:\n        return Ignored(Reason.ALREADY_PURGED)\n",
        "",
        "pulp_events.task",
        (TABLE_TEST,),
    ),
    "the counters of purged tasks": Guard(
        "projections/pulp_projections/writing/fold.py",
        "        if task.purged_at_ms is not None:\n            counts[_kind(before)] -= 1\n        elif before",
        "        if before",
        "pulp_projections.writing.fold",
        ("tests/unit/test_fold.py::test_a_purged_task_is_counted_no_more",),
    ),
    "no two conflicting holds": Guard(
        "projections/pulp_projections/migrations/0001_operational.sql",
        "    primary key (task_id, resource),\n"
        "    constraint reservations_conflict exclude using gist (resource with =, slot with &&)\n",
        "    primary key (task_id, resource)\n",
        "pulp_projections.migrations",
        ("tests/integration/test_dispatch_order.py::test_a_conflicting_reservation_is_refused_by_the_database",),
    ),
    "the epoch, where a dispatcher assigns": Guard(
        DISPATCH_SQL,
        "    select h.* from elected, unnest(",
        "    select h.* from unnest(",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_writes_nothing",),
    ),
    "the epoch, where a dispatcher ends claims": Guard(
        DISPATCH_SQL,
        "    delete from claims c using told t, elected\n",
        "    delete from claims c using told t\n",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_writes_nothing",),
    ),
    "the epoch, where a dispatcher ends holds": Guard(
        DISPATCH_SQL,
        "    delete from holds h using elected\n",
        "    delete from holds h\n",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_writes_nothing",),
    ),
    "the epoch, where a dispatcher renews its lease": Guard(
        DISPATCH_SQL,
        "set renewed_at = now() where epoch = %(epoch)s returning epoch;",
        "set renewed_at = now() returning epoch;",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_writes_nothing",),
    ),
    "the epoch, where a dispatcher resigns": Guard(
        DISPATCH_SQL,
        "set renewed_at = 'epoch' where epoch = %(epoch)s returning epoch\n",
        "set renewed_at = 'epoch' returning epoch\n",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_does_not_resign_for_its_successor",),
    ),
    "the lease of a dispatcher": Guard(
        DISPATCH_SQL,
        " where renewed_at + make_interval(secs => %(lease_s)s) < now() or holder = %(holder)s\n",
        "",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_one_that_was_deposed_does_not_resign_for_its_successor",),
    ),
    "the wait for what the dispatcher before assigns": Guard(
        DISPATCH_SQL,
        " for share\n), held as (\n",
        "\n), held as (\n",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_a_takeover_waits_for_the_last_statement_of_the_one_before",),
    ),
    "the wait for what the dispatcher before ends": Guard(
        DISPATCH_SQL,
        " for share\n), told as materialized (",
        "\n), told as materialized (",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_a_takeover_waits_for_the_last_statement_of_the_one_before",),
    ),
    "the wait for the log's ends at a takeover": Guard(
        "services/processor/pulp_processor/dispatching/dispatcher.py",
        "    if not behind:\n        return None\n",
        "    if behind >= 0:\n        return None\n",
        "pulp_processor.dispatching.dispatcher",
        (f"{DISPATCHER_TEST}::test_a_takeover_waits_until_the_projection_has_passed_what_was_in_the_log",),
    ),
    "the wait for what workers put back after a failover": Guard(
        "services/processor/pulp_processor/dispatching/dispatcher.py",
        "    if not await tables.is_settled():\n",
        "    if False:\n",
        "pulp_processor.dispatching.dispatcher",
        (f"{DISPATCHER_TEST}::test_after_a_failover_workers_have_a_leases_time_to_put_their_claims_back",),
    ),
    "nothing for a worker that drains": Guard(
        DISPATCH_SQL,
        " where stopped_at is null and not draining and",
        " where stopped_at is null and",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_to_a_worker_that_drains_has_stopped_or_is_lost_nothing_is_assigned",),
    ),
    "nothing for a worker that is lost": Guard(
        DISPATCH_SQL,
        " where stopped_at is null and not draining and heartbeat_at + make_interval(secs => lease_seconds) > now();",
        " where stopped_at is null and not draining;",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_to_a_worker_that_drains_has_stopped_or_is_lost_nothing_is_assigned",),
    ),
    "only the attempt's own success ends its claim": Guard(
        DISPATCH_SQL,
        "       and t.state = 'successful' and t.attempt_id = c.attempt_id\n",
        "       and t.state = 'successful'\n",
        DISPATCHING,
        (f"{DISPATCHER_TEST}::test_the_success_of_another_attempt_ends_no_claim",),
    ),
    "no claim of what has ended": Guard(
        DISPATCH_SQL,
        "     where w.state = 'waiting'  -- one that has ended meanwhile has lost the row of its claim, and with it its number\n",
        "",
        DISPATCHING,
        (f"{REFUSED_WRITES_TEST}::test_a_task_that_has_ended_is_not_claimed",),
    ),
    "what the dispatcher before has assigned": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "                self.core.hold(hold)\n",
        "",
        "pulp_processor.dispatching.elected",
        (SCHEDULES_TEST,),
    ),
    "a task waits again whose claim was released": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "        self._take(found)\n\n",
        "",
        "pulp_processor.dispatching.elected",
        (SCHEDULES_TEST,),
    ),
    "what was passed over counts when a worker comes": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "        if has_come and self.core.passed_over:\n",
        "        if False:\n",
        "pulp_processor.dispatching.elected",
        (SCHEDULES_TEST,),
    ),
    "holds end that nobody tells of": Guard(
        "services/processor/pulp_processor/dispatching/dispatcher.py",
        "                await elected.look_for_forgotten()\n",
        "",
        "pulp_processor.dispatching.dispatcher",
        (f"{DISPATCHER_TEST}::test_a_hold_of_whose_end_nothing_was_heard_ends_all_the_same",),
    ),
    "a takeover ends what was left behind": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "                self._emptied.append(hold.hold_id)\n",
        "                pass\n",
        "pulp_processor.dispatching.elected",
        (f"{DISPATCHER_TEST}::test_a_takeover_ends_what_the_one_before_left_behind",),
    ),
    "a hold ends whose claims end in two ways": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "                self._leave(facts.task.task_id, hold_id)\n",
        "                self._tasks_of[hold_id].discard(facts.task.task_id)\n",
        "pulp_processor.dispatching.elected",
        (f"{DISPATCHER_TEST}::test_a_slot_is_free_when_one_of_its_tasks_succeeds_and_the_others_are_released",),
    ),
    "a success that is read twice counts once": Guard(
        "services/processor/pulp_processor/dispatching/elected.py",
        "        if facts.task.task_id in self._succeeded:\n",
        "        if False:\n",
        "pulp_processor.dispatching.elected",
        (f"{DISPATCHER_TEST}::test_a_success_that_is_read_twice_counts_once",),
    ),
    "only claims of what is final are ended": Guard(
        CLAIMS_SQL,
        "     where is_final(t.state)\n",
        "",
        "pulp_worker.claims",
        (f"{CHAINS_TEST}::test_what_is_not_final_is_not_ended",),
    ),
    "only claims that are held are shown as held": Guard(
        CLAIMS_SQL,
        "           c.attempt_id is not null and c.released_at is null as is_held,\n",
        "           c.attempt_id is not null as is_held,\n",
        "pulp_worker.claims",
        (f"{CHAINS_TEST}::test_what_is_released_is_so_for_the_worker_as_well",),
    ),
    "only what its claim is held of begins": Guard(
        ATTEMPT_STATE,
        "    if not (status.is_current and status.is_held):\n",
        "    if not status.is_current:\n",
        "pulp_worker.attempt_state",
        ("tests/unit/test_worker_attempt_state.py",),
    ),
    "no claim without all its resources after a failover": Guard(
        CLAIMS_SQL,
        "   and cardinality(c.tokens) = (select count(*) from reservations r where r.hold_id = c.hold_id);",
        ";",
        "pulp_worker.claims",
        ("tests/integration/test_worker_failover.py::test_a_claim_is_not_held_while_another_hold_has_its_resource",),
    ),
    "a later attempt stays when claims are put back": Guard(
        CLAIMS_SQL,
        "     where c.attempt < excluded.attempt or c.attempt_id = excluded.attempt_id\n",
        "",
        "pulp_worker.claims",
        ("tests/integration/test_worker_failover.py::test_a_later_attempt_is_not_replaced_by_what_is_put_back",),
    ),
    "an assignment of which no notification was heard": Guard(
        "services/worker/pulp_worker/membership.py",
        "                self._claims.look_again()\n",
        "                pass\n",
        "pulp_worker.membership",
        (
            "tests/integration/test_worker_lease.py"
            "::test_an_assignment_of_which_no_notification_was_heard_is_seen_at_the_next_look",
        ),
    ),
    "the wait for the own started": Guard(
        ATTEMPT_STATE,
        "            return Confirming(given.position, state.orders), ()\n",
        "            return Running(state.orders), (RunOperation(),)\n",
        "pulp_worker.attempt_state",
        ("tests/integration/test_worker_cancel.py::test_no_task_starts_after_a_cancel_that_precedes_it_in_the_log",),
    ),
    "the end of operations with the lease": Guard(
        "services/worker/pulp_worker/membership.py",
        "        for attempt in attempts:\n            attempt.lose()\n        self._registration.become_another()\n",
        "        self._registration.become_another()\n",
        "pulp_worker.membership",
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
    """A copy of the packages and the tests, to be changed."""
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
        "PYTHONDONTWRITEBYTECODE": "1",  # so that two changes within a second are distinguished
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
    """End leftover processes of a run, since the guard that ends operations may be removed."""
    for pid in adopted:
        for each in tree_of(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        os.waitpid(pid, 0)


def pytest_of(run: Run, tests: set[str]) -> "subprocess.CompletedProcess[str]":
    return run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--backend", "given", *sorted(tests))


@contextmanager
def without(guard: Guard, copy: Path) -> Iterator[None]:
    """The copy without the guard."""
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
