"""Running the commands of a document as its reader types them: one shell, line by line, in the order of the page."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

DOCS: Final = Path(__file__).parents[2] / "docs"
IN_A_CLONE: Final = ("tutorial.md",)
ON_A_STACK: Final = (
    "audit.md",
    *(
        f"operate/{name}.md"
        for name in (
            "configure",
            "dead-letters",
            "kafka",
            "kafka-acls",
            "monitor",
            "preconditions",
            "read-model",
            "size",
            "troubleshoot",
            "upgrade",
            "one-machine",  # last: it replaces the stack by a copy
        )
    ),
)
"""Pages whose reader has processes at work."""
BESIDE_KAFKA_AND_POSTGRES: Final = ("operate/install.md", "operate/back-up.md")
"""Pages that start the processes themselves."""
WITH_EXAMPLES: Final = ("subscribe.md",)
"""Pages whose reader has a stack at work, and the examples of the repository."""
NOWHERE: Final = ("develop/operations.md",)
"""Pages with the same commands as another page that is run."""
BLOCK: Final = re.compile(r"((?:^ *[^`\s][^\n]*\n)*)\n?^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
NOT_RUN: Final = re.compile(r"^ *\*Not run by the tests: .{10,}\*$", re.MULTILINE)
_TASK_ID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_END: Final = re.compile(r"\x01(\d+)\n")


class Block(NamedTuple):
    """The lines of one block of commands, and whether the tests run it."""

    lines: tuple[str, ...]
    is_run: bool


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of commands of a page. One is not run if the paragraph before it gives the reason."""
    for before, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        yield Block(tuple(line.strip() for line in lines if line.strip()), NOT_RUN.search(before) is None)


class Shell:
    """A bash that stays open between commands. Use as a context manager."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            env=env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._task_id = "ID"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bash.kill()
        self._bash.communicate()

    def run(self, line: str) -> tuple[int, str]:
        """The exit code of a command and what it printed. `ID` stands for the last task id that was printed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        typed = re.sub(r"\bID\b", self._task_id, line)
        self._bash.stdin.write(f"{typed}\nprintf '\\001%d\\n' $?\n")
        self._bash.stdin.flush()
        printed = ""
        while (end := _END.search(printed)) is None:
            text = self._bash.stdout.readline()
            assert text, f"the shell ended in: {line}\n{printed}"
            printed += text
        printed = printed[: end.start()]
        self._task_id = next(reversed(_TASK_ID.findall(printed)), self._task_id)
        return int(end[1]), printed
