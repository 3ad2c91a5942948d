"""Ctrl-C while a command still loads its modules ends it as it does later: with 130, and without a traceback."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import importlib.abc, sys

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {slow!r}:
            sys.meta_path.remove(self)
            print("loading", flush=True)
            sys.stdin.readline()

sys.meta_path.insert(0, Slow())
sys.argv[1:] = ["--version"]
from {module} import {function}
{function}()
"""


def entry_of(command: str, pyproject: str) -> tuple[str, str]:
    """The module and the function that the console script runs."""
    found = tomllib.loads((ROOT / pyproject).read_text())["project"]["scripts"][command]
    module, _, function = found.partition(":")
    return module, function


@pytest.mark.parametrize(
    ("command", "pyproject", "slow"),
    [
        ("pulp-admin", "cli/pyproject.toml", "click"),
        ("pulp-admin", "cli/pyproject.toml", "pulp_admin.settings"),
        ("pulp-tasks", "pyproject.toml", "click"),
    ],
)
def test_ctrl_c_while_a_module_loads(command: str, pyproject: str, slow: str) -> None:
    module, function = entry_of(command, pyproject)
    code = SCRIPT.format(slow=slow, module=module, function=function)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"loading\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


def test_ctrl_c_counts_as_usual_once_the_modules_are_loaded() -> None:
    module, function = entry_of("pulp-admin", "cli/pyproject.toml")
    code = f"""
import signal, sys, pulp_admin.main
pulp_admin.main.main = lambda: sys.exit(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)
from {module} import {function}
{function}()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
