"""`pulp-tasks up` and its companions, as an operator uses them."""

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import psycopg
import pytest

from tests.support.command import environment, pulp_tasks

ANY_PORTS = ("--api-port", "0", "--kafka-port", "0", "--postgres-port", "0")


class Running(NamedTuple):
    """A stack in the background."""

    data: Path
    env: dict[str, str]
    said: str


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        Path(name).chmod(0o755)  # the account that PostgreSQL runs as must pass
        yield Path(name)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    data = folder / "dä ta żółć"  # a name that neither Latin-1 nor ASCII has
    env = environment(folder, LC_ALL="C")
    umask = os.umask(0o027)
    try:
        result = pulp_tasks("up", "--data", str(data), "--detach", *ANY_PORTS, env=env)
    finally:
        os.umask(umask)
    assert result.returncode == 0, result.stderr
    yield Running(data, env, result.stdout)
    if DataFolderProcesses(data).supervisor() is not None:
        pulp_tasks("down", "--data", str(data), env=env)


class DataFolderProcesses(NamedTuple):
    """The processes, according to the data folder."""

    data: Path

    def supervisor(self) -> psutil.Process | None:
        file = self.data / "owner.json"
        if not file.exists():
            return None
        pid = json.loads(file.read_text())["pid"]
        return psutil.Process(pid) if psutil.pid_exists(pid) else None

    def all(self) -> list[psutil.Process]:
        supervisor = self.supervisor()
        assert supervisor is not None
        return [supervisor, *supervisor.children(recursive=True)]


def test_up_says_how_to_go_on(running: Running) -> None:
    page = re.match(r"Page +(http\S+/ui/)\n", running.said)
    assert page is not None
    assert '<script type="module"' in httpx.get(page[1], trust_env=False).text
    assert "\nAPI " in running.said
    assert "pulp-admin tasks list" in running.said
    assert running.said.endswith(
        f"\nStop      pulp-tasks down --data {shlex.quote(str(running.data))}\n"
    )  # without a terminal there is no Ctrl-C


def test_secrets_are_for_their_owner_alone_and_in_no_process_list(running: Running) -> None:
    secret_files = ["admin-password", "admin.toml", "postgres/pgpass"]
    assert {stat.S_IMODE((running.data / name).stat().st_mode) for name in secret_files} == {0o600}
    secrets = [
        (running.data / "admin-password").read_text().strip(),
        (running.data / "postgres/pgpass").read_text().strip().split(":")[-1],
    ]
    seen = [" ".join(process.cmdline()) for process in DataFolderProcesses(running.data).all()]
    seen += [str(process.environ()) for process in DataFolderProcesses(running.data).all()]
    seen += [path.read_text(errors="replace") for path in (running.data / "logs").glob("*.log")]
    assert not [text for text in seen for secret in secrets if secret in text]


def test_no_folder_is_open_to_others_whatever_the_umask_is(running: Running) -> None:
    assert sorted(path.name for path in running.data.parent.iterdir() if path.name.startswith("d")) == ["dä ta żółć"]
    folders = [path for path in (running.data, *running.data.rglob("*")) if path.is_dir()]
    ours = [path for path in folders if not path.is_relative_to(running.data / "postgres" / "server")]
    passable = 0o711 if os.geteuid() == 0 else 0o700  # by the account that PostgreSQL runs as
    assert {stat.S_IMODE(path.stat().st_mode) for path in (running.data, running.data / "postgres")} == {passable}
    closed = ("logs", "storage", "kafka/1/data", "postgres/data")
    assert {stat.S_IMODE((running.data / name).stat().st_mode) for name in closed} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (running.data / "logs").glob("*")} == {0o600}
    assert [path for path in ours if stat.S_IMODE(path.stat().st_mode) & 0o022] == []


def test_the_clients_configuration_is_written_where_the_client_looks(running: Running) -> None:
    written = Path(running.env["PULP_ADMIN_CONFIG"])
    assert written.read_text() == (running.data / "admin.toml").read_text()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_status_shows_every_process(running: Running) -> None:
    result = pulp_tasks("status", "--data", str(running.data), env=running.env)
    assert result.returncode == 0, result.stderr
    names = {line.split()[0] for line in result.stdout.splitlines()}
    assert {"supervisor", "postgres", "kafka-1", "api", "processor", "worker"} <= names
    assert "down" not in result.stdout


def test_status_and_up_say_where_kafka_and_postgres_are(running: Running) -> None:
    result = pulp_tasks("status", "--data", str(running.data), env=running.env)
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[:4])
    services = json.loads((running.data / "services.json").read_text())
    assert shown["Kafka"] == services["PULP_KAFKA"]
    assert shown["Data"] == str(running.data)
    with psycopg.connect(shown["Postgres"]) as connection:
        assert connection.execute("select current_user").fetchone() == ("pulp",)
    for name in ("Kafka", "Postgres"):
        assert f"{name:<10}{shown[name]}" in running.said


