"""Shell scripts that were written for Pulp 2's `pulp-admin` run as they are, against a whole stack."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulp_deploy.stack import Stack, StackOptions

from tests.support.command import environment

# Only the address is not Pulp 2's: its clients speak HTTPS, and this stack does not.
CLEAN_UP = r"""
set -e -o pipefail
alive() { pulp-admin tasks details --task-id "$1" | grep -E '^State: +(Waiting|Running)' >/dev/null; }

id=$(pulp-admin -u admin -p "$PASSWORD" orphan remove --all --bg | sed -n 's/^check status of task \(\S*\) .*/\1/p')
while alive "$id"; do :; done
pulp-admin tasks details --task-id "$id" | grep -E '^(Resources|State|Task Id):'
pulp-admin tasks list --state successful,failed | grep -c "^Task Id: *$id"
"""
REPOSITORIES = r"""
pulp-admin rpm repo create --repo-id pulp-2 --feed http://127.0.0.1:9/none/ --display-name 'Two'
pulp-admin rpm repo list --summary | grep '^Display Name'
pulp-admin repo tasks list --repo-id pulp-2 | tail -2
pulp-admin rpm repo sync run --repo-id pulp-2 | grep '^Task '
pulp-admin repo tasks list --repo-id pulp-2 | grep '^Operations'
pulp-admin rpm repo sync status --repo-id pulp-2 | tail -1
"""
REFUSALS = r"""
pulp-admin tasks list --all --state failed | grep 'cannot be used'; echo ${PIPESTATUS[0]}
pulp-admin tasks details --task-id e0e0a250-eded-468f-9d97-0419a00b130e | grep -A2 'could not be found'; echo ${PIPESTATUS[0]}
pulp-admin tasks cancel --task-id ../content/orphans 2>/dev/null; echo $?
pulp-admin -u admin -p wrong tasks list | grep Invalid; echo ${PIPESTATUS[0]}
pulp-admin tasks list -a >/dev/null; echo $?
pulp-admin tasks purge >/dev/null 2>&1; echo $?
"""


class Scripts:
    """Runs scripts as a user who has only the configuration of Pulp 2."""

    def __init__(self, stack: Stack, home: Path) -> None:
        [password] = re.findall(r'^password = "(.*)"$', stack.client_file.read_text(), re.MULTILINE)
        conf = home / ".pulp" / "admin.conf"
        conf.parent.mkdir()
        conf.touch(mode=0o600)
        conf.write_text(f"[auth]\nusername = admin\npassword = {password}\n")
        here = {"PULP_URL": stack.url, "PULP_ADMIN_CONFIG": "", "PASSWORD": password, "HOME": str(home)}
        self._env = environment(home, **here)
        self._env["PATH"] = f"{Path(sys.executable).parent}:{self._env['PATH']}"

    def __call__(self, script: str, **env: str) -> list[str]:
        """What a script prints on standard output, line by line."""
        done = subprocess.run(
            ["bash", "-c", script], env=self._env | env, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout.splitlines()


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    home = tmp_path_factory.mktemp("home")
    with Stack(StackOptions.throwaway()) as stack:
        yield Scripts(stack, home)


def test_a_clean_up(scripts: Scripts) -> None:
    resources, state, task, count = scripts(CLEAN_UP)
    assert (resources, state, count) == ("Resources:    orphans (content_unit)", "State:        Successful", "1")
    assert re.fullmatch(r"Task Id: {6}[0-9a-f-]{36}", task)


def test_repositories(scripts: Scripts) -> None:
    assert scripts(REPOSITORIES) == [
        "Repository [pulp-2] successfully created",
        "Display Name: Two",
        *("No tasks found", ""),
        "Task Failed",
        "Operations:  sync",
        "The repository is not performing any operations",
    ]


def test_refusals(scripts: Scripts) -> None:
    unknown = "e0e0a250-eded-468f-9d97-0419a00b130e"
    assert scripts(REFUSALS, PULP_ADMIN_ERRORS="stdout") == [
        *("These arguments cannot be used together", "0"),
        *("The following resource(s) could not be found:", "", f"  {unknown} (resource_id)", "65"),
        "64",
        *("Invalid Username or Password", "77"),
        "0",
        "64",
    ]


def test_a_login_stands_in_for_the_password_until_the_logout(scripts: Scripts, tmp_path: Path) -> None:
    script = r"""
    pulp-admin login -u admin -p "$PASSWORD" | sed -E 's/[0-9-]{10}T[0-9:]{8}Z/TIME/'
    stat -c %a ~/.pulp/sessions.json; grep -cF -e "$PASSWORD" ~/.pulp/sessions.json
    pulp-admin tasks list --state successful >/dev/null; echo $?
    chmod 644 ~/.pulp/sessions.json; pulp-admin tasks list >/dev/null 2>&1; echo $?; chmod 600 ~/.pulp/sessions.json
    cp -p ~/.pulp/sessions.json ~/kept
    pulp-admin login -u admin -p "$PASSWORD" >/dev/null
    cp -p ~/.pulp/sessions.json ~/newer; mv ~/kept ~/.pulp/sessions.json
    pulp-admin tasks list >/dev/null 2>&1; echo $?
    mv ~/newer ~/.pulp/sessions.json
    pulp-admin logout; pulp-admin logout
    ls ~/.pulp/sessions.json 2>/dev/null; pulp-admin tasks list >/dev/null 2>&1; echo $?
    """
    assert scripts(script, HOME=str(tmp_path)) == [
        "Successfully logged in. The session will expire at TIME.",
        *("600", "0"),
        "0",
        "78",
        "77",
        *("Session successfully removed.", "No session found, nothing to do."),
        "77",
    ]
