"""What dnf and createrepo_c read from the shapes: run here if they are installed, else as recorded.

To record again, with dnf installed (Debian: apt-get install --no-install-recommends dnf):

    ./dev run python -m tests.yum.reference
"""

import argparse
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.repositories.serving import RepositoryServer
from tests.yum.shapes import SHAPES, Shape

_HERE: Final = Path(__file__).parent
RECORDED: Final = _HERE / "recorded.json"
_DNF_PYTHONS: Final = ("/usr/bin/python3", "/usr/libexec/platform-python")
_TIMEOUT_S: Final = 240
_ENDS: Final[dict[int, str]] = {
    signal.SIGXCPU: "does not end",
    signal.SIGKILL: "does not end",
    signal.SIGSEGV: "crashes",
    signal.SIGABRT: "crashes",
}
Read = dict[str, Any]
"""`error` (the name of an exception, or None), `packages` by NEVRA with `files` and `changelogs`, `advisories`, `groups`."""


@dataclass(frozen=True)
class Said:
    """What both say about a shape; None if they were not run."""

    dnf: Read | None
    createrepo_c: Read | None


@functools.cache
def recorded() -> dict[str, Any]:
    """The recorded values: `versions`, and `shapes` by name."""
    return dict(json.loads(RECORDED.read_text(encoding="utf-8")))


def recorded_for(shape: Shape) -> Said:
    """The recorded values for a shape."""
    return Said(**recorded()["shapes"][shape.name])


@functools.cache
def dnf_python() -> str | None:
    """The system's Python that has dnf; None if there is none."""
    for python in _DNF_PYTHONS:
        if Path(python).exists() and _run([python, "-I", "-c", "import dnf"], _HERE).returncode == 0:
            return python
    return None


@functools.cache
def dnf_version() -> str | None:
    """The version of dnf here."""
    python = dnf_python()
    if python is None:
        return None
    return _run([python, "-I", "-c", "import dnf; print(dnf.VERSION)"], _HERE).stdout.strip()


class Reference:
    """What dnf and createrepo_c say about shapes: run here once for each shape if dnf is installed, else as recorded.

    Shapes named beforehand are run in parallel with everything else.
    """

    def __init__(self, beforehand: Iterable[Shape] = ()) -> None:
        self._is_here = dnf_python() is not None
        self._asking = ThreadPoolExecutor(max_workers=2)
        self._asked: dict[str, Future[Said]] = {}
        if self._is_here:
            for shape in beforehand:
                self._ask(shape)

    def on(self, shape: Shape) -> Said:
        """What they say."""
        return self._ask(shape).result() if self._is_here else recorded_for(shape)

    def close(self) -> None:
        """Run nothing more."""
        self._asking.shutdown(cancel_futures=True)

    def _ask(self, shape: Shape) -> "Future[Said]":
        if shape.name not in self._asked:
            self._asked[shape.name] = self._asking.submit(asked, shape)
        return self._asked[shape.name]


def asked(shape: Shape) -> Said:
    """What both say about the shape here and now; dnf must be installed."""
    return Said(dnf=_ask_dnf(shape), createrepo_c=ask_createrepo_c_for(shape))


def _ask_dnf(shape: Shape) -> Read | None:
    if not shape.by_dnf or dnf_python() is None:
        return None
    with RepositoryServer(manner=shape.manner) as server:
        server.tree = shape.make(server.url).tree()
        return dnf_reads(shape.url_kind, f"{server.url}{shape.feed}")


def dnf_reads(url_kind: str, url: str) -> Read:
    """What dnf reads from the repository at a URL. Raises `LookupError` without dnf."""
    python = dnf_python()
    if python is None:
        raise LookupError("dnf is not installed")
    with tempfile.TemporaryDirectory() as folder:
        return _said(_run([python, "-I", str(_HERE / "dnf_reads.py"), url_kind, url, folder], Path(folder)))


def ask_createrepo_c_for(shape: Shape) -> Read | None:
    """What createrepo_c says about the shape here and now."""
    if not shape.on_disk:
        return None
    with tempfile.TemporaryDirectory() as folder:
        repository = shape.make("http://127.0.0.1/")
        repository.write(Path(folder))
        return createrepo_c_reads(Path(folder) / repository.folder)


def createrepo_c_reads(folder: Path) -> Read:
    """What createrepo_c reads from a repository on disk."""
    return _said(_run([sys.executable, str(_HERE / "createrepo_c_reads.py"), str(folder)], folder))


def _run(command: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
    env = {**kept, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
    )


def _said(ended: "subprocess.CompletedProcess[str]") -> Read:
    """What a reader printed; a reader that fails before that is an answer too."""
    try:
        return dict(json.loads(ended.stdout.splitlines()[-1])["read"])
    except (IndexError, ValueError):
        error = _ENDS.get(-ended.returncode, f"ended with {ended.returncode}")
        return {"error": error, "words": ended.stderr, "packages": {}}


def _record() -> None:
    import createrepo_c

    parser = argparse.ArgumentParser(description="Record what dnf and createrepo_c say to the shapes.")
    parser.add_argument("names", nargs="*", help="of shapes; else all")
    names = parser.parse_args().names or list(SHAPES)
    old = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {"shapes": {}}
    shapes = {name: old["shapes"][name] for name in SHAPES if name in old["shapes"]}
    for name in names:
        said = asked(SHAPES[name])
        shapes[name] = {"dnf": kept(said.dnf), "createrepo_c": kept(said.createrepo_c)}
        print(name, *("-" if read is None else read["error"] or len(read["packages"]) for read in vars(said).values()))
    lines = [f'  "{name}": {json.dumps(shapes[name], sort_keys=True)}' for name in SHAPES if name in shapes]
    versions = json.dumps({"createrepo_c": createrepo_c.VERSION, "dnf": dnf_version()})
    body = ",\n".join(lines)
    RECORDED.write_text(f'{{"versions": {versions}, "shapes": {{\n{body}\n}}}}\n', encoding="utf-8")


def kept(read: Read | None) -> Read | None:
    """What is compared: no words, which hold the machine's paths and ports, and no fields, which dnf does not
    report."""
    if read is None:
        return None
    kept = {key: value for key, value in read.items() if key not in ("words", "types", "packages")}
    packages = read.get("packages", {})
    return {**kept, "packages": {nevra: _compared(package) for nevra, package in packages.items()}}


def _compared(package: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in package.items() if key in ("files", "changelogs")}


if __name__ == "__main__":
    _record()
