"""The steps of the demonstration, (a) to (h). No step sleeps: each waits for an event or a request."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from pulp_events.filters import kind_of

from pulp_deploy.demo import guide
from pulp_deploy.demo.commands import Commands
from pulp_deploy.demo.follower import Follower, Seen
from pulp_deploy.demo.server import DemoServer
from pulp_deploy.demo.shown import Shown
from pulp_deploy.folder import DataFolder
from pulp_deploy.local.processes import Identity

SECOND: Final = "zoo"
PUBLISH_LIST: Final = "/publish.txt"
_TIMEOUT_S: Final = 60.0


class Tour:
    """Two repositories are served: the guide's, and a small second one. `withheld` are the last packages of each."""

    def __init__(
        self,
        shown: Shown,
        run: Commands,
        follower: Follower,
        data: DataFolder,
        servers: tuple[DemoServer, DemoServer],
        withheld: tuple[list[str], list[str]],
    ) -> None:
        self._shown, self._run, self._follower, self._data = shown, run, follower, data
        self._first, self._second = servers
        self._last_of_first, self._last_of_second = withheld
        self._cancelled_sync = ""
        self._publish = ""
        self._running_sync = ""

    def everything(self) -> None:
        """All steps, in order."""
        for step in (
            self.orphans_are_removed,
            self.a_sync_is_cancelled,
            self.a_sync_runs_to_its_end,
            self.cancels_of_running_and_waiting_tasks,
            self.tasks_are_listed,
            self.history_of_the_cancelled_sync,
            self.the_read_model_is_rebuilt,
            self.the_processor_is_killed,
        ):
            step()

    def orphans_are_removed(self) -> None:
        self._shown.step(
            "a", "Orphan removal", "Content that no repository uses is removed; what came of it is asked for."
        )
        task_id = self._run.start("orphan", "remove", "--all")
        self._follower.wait_finished(task_id)
        page = self._run.admin("tasks", "details", "--task-id", task_id).stdout.splitlines()
        wanted = ["Operations:", "Resources:    orphans (content_unit)", "State:        Successful"]
        self._check("the page is the guide's: no operation, the tag, Successful", page[4:7] == wanted, page)

    def a_sync_is_cancelled(self) -> None:
        self._shown.step(
            "b",
            "A sync, cancelled while it runs",
            "The repository's server withholds the last six of 37 packages, so the sync stands at 31 until the cancel.",
        )
        self._first.gate.withhold(self._last_of_first)
        task_id = self._cancelled_sync = self._sync(guide.REPOSITORY, self._first)
        self._follower.wait("31 packages fetched", lambda seen: seen.task_id == task_id and _fetched(seen) == 31)
        self._shown.note("31 packages are here; now the cancel")
        cancel = self._run.admin("tasks", "cancel", "--task-id", task_id)
        self._check("the cancel was accepted and printed nothing", (cancel.code, cancel.stdout) == (0, ""), cancel)
        self._follower.wait_finished(task_id)
        page = self._run.admin("tasks", "details", "--task-id", task_id).stdout
        found = guide.differences(page, task_id)
        self._check("the page is the guide's, number for number, but for id and times", not found, found)

    def a_sync_runs_to_its_end(self) -> None:
        self._shown.step(
            "c",
            "A sync to its end, and one that has nothing to fetch",
            "It goes on where the cancelled one was: six packages of 112,429,996 bytes. The next one fetches none.",
        )
        self._first.gate.release()
        task_id = self._sync(guide.REPOSITORY, self._first)
        code = self._run.live("tasks", "watch", "--task-id", task_id)
        result = self._result(task_id)
        self._check("it was successful", code == 0, f"exit code {code}")
        self._check("it has all 37 packages and fetched six", _pick(result, "packages", "fetched") == [37, 6], result)
        asked = self._first.gate.total("/Packages/")
        task_id = self._sync(guide.REPOSITORY, self._first)
        code = self._run.live("tasks", "watch", "--task-id", task_id)
        result, asked_since = self._result(task_id), self._first.gate.total("/Packages/") - asked
        nothing = (code, _pick(result, "packages", "fetched"), asked_since) == (0, [37, 0], 0)
        self._check("the second one asked the server for no package", nothing, (code, result, asked_since))

    def cancels_of_running_and_waiting_tasks(self) -> None:
        self._shown.step(
            "d",
            "Cancels: of a running publish (refused), of a waiting sync (done)",
            "The publish waits for its list of packages, which is withheld; the syncs wait for the repository.",
        )
        gate = self._first.gate
        gate.withhold([PUBLISH_LIST])
        words = [f"repo_id={guide.REPOSITORY}", f"packages_url={self._first.url}{PUBLISH_LIST.removeprefix('/')}"]
        self._publish = self._run.start("submit", "publish", "--argument", words[0], "--argument", words[1])
        waiting = self._sync(guide.REPOSITORY, self._first)
        self._follower.wait("the publish has started", lambda seen: seen.is_a("started", self._publish))
        refused = self._run.admin("tasks", "cancel", "--task-id", self._publish)
        said = f"Cancel Not Implemented for Task: {self._publish}\n"
        self._check(
            "the publish was not cancelled, in the guide's words", (refused.code, refused.stdout) == (69, said), refused
        )
        cancel = self._run.admin("tasks", "cancel", "--task-id", waiting)
        self._check("the waiting sync's cancel was accepted", (cancel.code, cancel.stdout) == (0, ""), cancel)
        self._follower.wait_finished(waiting)
        page = self._run.admin("tasks", "details", "--task-id", waiting).stdout.splitlines()
        never = page[6].split() == ["State:", "Cancelled"] and page[7].endswith("Unstarted")
        self._check("it is cancelled and was never started", never and self._types(waiting)[-1] == "finished", page)

    def tasks_are_listed(self) -> None:
        self._shown.step(
            "e",
            "The list",
            "What has not ended: the publish, which holds the repository, and a sync that waits for it.",
        )
        waiting = self._sync(guide.REPOSITORY, self._first)
        page = self._run.admin("tasks", "list").stdout
        there = [line.split()[-1] for line in page.splitlines() if line.startswith("Task Id:")]
        self._check("these two are listed, no other", sorted(there) == sorted([self._publish, waiting]), there)
        self._shown.note("the server gives out the list of packages: the publish goes on, then the sync")
        self._first.gate.release()
        outcomes = [self._follower.wait_finished(task_id).data["outcome"] for task_id in (self._publish, waiting)]
        published = self._result(self._publish)
        self._check(
            "both end, one after the other", outcomes == ["successful"] * 2 and self._in_turn(waiting), outcomes
        )
        whole = _pick(published, "packages", "size") == [37, 149_958_122]
        self._check("37 packages are published, 149,958,122 bytes, each checksum read back", whole, published)

    def history_of_the_cancelled_sync(self) -> None:
        self._shown.step(
            "f",
            "The history of the cancelled sync",
            "Every event, where it is in the log, and who did it. Nothing is ever removed.",
        )
        self._run.admin("tasks", "history", "--task-id", self._cancelled_sync)
        entries = self._run.ask("tasks", "history", "--task-id", self._cancelled_sync)
        in_log = [(*seen.position, seen.type, seen.actor) for seen in self._follower.of(self._cancelled_sync)]
        told = [(entry["partition"], entry["offset"], kind_of(entry["type"]), entry["actor"]) for entry in entries]
        self._check("it is what the log holds, event by event", told == in_log, (told, in_log))
        who = {kind: actor for _, _, kind, actor in told}
        by_user = (who.get("accepted"), who.get("cancel-requested")) == ("user:admin", "user:admin")
        by_worker = (who.get("started"), who.get("finished")) == ("worker:worker", "worker:worker")
        self._check("admin submitted and cancelled it, the worker ran and ended it", by_user and by_worker, who)

    def the_read_model_is_rebuilt(self) -> None:
        self._shown.step(
            "g",
            "The read model is rebuilt from the log while a sync runs",
            "The next generation is filled from offset 0, in parallel with the live one, compared row by row, and"
            " activated.",
        )
        self._second.gate.withhold(self._last_of_second)
        task_id = self._running_sync = self._sync(SECOND, self._second)
        self._follower.wait("five packages fetched", lambda seen: seen.task_id == task_id and _fetched(seen) == 5)
        before = self._run.ask("tasks", "list", "--all")
        rebuilt = self._run.operator("rebuild", "--activate")
        self._check(
            "it is equal to the live one and is active now",
            rebuilt.code == 0 and "generation 2 is active" in rebuilt.stdout,
            rebuilt,
        )
        after = self._run.ask("tasks", "list", "--all")
        self._check("the tasks read as before", after == before and len(after) > 0, _different(before, after))

    def the_processor_is_killed(self) -> None:
        self._shown.step(
            "h",
            "The processor is killed in the middle of the sync",
            "kill -9; it is started again, and goes on from its positions in Postgres. The sync meanwhile runs on.",
        )
        killed = self._processor()
        assert killed is not None
        self._shown.command(["kill", "-9", str(killed.pid)])
        os.kill(killed.pid, signal.SIGKILL)
        self._second.gate.release()
        self._follower.wait_finished(self._running_sync)
        self._until("the processor runs again", lambda: self._processor() not in (None, killed))
        code = self._run.live("tasks", "watch", "--task-id", self._running_sync)
        result = self._result(self._running_sync)
        right = code == 0 and _pick(result, "packages", "fetched") == [8, 8]
        self._check("the sync ended right: eight packages of eight", right, (code, result))
        self._nothing_is_lost()

    def _nothing_is_lost(self) -> None:
        """The log, the subscriber and the read model hold the same events, each once."""
        events = self._follower.events
        places = [seen.position for seen in events]
        gaps = [
            partition
            for partition in {place.partition for place in places}
            if sorted(place.offset for place in places if place.partition == partition)
            != list(range(sum(place.partition == partition for place in places)))
        ]
        self._check(f"the subscriber got each of {len(events)} events once, without a gap", not gaps, gaps)
        tasks = sorted({seen.task_id for seen in events})
        told = {
            (entry["partition"], entry["offset"])
            for task_id in tasks
            for entry in self._run.ask("tasks", "history", "--task-id", task_id)
        }
        lost = set(map(tuple, places)) ^ told
        self._check(f"the histories of the {len(tasks)} tasks hold the same events", not lost, sorted(lost))
        open_tasks = self._run.ask("tasks", "list")
        self._check("no task is left without an end", open_tasks == [], open_tasks)

    def _sync(self, repository: str, server: DemoServer) -> str:
        return self._run.start("repo", "sync", "run", "--repo-id", repository, "--feed", server.url)

    def _result(self, task_id: str) -> Any:
        """The operation's result, from the log."""
        return self._follower.wait_finished(task_id).data["result"]

    def _types(self, task_id: str) -> list[str]:
        return [seen.type for seen in self._follower.of(task_id)]

    def _in_turn(self, waiting: str) -> bool:
        """Whether the sync began after the publish had ended: both are in one partition, by their repository."""
        kinds = [(seen.task_id, seen.type) for seen in self._follower.events]
        return kinds.index((self._publish, "finished")) < kinds.index((waiting, "started"))

    def _processor(self) -> Identity | None:
        identity = self._data.processes().get("processor")
        return identity if identity is not None and identity.process() is not None else None

    def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        ends = time.monotonic() + _TIMEOUT_S
        while not is_so():
            if time.monotonic() > ends:
                raise TimeoutError(f"{what}: not within {_TIMEOUT_S:g} s")
            time.sleep(0.05)  # written by another process, so there is nothing to wait for

    def _check(self, what: str, holds: bool, otherwise: object) -> None:
        self._shown.check(what, holds, otherwise)


def _fetched(seen: Seen) -> int | None:
    """How many packages a sync has fetched, by its progress."""
    progress = seen.data.get("progress", {}) if seen.type == "progress" else {}
    count = progress.get("yum_importer", {}).get("content", {}).get("num_success")
    return count if isinstance(count, int) else None


def _pick(result: Any, *keys: str) -> list[Any]:
    return [result.get(key) for key in keys] if isinstance(result, dict) else []


def _different(before: list[Any], after: list[Any]) -> str:
    return json.dumps([one for one in [*before, *after] if one not in before or one not in after])
