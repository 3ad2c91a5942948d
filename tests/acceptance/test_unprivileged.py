"""Processes that root starts run as an unprivileged account, if that can read the installation."""

import json
import os
import pwd
import shlex
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from pulp_deploy.folder import DataFolder
from pulp_deploy.local.accounts import Account, server_account, unreadable

from tests.support.command import environment, pulp_tasks

TIMEOUT_S = 120
NAME = 'it\'s $HOME 100% "data"'
SECRET = "s3cr3t-of-the-shell"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: that what root starts runs as another user; it needs root"
)
OPERATIONS = """
import os
from pathlib import Path
from pulp_worker import Context, operation

def environment():
    return sorted(key for key in os.environ if "SECRET" in key or key.startswith(("PULP_", "PG", "AWS_")))

@operation("who-am-i")
def who_am_i(context: Context) -> dict:
    Path(context.storage, "made").write_text("x")
    return {"user": os.getuid(), "groups": os.getgroups(), "home": os.environ["HOME"], "environment": environment()}

@operation("who-am-i-async")
async def who_am_i_async(context: Context) -> dict:
    return {"user": os.getuid(), "groups": os.getgroups(), "home": os.environ["HOME"], "environment": environment()}
"""


class Stack(NamedTuple):
    """A stack that root started with an interpreter that everybody may run."""

    python: Path
    data: Path
    env: dict[str, str]
    account: Account

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.python), "-m", "pulp_deploy", *arguments, "--data", str(self.data)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def processes(self) -> dict[str, psutil.Process]:
        found = DataFolder(self.data).processes()
        return {name: psutil.Process(identity.pid) for name, identity in found.items() if identity is not None}

    def result(self, operation: str) -> dict[str, object]:
        """Run it, and read what it returned."""
        task_id = self._admin("submit", operation, "--watch").split()[6]
        found: dict[str, object] = json.loads(self._admin("tasks", "details", "--task-id", task_id, "--output", "json"))
        result = found["result"]
        assert isinstance(result, dict)
        return result

    def _admin(self, *arguments: str) -> str:
        program = str(Path(sys.executable).with_name("pulp-admin"))
        done = subprocess.run(
            [program, *arguments], env=self.env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def python_for(account: Account, folder: Path) -> Path:
    """An interpreter of this version, with these packages, that the account may run."""
    packages = Path(sysconfig.get_path("purelib"))
    for candidate in (Path(sys.base_prefix) / "bin" / "python3", Path("/usr/bin/python3")):
        if candidate.exists() and unreadable([candidate.resolve(), packages], account) is None:
            version = subprocess.run(
                [str(candidate), "-c", "import sys; print(sys.version_info[:2])"], capture_output=True
            )
            if version.stdout.decode().strip() == str(sys.version_info[:2]):
                subprocess.run([str(candidate), "-m", "venv", "--without-pip", str(folder)], check=True)
                site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
                (site / "all.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
                return folder / "bin" / "python"
    pytest.skip(f"NOT TESTED: that what root starts runs as {account.name}, who can run no Python of this version here")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    account = server_account()
    assert account is not None
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-user-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        umask = os.umask(0o022)
        python = python_for(account, folder / "venv")
        (folder / "own_operations.py").write_text(OPERATIONS)
        os.umask(umask)
        env = environment(
            folder,
            PYTHONPATH=str(folder),
            PULP_WORKER_MODULES="own_operations",
            AWS_SECRET_ACCESS_KEY=SECRET,
            PGPASSWORD=SECRET,
            PGOPTIONS=f"-c application_name={SECRET}",
            JAVA_TOOL_OPTIONS=f"-Dsecret={SECRET}",
            PULP_PASSWORD=SECRET,
        )
        for key in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            env.pop(key, None)
        made = Stack(python, folder / NAME, env, account)
        up = made.run("up", "--detach", "--free-ports")
        assert up.returncode == 0, up.stderr
        assert "as root" not in up.stderr
        for key in ("PULP_PASSWORD",):
            env.pop(key)
        yield made
        made.run("down")


def test_no_process_but_the_supervisor_is_roots(stack: Stack) -> None:
    for name, process in stack.processes().items():
        for each in (process, *process.children(recursive=True)):
            assert set(each.uids()) == {stack.account.user}, name
            assert set(each.gids()) == {stack.account.group}, name


@pytest.mark.parametrize("operation", ["who-am-i", "who-am-i-async"])
def test_operations_run_as_that_user_and_without_what_the_shell_knew(stack: Stack, operation: str) -> None:
    found = stack.result(operation)
    assert (found["user"], found["groups"]) == (stack.account.user, [])
    names = found["environment"]
    assert isinstance(names, list)
    assert [name for name in names if name.startswith(("AWS_", "PG")) or name == "PULP_PASSWORD"] == []
    if operation == "who-am-i":
        assert (stack.data / "storage" / "made").stat().st_uid == stack.account.user
        assert set(names) <= {"PULP_TASK_ID", "PULP_ATTEMPT_ID"}


def test_no_secret_is_in_what_a_process_shows(stack: Stack) -> None:
    secrets = [
        SECRET,
        (stack.data / "admin-password").read_text().strip(),
        (stack.data / "postgres" / "pgpass").read_text().strip().split(":")[-1],
        (stack.data / "kafka" / "login" / "password").read_text().strip(),
        (stack.data / "kafka" / "login" / "broker-password").read_text().strip(),
    ]
    owner = DataFolder(stack.data).owner()
    assert owner is not None
    supervisor = psutil.Process(owner.identity.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        shown = [*process.cmdline(), *process.environ().values()]
        assert [text for text in shown for secret in secrets if secret in text] == [], process.name()
    logs = "".join(path.read_text(errors="replace") for path in (stack.data / "logs").iterdir())
    assert [secret for secret in secrets if secret in logs] == []


def limit(process: psutil.Process, name: str) -> list[str]:
    """The soft and the hard limit."""
    lines = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith(name))[len(name) :].split()[:2]


def test_limits_of_every_process(stack: Stack) -> None:
    for name, process in stack.processes().items():
        soft, hard = limit(process, "Max open files")
        assert soft == hard or soft == str(1 << 20), name
        assert limit(process, "Max core file size") == ["0", "0"], name


def test_the_account_may_write_to_its_own_folders_alone(stack: Stack) -> None:
    theirs = {"kafka/1/data", "postgres/data", "storage", "home", "transparency", "transparency-key"}
    for path in stack.data.rglob("*"):
        name = str(path.relative_to(stack.data))
        if any(name == each or name.startswith(f"{each}/") for each in theirs):
            continue
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            assert found.st_uid == 0, name
        assert stat.S_IMODE(found.st_mode) & 0o066 == 0, name
    assert {stat.S_IMODE((stack.data / name).stat().st_mode) for name in theirs} == {0o700}


READ_BY_NOBODY = ("logs", "kafka/1/data", "kafka/login", "storage", "transparency-key")
READABLE = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1]):
    for name in files:
        try:
            open(os.path.join(folder, name), "rb").close()
        except OSError:
            continue
        print(os.path.join(folder, name))
