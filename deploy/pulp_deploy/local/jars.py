"""Kafka's jars: downloaded once by jgo, verified at every start against the checksums committed here."""

import fcntl
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from pulp_deploy.errors import DeployError, JarMismatch

KAFKA: Final = "org.apache.kafka:kafka_2.13:4.3.1"
_LOGGING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # without it Kafka logs nothing
_SUMS: Final = "kafka-jars.sha256"


def class_path(say: Callable[[str], None] = lambda line: None) -> str:
    """The Java class path of Kafka; downloads it the first time, with progress through `say`.

    It names the files in Maven's repository, which stay: jgo recreates its own folders of links while others read them.
    Raises `JarMismatch` if a jar is not the one that was released, `DeployError` if it cannot be downloaded.
    """
    repository, released = _repository(), released_sums()
    if _missing(repository, released):
        with _alone(repository, say):
            if _missing(repository, released):
                _Download(say).run()
    check(repository, released)
    return ":".join(str(repository / name) for name in released)


def released_sums() -> dict[str, str]:
    """SHA-256 of every jar, by its path in the repository."""
    lines = files("pulp_deploy").joinpath(_SUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def check(repository: Path, released: Mapping[str, str]) -> None:
    """Raise `JarMismatch` unless all released jars are there as they were released."""
    for missing in _missing(repository, released):
        raise JarMismatch(f"{repository / missing} is missing, though it was downloaded: start again")
    for name, digest in released.items():
        jar = repository / name
        with jar.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise JarMismatch(
                f"{jar} has the SHA-256 sum {found}, released was {digest}: it is damaged or was replaced. Remove it"
                " and start again: it is then downloaded again"
            )


def _missing(repository: Path, released: Iterable[str]) -> list[str]:
    return [name for name in released if not (repository / name).is_file()]


@contextmanager
def _alone(repository: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One download at a time: two would corrupt each other's files."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / "pulp-tasks.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is downloading Apache Kafka: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Download:
    """Runs jgo, which prints nothing, and reports progress from the files that appear in its repository."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started = time.time()
        self._error: BaseException | None = None

    def run(self) -> None:
        thread = threading.Thread(target=self._build, name="jgo", daemon=True)
        thread.start()
        thread.join(2.0)
        terminal = sys.stderr.isatty()
        while thread.is_alive():
            self._say(self._line())
            thread.join(0.5 if terminal else 5.0)
        if self._error is not None:
            raise DeployError(
                f"Kafka's jars ({KAFKA}) could not be had: {self._error}. The first start needs a network; later"
                " ones do not"
            ) from self._error

    def _build(self) -> None:
        import jgo

        try:
            for coordinates in (KAFKA, _LOGGING):  # apart: resolved together, jgo chooses other versions
                jgo.build(coordinates, update=True)  # its cache may name files that were removed from the repository
        except Exception as error:  # re-raised in the caller's thread
            self._error = error

    def _line(self) -> str:
        jars = [jar for jar in _repository().glob("**/*.jar") if jar.stat().st_mtime >= self._started - 1]
        size_mb = sum(jar.stat().st_size for jar in jars) / 1e6
        elapsed_s = time.time() - self._started
        return (
            f"downloading Apache Kafka: {len(jars)} of {len(released_sums())} jars, {size_mb:.1f} MB, {elapsed_s:.0f} s"
        )


def _repository() -> Path:
    from jgo.config import GlobalSettings

    return Path(GlobalSettings.load().repo_cache)
