"""`pulp-admin` as a user runs it, a process for each command, against a whole stack."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from pulp_deploy.stack import Stack, StackOptions
from pulp_events.codec import key_of
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.support import documented
from tests.support.api_relay import ApiRelay
from tests.support.command import environment
from tests.unit.test_admin_guide import CANCELLED_SYNC, ORPHANS, PROGRESS

ROOT = Path(__file__).parents[2]
UNKNOWN = "e0e0a250-eded-468f-9d97-0419a00b130e"


class User:
    """Somebody with a home folder and a stack."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.stack, self.home = stack, home

    def __call__(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run `pulp-admin`; its output is a pipe."""
        return subprocess.run(
            [Path(sys.executable).with_name("pulp-admin"), *arguments],
            env=environment(self.home, **self.stack.client_environment()) | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def password(self) -> str:
        """The password of the administrator."""
        [found] = re.findall(r'^password = "(.*)"$', self.stack.client_file.read_text(), re.MULTILINE)
        return str(found)

    def submit(self, operation: str, *arguments: str) -> str:
        """The new task's id, from the message in the guide."""
        result = self("submit", operation, *arguments)
        assert result.returncode == 0, result.stderr
        found = re.fullmatch(
            r'Request accepted\n\ncheck status of task (\S{36}) with "pulp-admin tasks details"\n', result.stdout
        )
        assert found is not None, result.stdout
        return found[1]

    def start(self, command: str, task_id: str, url: str) -> "subprocess.Popen[str]":
        """Start a command of `pulp-admin tasks` on a task, through a URL; its output is two pipes."""
        return subprocess.Popen(
            [Path(sys.executable).with_name("pulp-admin"), "tasks", command, "--task-id", task_id],
            env=environment(self.home, **self.stack.client_environment()) | {"PULP_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def first_line_of(self, command: str) -> tuple[str, int, str]:
        """Run a command with `| head -1`: return the output, the command's exit code and its standard error."""
        script = f"{Path(sys.executable).with_name('pulp-admin')} {command} | head -1; exit ${{PIPESTATUS[0]}}"
        env = environment(self.home, **self.stack.client_environment())
        result = subprocess.run(
            ["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return result.stdout, result.returncode, result.stderr

    def report(self, task_id: str) -> dict[str, Any]:
        """What `details --output json` prints."""
        result = self("tasks", "details", "--task-id", task_id, "--output", "json")
        assert result.returncode == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def spoil(self, task_id: str) -> tuple[str, str]:
        """Append two records that cannot be projected, one of the task and one without a task; returns their places
        once listed."""
        [first, *_] = json.loads(self("tasks", "history", "--task-id", task_id, "--output", "json").stdout)
        bad = [RawRecord(key_of(UUID(task_id)), b"{", (), first["partition"]), RawRecord(b"k", b"{", (), 0)]
        producer = raw_producer.make(self.stack.backend.kafka)
        places = ",".join(map(str, raw_producer.append(producer, "pulp.tasks.events", bad)))
        url = f"{self.stack.url}/pulp/api/v3/dead-letters/"
        auth, told = ("admin", self.password), {"Pulp-Min-Position": places}
        httpx.get(url, auth=auth, headers=told, timeout=60, trust_env=False).raise_for_status()
        one, other = places.split(",")
        return one, other

    def wait(self, task_id: str, what: str) -> dict[str, Any]:
        """The task's report, as soon as its history has this event."""
        for line in self.follow(task_id):
            if json.loads(line)["event"]["type"] == f"org.pulpproject.task.{what}.v1":
                return self.report(task_id)
        raise AssertionError("the stream has ended")

    def follow(self, task_id: str) -> Iterator[str]:
        """The task's events from the start."""
        credentials = re.findall(r'^(?:username|password) = "(.*)"$', self.stack.client_file.read_text(), re.MULTILINE)
        params = {"task": task_id, "since": "2000-01-01T00:00:00Z"}
        with httpx.stream(
            "GET",
            f"{self.stack.url}/pulp/api/v3/events/",
            params=params,
            auth=tuple(credentials),
            timeout=60,
            trust_env=False,
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield line.removeprefix("data: ")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    settings = {
        "PULP_QUEUES": "nobody,nobody-serves-this",
        "PULP_WORKER_MODULES": "tests.support.worker_operations,tests.support.personal_operations",
        "PYTHONPATH": str(ROOT),
        "PULP_APPEND_TIMEOUT_S": "1",
    }
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        yield User(stack, tmp_path_factory.mktemp("home"))


def filled(page: str, report: dict[str, Any]) -> str:
    """The guide's page with the id and the times of a task."""
    page = re.sub(r"(Task Id: +)\S+", rf"\g<1>{report['task_id']}", page)
    page = re.sub(r"(Start Time: +)\S+", rf"\g<1>{report['start_time']}", page)
    return re.sub(r"(Finish Time: +)\S+", rf"\g<1>{report['finish_time']}", page)


def test_an_empty_list(user: User) -> None:
    result = user("tasks", "list")
    assert result.returncode == 0
    assert result.stdout == "+" + "-" * 70 + "+\n" + " " * 33 + "Tasks\n+" + "-" * 70 + "+\n\nNo tasks found\n\n"
    assert result.stderr == "Only tasks that have not ended are listed; --all lists all.\n"


def test_the_guides_first_page(user: User) -> None:
    result = user("orphan", "remove", "--all", "--watch")
    assert result.returncode == 0, result.stderr
    task_id = result.stdout.split()[6]
    shown = user("tasks", "details", "--task-id", task_id).stdout
    assert shown == filled(ORPHANS, user.report(task_id)) + "\n\n"


def test_the_guides_cancelled_sync(user: User) -> None:
    arguments = user.home / "arguments.json"
    arguments.write_text(json.dumps({"progress": PROGRESS}))
    tags = ("--tag", "pulp:repository:ff7-e6", "--tag", "pulp:action:sync")
    task_id = user.submit("reporting", "--arguments", f"@{arguments}", *tags)
    user.wait(task_id, "progress")
    running = user("tasks", "list").stdout
    assert "State:       Running\n" in running
    assert "          Size Left:   112429996\n" in running

    cancelled = user("tasks", "cancel", "--task-id", task_id, "--reason", "wrong feed")
    assert (cancelled.returncode, cancelled.stdout, cancelled.stderr) == (0, "", "")
    shown = user("tasks", "details", "--task-id", task_id).stdout  # by another process
    assert shown == filled(CANCELLED_SYNC, user.report(task_id)) + "\n\n"
    assert not [line for line in shown.splitlines() if line != line.rstrip()]

    history = user("tasks", "history", "--task-id", task_id).stdout.splitlines()
    events = [line.split()[3:] for line in history[1:]]
    assert events[0] == ["accepted", "user:admin", "reporting"]
    assert ["cancel-requested", "user:admin", "wrong", "feed"] in events
    assert events[-1] == ["finished", "worker:worker", "Cancelled"]
    wide = user("tasks", "details", "--task-id", task_id, "--output", "wide").stdout.splitlines()
    assert wide[1].split()[:3] == [task_id, "Cancelled", "reporting"]
    assert wide[1].endswith("wrong feed")


def test_a_task_that_cannot_be_cancelled_while_it_runs(user: User) -> None:
    task_id = user.submit("unstoppable")
    user.wait(task_id, "started")
    refused = user("tasks", "cancel", "--task-id", task_id)
    assert refused.returncode == 69
    assert (refused.stdout, refused.stderr) == (f"Cancel Not Implemented for Task: {task_id}\n", "")
    waiting = user.submit("echo", "--depends-on", task_id)
    assert user("tasks", "cancel", "--task-id", waiting).returncode == 0
    shown = user("tasks", "details", "--task-id", waiting).stdout
    assert "State:        Cancelled\nStart Time:   Unstarted\n" in shown
    (user.stack.folder.path / "storage" / "go").touch()
    watched = user("tasks", "watch", "--task-id", task_id)
    assert watched.returncode == 0
    assert re.fullmatch(r"\S+Z unstoppable: Successful after \S+", watched.stdout.splitlines()[-1])


def test_watch_tells_by_its_exit_code_how_a_task_ended(user: User) -> None:
    failing = user.submit("misbehave", "--argument", "how=raise")
    watched = user("tasks", "watch", "--task-id", failing)
    assert (watched.returncode, " misbehave: Error after " in watched.stdout) == (1, True)
    assert "\x1b" not in watched.stdout
    skipped = user.submit("echo", "--depends-on", failing)
    assert user("tasks", "watch", "--task-id", skipped).returncode == 4
    assert "State:        Error\n" in user("tasks", "details", "--task-id", failing).stdout
    assert user("submit", "echo", "--watch").returncode == 0


def test_json_and_yaml_are_all_of_it_and_nothing_else(user: User) -> None:
    task_id = user.submit("echo", "--argument", "text=zoë", "--argument", "number:=1.5")
    assert user("tasks", "watch", "--task-id", task_id).returncode == 0
    report = user.report(task_id)
    assert report["result"]["arguments"] == {"text": "zoë", "number": 1.5}
    as_yaml = user("--output", "yaml", "tasks", "details", "--task-id", task_id).stdout
    assert yaml.safe_load(as_yaml) == report
    listed = json.loads(user("tasks", "list", "--all", "--output", "json").stdout)
    assert task_id in [each["task_id"] for each in listed]
    history = json.loads(user("tasks", "history", "--task-id", task_id, "--output", "json").stdout)
    assert [entry["type"].split(".")[3] for entry in history][:2] == ["accepted", "started"]
    submitted = json.loads(user("submit", "echo", "--output", "json").stdout)
    assert list(submitted) == ["task_id"]


def test_the_json_of_every_command_is_as_documented(user: User, tmp_path: Path) -> None:
    failed = user.submit("misbehave", "--argument", "how=raise")
    waiting, followed = user.submit("echo", "--queue", "nobody"), user.submit("echo")
    # A publish is accepted as long as a sync may still succeed.
    feed = ("--argument", "repo_id=none", "--argument", "feed=http://127.0.0.1:1/")
    user.submit("sync", *feed, "--queue", "nobody")
    task = ("--task-id", followed)
    parks, dead = user.spoil(user.submit("echo", "--queue", "nobody"))
    user.submit("invite", "--argument", "person=Jo Doe")
    person = ("--name", "Jo Doe")
    printed = {
        "submit": ["submit", "echo"],
        "orphan remove": ["orphan", "remove", "--all"],
        "repo create": ["repo", "create", "--repo-id", "farm", "--feed", "http://127.0.0.1:1/", "--note", "a=b"],
        "repo list": ["repo", "list"],
        "repo show": ["repo", "show", "--repo-id", "farm"],
        "repo update": ["repo", "update", "--repo-id", "farm", "--display-name", "The farm"],
        "repo remove": ["repo", "remove", "--repo-id", "farm"],
        "repo sync status": ["repo", "sync", "status", "--repo-id", "farm"],
        "repo publish status": ["repo", "publish", "status", "--repo-id", "farm"],
        "repo repair": ["repo", "repair"],
        "repo sync run": ["repo", "sync", "run", "--repo-id", "none", "--feed", "http://127.0.0.1:1/"],
        "repo publish run": ["repo", "publish", "run", "--repo-id", "none"],
        "tasks list": ["tasks", "list", "--all"],
        "tasks details": ["tasks", "details", *task],
        "tasks watch": ["tasks", "watch", *task],
        "tasks history": ["tasks", "history", *task],
        "tasks diff": ["tasks", "diff", *task, "now"],
        "tasks bundle": ["tasks", "bundle", *task, "--to", str(tmp_path / "bundle.json")],
        "audit list": ["audit", "list"],
        "audit export": ["audit", "export", "--to", str(tmp_path / "audit.jsonl")],
        "tasks rerun": ["tasks", "rerun", *task],
        "tasks cancel": ["tasks", "cancel", "--task-id", waiting],
        "queue": ["queue"],
        "status": ["status"],
        "operations": ["operations"],
        "workers": ["workers", "--all"],
        "tasks purge": ["tasks", "purge", "--state", "skipped"],
        "schedules create": ["schedules", "create", "nightly", "echo", "--cron", "30 2 * * *"],
        "schedules list": ["schedules", "list"],
        "schedules show": ["schedules", "show", "nightly"],
        "schedules update": ["schedules", "update", "nightly", "--cron", "15 3 * * *"],
        "schedules disable": ["schedules", "disable", "nightly"],
        "schedules enable": ["schedules", "enable", "nightly"],
        "schedules preview": ["schedules", "preview", "nightly"],
        "schedules delete": ["schedules", "delete", "nightly", "--yes"],
        "subscriptions create": ["subscriptions", "create", "chat", "http://127.0.0.1:1/", "--type", "finished"],
        "subscriptions list": ["subscriptions", "list"],
        "subscriptions show": ["subscriptions", "show", "chat"],
        "subscriptions test": ["subscriptions", "test", "chat"],
        "subscriptions deliveries": ["subscriptions", "deliveries", "chat"],
        "subscriptions pause": ["subscriptions", "pause", "chat"],
        "subscriptions resume": ["subscriptions", "resume", "chat"],
        "subscriptions redeliver": ["subscriptions", "redeliver", "chat", "--since", "now", "--yes"],
        "subscriptions rotate-secret": ["subscriptions", "rotate-secret", "chat"],
        "subscriptions delete": ["subscriptions", "delete", "chat", "--yes"],
        "dead-letters list": ["dead-letters", "list"],
        "dead-letters show": ["dead-letters", "show", parks],
        "dead-letters retry": ["dead-letters", "retry", parks, dead],
        "dead-letters discard": ["dead-letters", "discard", parks, "--yes"],
        "subjects list": ["subjects", "list"],
        "subjects show": ["subjects", "show", *person],
        "subjects erase": ["subjects", "erase", *person, "--reason", "asked for it", "--yes"],
        "tokens create": ["tokens", "create", "--name", "ci"],
        "tokens list": ["tokens", "list"],
        "tokens revoke": ["tokens", "revoke", "--name", "ci", "--yes"],
        "login": ["login", "-u", "admin", "-p", user.password],
        "logout": ["logout"],
    }
    assert printed.keys() == documented.schemas("pulp-admin").keys()
    further = {
        "tasks watch": ["tasks", "watch", "--task-id", failed],
        "tasks details": ["tasks", "details", "--task-id", failed],
        "tasks cancel": ["tasks", "cancel", "--all", "--queue", "nobody", "--dry-run"],
        "tasks rerun": ["tasks", "rerun", "--all", "--operation", "misbehave", "--yes"],
        "operations": ["operations", "sync"],
    }
    more = [
        ("queue", ["queue", "--resource", "repository:none"]),
        ("queue", ["queue", "--task-id", failed]),
        ("tasks details", ["tasks", "details", "--task-id", failed, "--why"]),
    ]
    for name, arguments in [*printed.items(), *further.items(), *more]:
        result = user(*arguments, "--output", "json")
        # Nothing listens there; no release understands these records.
        expected = (65,) if name in ("subscriptions test", "dead-letters retry") else (0, 1)
        assert result.returncode in expected, result.stderr
        lines = result.stdout.splitlines() if name == "tasks watch" else [result.stdout]
        for line in lines:
            documented.check(name, json.loads(line), "pulp-admin")


def test_lists_are_chosen_and_cut(user: User) -> None:
    def states(*arguments: str, field: str = "state") -> list[str]:
        found = json.loads(user("tasks", "list", "--output", "json", *arguments).stdout)
        return [report[field] for report in found]

    assert set(states("--state", "error")) == {"error"}
    assert set(states("--state", "failed", "--state", "cancelled")) == {"error", "canceled"}
    assert len(states("--all", "--limit", "2")) == 2
    assert set(states("--state", "Error,CANCELLED")) == {"error", "canceled"}
    assert set(states("--all", "--operation", "remove-orphans", field="task_type")) == {"remove-orphans"}
    assert states("--all", "--operation", "reporting", "--who", "admin", "--since", "1h") == ["canceled"]
    assert states("--all", "--tag", "pulp:repository:ff7-e6", "--tag", "pulp:action:sync") == ["canceled"]
    assert states("--all", "--until", "yesterday") == []
    assert states("--all", "--resource", "repository:ff7-e6") == ["canceled"]


def test_what_the_server_or_the_command_line_refuses(user: User) -> None:
    cases = [
        (("tasks", "details", "--task-id", "nonsense"), 64, "'nonsense' is not the id of a task: a UUID"),
        (("tasks", "cancel", "--task-id", "../content/orphans"), 64, "is not the id of a task"),
        (("tasks", "details", "--task-id", "ffff-ffff"), 65, "The id of no task begins with 'ffffffff'."),
        (("tasks", "details", "--task-id", UNKNOWN), 65, f"  {UNKNOWN} (resource_id)\n"),
        (("tasks", "cancel", "--task-id", UNKNOWN), 65, f"  {UNKNOWN} (resource_id)\n"),
        (("tasks", "history", "--task-id", UNKNOWN), 65, f"There is no task {UNKNOWN}.\n"),
        (("tasks", "watch", "--task-id", UNKNOWN), 65, f"  {UNKNOWN} (resource_id)\n"),
        (("submit", "nope"), 65, "unknown operation 'nope'; known are: deaf, echo"),
        (("submit", "sync"), 65, "operation sync: repo_id: this argument is required: a repository's id"),
        (("submit", "sync", "--argument", "repo_id=zoo", "--argument", "feed=zoo"), 65, "feed: an http or https URL"),
        (("submit", "publish", "--argument", "repo_id=zoo"), 65, "needs a successful sync of repository 'zoo'"),
        (("repo", "sync", "run", "--repo-id", "zoo"), 65, "no earlier task on repository:zoo had one"),
        (("operations", "snyc"), 65, "Did you mean 'sync'?"),
        (("submit", "echo", "--arguments", "[]"), 64, "a JSON object is expected, not list"),
        (("tasks", "details"), 64, "The following options are required but were not specified:\n  --task-id\n"),
        (("tasks", "list", "--state", "bogus"), 64, "'bogus' is not a state; they are Waiting, Running"),
        (("tasks", "list", "--operation", "ehco"), 65, "No operation is named 'ehco'. Did you mean 'echo'"),
        (("tasks", "list", "--resource", "zoo"), 64, "TYPE:ID is expected, such as repository:zoo"),
        (("tasks", "list", "stray"), 64, "stray"),
    ]
    for arguments, code, text in cases:
        result = user(*arguments)
        assert (result.returncode, text in result.stderr) == (code, True), (arguments, result.stderr)
        assert "\x1b" not in result.stdout + result.stderr


def test_who_may_not(user: User) -> None:
    wrong = user("tasks", "list", PULP_PASSWORD="wrong")
    assert (wrong.returncode, wrong.stderr.splitlines()[0]) == (77, "Invalid Username or Password")
    nobody = user("tasks", "list", PULP_ADMIN_CONFIG=os.devnull, PULP_URL=user.stack.url)
    assert (nobody.returncode, nobody.stderr.splitlines()[0]) == (77, "Authentication Failed")


def test_completion_prints_a_script_that_completes(user: User) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = user("completion", shell)
        assert (script.returncode, "_PULP_ADMIN_COMPLETE" in script.stdout) == (0, True)
    words = user(_PULP_ADMIN_COMPLETE="bash_complete", COMP_WORDS="pulp-admin tasks ca", COMP_CWORD="2")
    assert words.stdout.split(",")[-1].strip() == "cancel"


@pytest.mark.parametrize("command", ["tasks list --all", "tasks list --all --output json", "operations", "workers"])
def test_a_reader_that_goes_away_is_no_error(user: User, command: str) -> None:
    first, code, error = user.first_line_of(command)
    assert (first != "", code in (0, 141), error) == (True, True, "")


def test_a_reader_that_goes_away_does_not_look_like_a_failed_task(user: User) -> None:
    task_id = user.submit("echo")
    first, code, error = user.first_line_of(f"tasks watch --task-id {task_id}")
    assert (" echo: " in first, code in (0, 141), error) == (True, True, "")


def test_each_cause_of_nothing_found_has_its_sentence(user: User) -> None:
    task_id, other = user.submit("echo"), user.submit("echo", "--resource", "repository:elsewhere")
    assert user("tasks", "watch", "--task-id", task_id).returncode == 0
    history = json.loads(user("tasks", "history", "--task-id", task_id, "--output", "json").stdout)
    partition, offset = history[0]["partition"], history[0]["offset"]
    ended = user("tasks", "cancel", "--task-id", task_id)
    assert (ended.returncode, f"Task {task_id} has ended already" in ended.stderr) == (65, True)
    assert "Successful, " in ended.stderr
    early = user("tasks", "details", "--task-id", task_id, "--as-of", "2026-11-24T12:00:00Z")
    assert (early.returncode, "did not exist yet at 2026-11-24T12:00:00Z: it was submitted at" in early.stderr) == (
        65,
        True,
    )
    elsewhere = user("tasks", "details", "--task-id", task_id, "--as-of", f"{partition + 1}:0")
    assert (elsewhere.returncode, "is an event of another task: those of task" in elsewhere.stderr) == (65, True)
    if offset:
        before = user("tasks", "details", "--task-id", task_id, "--as-of", f"{partition}:{offset - 1}")
        assert (before.returncode, f"its first event is {partition}:{offset}" in before.stderr) == (65, True)
    then = user("tasks", "details", "--task-id", task_id, "--as-of", f"{partition}:{offset}")
    assert "State:        Waiting\n" in then.stdout
    user("tasks", "watch", "--task-id", other)


def test_an_id_is_taken_in_every_usual_form(user: User) -> None:
    task_id = user.submit("echo")
    href = f"/pulp/api/v3/tasks/{task_id}/"
    forms = [f" {task_id} ", task_id.upper(), task_id.replace("-", ""), f"{{{task_id}}}", href, user.stack.url + href]
    for form in (*forms, href.replace("v3", "v2"), f"prn:core.task:{task_id}", f"urn:uuid:{task_id}", task_id[:20]):
        result = user("tasks", "details", "--task-id", form, "--output", "json")
        assert (result.returncode, json.loads(result.stdout)["task_id"]) == (0, task_id), form


def test_why_a_task_waits_is_told_beside_the_guides_page(user: User) -> None:
    task_id = user.submit("echo", "--queue", "nobody-serves-this")
    shown = user("tasks", "details", "--task-id", task_id)
    assert shown.stdout.endswith("Progress:\n\n\n")
    assert shown.stderr.startswith("It waits: ")
    assert "nobody-serves-this" in shown.stderr
    wide = user("tasks", "list", "--queue", "nobody-serves-this", "--output", "wide").stdout
    assert "nobody-serves-this" in wide.splitlines()[1]
    user("tasks", "cancel", "--task-id", task_id)


@pytest.mark.parametrize("cuts", [False, True], ids=["ended", "cut"])
def test_watch_outlives_a_proxy_that_ends_streams(user: User, cuts: bool) -> None:
    task_id = user.submit("patient")
    with ApiRelay(user.stack.url, stream_s=2, cuts=cuts) as relay, user.start("watch", task_id, relay.url) as watching:
        assert relay.refreshed.wait(60)
        assert user("tasks", "cancel", "--task-id", task_id).returncode == 0
        out, error = watching.communicate(timeout=60)
    assert (watching.returncode, error) == (3, "")
    words = [line.partition("patient: ")[2].partition(" after")[0] for line in out.splitlines()]
    assert words[-1] == "Cancelled"
    assert len(words) == len(set(words)), "a line twice"


def test_watch_outlives_an_api_that_is_away(user: User) -> None:
    task_id = user.submit("patient")
    with ApiRelay(user.stack.url) as relay, user.start("watch", task_id, relay.url) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "patient: " in watching.stdout.readline()
        relay.refuse()
        assert watching.stderr.readline().endswith("Trying again.\n")
        relay.open()
        assert watching.stderr.readline() == "Connected again.\n"
        assert user("tasks", "cancel", "--task-id", task_id).returncode == 0
        out, error = watching.communicate(timeout=60)
    assert (watching.returncode, error, " patient: Cancelled after " in out) == (3, "", True)


def test_ctrl_c_ends_the_watching_and_not_the_task(user: User) -> None:
    task_id = user.submit("patient")
    with user.start("watch", task_id, user.stack.url) as watching:
        assert watching.stdout is not None
        assert "patient: " in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, error = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert error == f"The task goes on. To cancel it: pulp-admin tasks cancel --task-id {task_id}\n"
    assert user.report(task_id)["state"] in ("waiting", "running")
    user("tasks", "cancel", "--task-id", task_id)


def test_kafka_away_writes_are_refused_reads_go_on_and_all_is_well_again(user: User) -> None:
    stack = user.stack
    stack.kill("kafka-1")
    refused = user("submit", "echo")
    assert (refused.returncode, "The server cannot answer now: " in refused.stderr) == (75, True)
    assert user("tasks", "list", "--all", "--limit", "1").returncode == 0
    status = user("status")
    assert (status.returncode, "Kafka:     away\n" in status.stdout) == (75, True)
    with httpx.Client(base_url=f"{stack.url}/pulp/api/v3", trust_env=False, timeout=30) as client:
        ready = client.get("/readyz/")
        assert (ready.status_code, ready.json()["down"]["kafka"]) == (503, "Kafka does not answer")
        assert client.get("/livez/").status_code == 200
        stack.start("kafka-1")
        stack.wait("the API", lambda: client.get("/readyz/").status_code == 200, 60)
    assert user("submit", "echo", "--watch").returncode == 0


def test_the_server_away(user: User) -> None:
    user.stack.kill("api")
    refused = user("tasks", "list")
    assert refused.returncode == 78
    assert "The connection was refused when attempting to contact the server [127.0.0.1]" in refused.stderr
    source = user.stack.client_environment()["PULP_ADMIN_CONFIG"]
    assert f"The URL is {user.stack.url}, from {source}.\nStart one on this machine: pulp-tasks up\n" in refused.stderr