print("looked")
"""


def test_another_user_of_the_machine_reads_nothing(stack: Stack) -> None:
    stranger = pwd.getpwnam("nobody")
    for folder in (stack.data, *(stack.data / name for name in READ_BY_NOBODY)):
        done = subprocess.run(
            [str(stack.python), "-c", READABLE, str(folder)],
            user=stranger.pw_uid,
            group=stranger.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "looked\n"


def test_the_data_goes_along_when_the_user_changes(stack: Stack) -> None:
    for user, owner in (("root", 0), (stack.account.name, stack.account.user)):
        assert stack.run("down").returncode == 0
        up = stack.run("up", "--detach", "--user", user)
        assert up.returncode == 0, up.stderr
        users = {name: process.uids().real for name, process in stack.processes().items()}
        assert users.pop("postgres") == stack.account.user
        assert set(users.values()) == {owner}
        assert {path.lstat().st_uid for path in (stack.data / "kafka" / "1" / "data").rglob("*")} == {owner}
        assert stack.result("who-am-i")["user"] == owner


def test_a_user_that_is_asked_for_and_cannot_run_it_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    account = pwd.getpwnam("nobody")
    data = tempfile.mkdtemp(prefix="pulp-tasks-user-")
    os.rmdir(data)
    certificate = private / "ca.pem"
    certificate.touch()
    env = environment(tmp_path, SSL_CERT_FILE=str(certificate))
    done = pulp_tasks("up", "--data", data, "--free-ports", "--user", account.pw_name, env=env)
    assert done.returncode == os.EX_CONFIG
    assert "not as nobody" in done.stderr
    assert "leave --user out" in done.stderr
    subprocess.run(shlex.split(f"rm -r {data}"), check=True)


@pytest.mark.parametrize(("user", "words"), [("no-such-user", "there is no user no-such-user")])
def test_a_user_that_is_not_there_is_refused(tmp_path: Path, user: str, words: str) -> None:
    done = pulp_tasks("up", "--data", str(tmp_path / "data"), "--user", user, env=environment(tmp_path))
    assert (done.returncode, words in done.stderr) == (os.EX_CONFIG, True)
