"""The demonstration as `./dev demo` runs it: it checks itself, and these tests check its output and leftovers."""

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pulp_deploy.demo import guide

from tests.support.command import environment

STEPS = "-abcdefgh"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    home = tmp_path_factory.mktemp("home")
    return subprocess.run(
        [sys.executable, "-m", "pulp_deploy", "demo"],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_every_step_is_shown_and_every_check_held(demo: "subprocess.CompletedProcess[str]") -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert re.findall(r"^\((.)\) ", demo.stdout, re.MULTILINE) == list(STEPS)
    held = len(re.findall(r"^held ", demo.stdout, re.MULTILINE))
    assert demo.stdout.splitlines()[-1].startswith(f"All {held} checks held: ")


def test_a_rebuilds_progress_is_shown_before_what_came_of_it(demo: "subprocess.CompletedProcess[str]") -> None:
    words = re.findall(r"^(filling|comparing|equal|switching|generation 2 is active)", demo.stdout, re.MULTILINE)
    assert list(dict.fromkeys(words)) == ["filling", "comparing", "equal", "switching", "generation 2 is active"]


def test_the_guides_pages_are_in_what_it_prints(demo: "subprocess.CompletedProcess[str]") -> None:
    pages = re.findall(r"^\+-+\+\n +Task Details\n.*?\n(?=held)", demo.stdout, re.MULTILINE | re.DOTALL)
    ids = [re.findall(r"^Task Id: +(\S+)$", page, re.MULTILINE)[0] for page in pages]
    found = [guide.differences(page, task_id) for page, task_id in zip(pages, ids, strict=True)]
    assert found.count([]) == 1
    assert re.search(r"^Cancel Not Implemented for Task: [0-9a-f-]{36}$", demo.stdout, re.MULTILINE)


def test_no_colours_in_a_pipe_and_no_process_or_folder_left(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "\x1b" not in demo.stdout
    folder = re.search(r"starting on (\S+)/data", demo.stderr)
    assert folder is not None
    assert not Path(folder[1]).exists()
    left = [
        process for process in psutil.process_iter(["cmdline"]) if folder[1] in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
