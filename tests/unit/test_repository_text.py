"""Texts that no file of the repository may contain."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "a place of one machine": r"(?<![\w.~$}])/(work|root)/|/tmp/(stack|brief)\b",
    "the address of a package registry": r"pypi" + r"\.org|pythonhosted|repo1" + r"\.maven|maven" + r"\.org/maven2",
    "an unfinished thought": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
    "code that tests may skip": r"pragma: " + r"no cover",
    "a private key": r"BEGIN [A-Z ]*PRIVATE" + r" KEY",
}


def tracked() -> list[Path]:
    """The files that git tracks; skips the test without git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git repository: there is no list of its files")
    return [ROOT / name for name in listed if name]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked():
        if not path.is_file() or path == Path(__file__):
            continue
        text = path.read_bytes().decode(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