def test_a_process_of_ones_own_joins_the_stack(running: Running) -> None:
    for found in (["--data", str(running.data)], []):  # without a folder: the usual one
        with subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", "worker", "--queue", "mine", *found],
            env={**running.env, "PULP_DATA": str(running.data)},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            up = next(line for line in process.stderr if 'msg="worker is up"' in line)
            assert " worker=worker " not in up  # that is the stack's own
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_restart_starts_workers_anew_and_says_when_they_are_at_work(running: Running) -> None:
    data = ["--data", str(running.data)]
    before = json.loads((running.data / "processes.json").read_text())
    result = pulp_tasks("restart", *data, env=running.env)
    assert result.returncode == 0, result.stderr
    after = json.loads((running.data / "processes.json").read_text())
    assert {name for name in before if before[name] != after[name]} == {"worker"}
    assert result.stdout == f"worker: restarted (pid {after['worker'][0]})\n"
    unknown = pulp_tasks("restart", "wroker", *data, env=running.env)
    assert (unknown.returncode, "Did you mean 'worker'?" in unknown.stderr) == (os.EX_USAGE, True)


def test_the_logs_of_all_processes_have_one_form_of_time_and_are_in_its_order(running: Running) -> None:
    result = pulp_tasks("logs", "--data", str(running.data), "-n", "50", env=running.env)
    time = re.compile(r"^(\S+) +\| (?:time=)?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ")
    found = [time.match(line) for line in result.stdout.splitlines()]
    names = {match[1] for match in found if match}
    assert {"api", "kafka-1", "postgres", "processor", "worker"} <= names
    times = [match[2] for match in found if match]
    assert times == sorted(times)


def test_logs_of_one_process_and_of_an_unknown_one(running: Running) -> None:
    result = pulp_tasks("logs", "kafka-1", "--data", str(running.data), "-n", "5", env=running.env)
    assert len(result.stdout.splitlines()) == 5
    unknown = pulp_tasks("logs", "procesor", "--data", str(running.data), env=running.env)
    assert unknown.returncode == os.EX_USAGE
    assert "there is no log of procesor" in unknown.stderr
    assert "Did you mean 'processor'?" in unknown.stderr


def test_a_second_up_says_who_holds_the_folder(running: Running) -> None:
    result = pulp_tasks("up", "--data", str(running.data), env=running.env)
    supervisor = DataFolderProcesses(running.data).supervisor()
    assert supervisor is not None
    assert result.returncode == os.EX_CANTCREAT
    assert f"is held by process {supervisor.pid} since" in result.stderr


def test_topics_and_users_act_on_the_stack(running: Running, tmp_path: Path) -> None:
    data = ["--data", str(running.data)]
    assert "pulp.tasks.events" in pulp_tasks("topics", "list", *data, env=running.env).stdout
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    added = pulp_tasks(
        *("users", "add", "jo", "--role", "viewer", "--password-file", str(password)), *data, env=running.env
    )
    assert added.returncode == 0, added.stderr
    listed = pulp_tasks("users", "list", *data, env=running.env).stdout
    assert {tuple(line.split()[:2]) for line in listed.splitlines()[1:]} == {("admin", "admin"), ("jo", "viewer")}
    twice = pulp_tasks(
        *("users", "add", "jo", "--role", "viewer", "--password-file", str(password)), *data, env=running.env
    )
    assert (twice.returncode, "exists already" in twice.stderr) == (os.EX_DATAERR, True)


def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = pulp_tasks(*("up", "--data", str(folder / "other"), "--api-port", str(port)), env=environment(folder))
    assert result.returncode == os.EX_CANTCREAT
    assert f"port {port} on 127.0.0.1, needed for the API, is in use" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr


@pytest.mark.parametrize("process", ["api", "processor", "worker"])
def test_a_missing_dependency_ends_a_process_with_69(process: str, tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        PULP_KAFKA="127.0.0.1:1",
        PULP_POSTGRES="host=127.0.0.1 port=1",
        PULP_STORAGE=str(tmp_path),
        PULP_STARTUP_TIMEOUT_S="1",
    )
    result = pulp_tasks(process, env=env, timeout_s=60)
    assert result.returncode == os.EX_UNAVAILABLE
    assert "Kafka at 127.0.0.1:1" in result.stderr


def test_the_command_that_makes_the_topics_waits_for_kafka(tmp_path: Path) -> None:
    env = environment(tmp_path, PULP_KAFKA="127.0.0.1:1", PULP_STARTUP_TIMEOUT_S="5")  # longer than one attempt
    result = pulp_tasks("topics", "create", env=env)
    assert result.returncode == os.EX_UNAVAILABLE
    assert "waiting for Kafka at 127.0.0.1:1, " in result.stderr


def test_a_given_kafka_that_is_away_is_waited_for(folder: Path) -> None:
    env = environment(folder, PULP_KAFKA="127.0.0.1:1", PULP_STARTUP_TIMEOUT_S="5")  # longer than one attempt
    result = pulp_tasks(*("up", "--data", str(folder / "kafka-away")), *ANY_PORTS, env=env)
    assert result.returncode == os.EX_UNAVAILABLE
    assert "waiting for Kafka at 127.0.0.1:1, " in result.stderr
    assert "Kafka at 127.0.0.1:1 did not answer in time" in result.stderr


@pytest.mark.parametrize("command", [["processor"], ["users", "list"]])
def test_what_is_no_connection_string_is_said_without_it(command: list[str], tmp_path: Path) -> None:
    env = environment(tmp_path, PULP_KAFKA="127.0.0.1:1", PULP_POSTGRES="secret-word")
    result = pulp_tasks(*command, env=env)
    assert (result.returncode, "PULP_POSTGRES is not a connection string" in result.stderr) == (os.EX_CONFIG, True)
    assert "secret-word" not in result.stderr
    assert result.stdout == ""  # nor half of a table


def test_a_setting_that_is_missing_is_named(tmp_path: Path) -> None:
    result = pulp_tasks("processor", env=environment(tmp_path))
    assert (result.returncode, "PULP_KAFKA and PULP_POSTGRES are not set" in result.stderr) == (os.EX_CONFIG, True)
    assert "pulp-tasks up" in result.stderr


def test_killing_the_supervisor_leaves_no_process_and_its_data_goes_on(running: Running) -> None:
    processes = DataFolderProcesses(running.data).all()
    processes[0].send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    again = pulp_tasks("up", "--data", str(running.data), "--detach", env=running.env)
    assert again.returncode == 0, again.stderr
    assert again.stdout == running.said  # the same ports as before
    assert "jo" in pulp_tasks("users", "list", "--data", str(running.data), env=running.env).stdout


def test_a_worker_that_was_stopped_by_a_signal_is_told(running: Running) -> None:
    status = ["status", "--data", str(running.data)]
    well = pulp_tasks(*status, "--output", "json", env=running.env)
    assert (well.returncode, json.loads(well.stdout)["workers"]) == (0, {"live": 1, "slots": 4, "free": 4})
    worker = psutil.Process(json.loads((running.data / "processes.json").read_text())["worker"][0])
    worker.suspend()
    try:
        told = pulp_tasks(*status, env=running.env)
    finally:
        worker.resume()
    assert told.returncode == os.EX_UNAVAILABLE
    assert f"worker was stopped by a signal: let it go on with kill -CONT {worker.pid}" in told.stderr


def test_down_ends_a_supervisor_that_was_stopped_by_a_signal(running: Running) -> None:
    supervisor = DataFolderProcesses(running.data).supervisor()
    assert supervisor is not None
    processes = DataFolderProcesses(running.data).all()
    supervisor.suspend()
    result = pulp_tasks("down", "--data", str(running.data), env=running.env)
    assert (result.returncode, result.stdout) == (0, "stopped\n")
    assert [process for process in processes if process.is_running()] == []
    assert not (running.data / "owner.json").exists()  # it ended cleanly, without SIGKILL
    again = pulp_tasks("up", "--data", str(running.data), "--detach", env=running.env)
    assert again.returncode == 0, again.stderr


def test_down_leaves_no_process(running: Running) -> None:
    processes = DataFolderProcesses(running.data).all()
    result = pulp_tasks("down", "--data", str(running.data), env=running.env)
    assert result.returncode == 0, result.stderr
    assert [process for process in processes if process.is_running()] == []
    nothing = pulp_tasks("down", "--data", str(running.data), env=running.env)
    assert (nothing.returncode, "no stack runs on" in nothing.stderr) == (os.EX_UNAVAILABLE, True)


def test_data_that_was_lost_is_no_fresh_start(running: Running) -> None:
    (running.data / "kafka" / "1" / "data" / "meta.properties").unlink()
    result = pulp_tasks("up", "--data", str(running.data), *ANY_PORTS, env=running.env)
    assert result.returncode == os.EX_CONFIG
    assert "meta.properties is missing" in result.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_starts_leaves_no_process(folder: Path, signum: signal.Signals) -> None:
    data = folder / "interrupted"
    with subprocess.Popen(
        [sys.executable, "-m", "pulp_deploy", "up", "--data", str(data), *ANY_PORTS],
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "starting on" in process.stderr.readline()
        if signum == signal.SIGHUP:
            process.stderr.close()  # the terminal is closed, so nothing can be printed
        process.send_signal(signum)
        assert process.wait(60) in (130, 141)  # interrupted, and nobody reads the exit code
    assert _on(data) == []


def _on(data: Path) -> list[psutil.Process]:
    """The processes with this folder in their command lines."""
    return [each for each in psutil.process_iter() if str(data) in " ".join(_cmdline(each))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_stack_whose_folder_was_removed_ends(folder: Path) -> None:
    data = folder / "removed"
    result = pulp_tasks("up", "--data", str(data), "--detach", "--workers", "0", *ANY_PORTS, env=environment(folder))
    assert result.returncode == 0, result.stderr
    processes = DataFolderProcesses(data).all()
    data.rename(folder / "elsewhere")
    _, alive = psutil.wait_procs(processes, timeout=90)
    assert alive == []
    told = (folder / "elsewhere" / "logs" / "supervisor.log").read_text()
    assert f"the data folder {data} was removed or replaced: all is stopped" in told
