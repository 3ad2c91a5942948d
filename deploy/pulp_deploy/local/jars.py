"""Kafka's jars: brought once by jgo, checked at every start against the sums that are committed here."""

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from pulp_deploy.errors import DeployError, JarMismatch

KAFKA: Final = "org.apache.kafka:kafka_2.13:4.3.1"
_LOGGING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # without it Kafka logs nothing
_SUMS: Final = "kafka-jars.sha256"


def class_path(say: Callable[[str], None] = lambda line: None) -> str:
    """The Java class path of Kafka; downloads it the first time, with progress through `say`.

    Raises `JarMismatch` if a jar is not the one that was released, `DeployError` if it cannot be had.
    """
    folders = _Download(say).run()
    by_name = {jar.name: jar for folder in folders for jar in sorted(folder.glob("*.jar"))}
    jars = list(by_name.values())
    check(jars, released_sums())
    return ":".join(str(jar) for jar in jars)


def released_sums() -> dict[str, str]:
    """SHA-256 by file name of every jar."""
    lines = files("pulp_deploy").joinpath(_SUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def check(jars: list[Path], released: Mapping[str, str]) -> None:
    """Raise `JarMismatch` unless these are exactly the released jars."""
    found = {jar.name: jar for jar in jars}
    for name, jar in found.items():
        if name not in released:
            raise JarMismatch(f"{jar} is not one of Kafka's released jars: remove it and start again")
        with jar.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != released[name]:
            raise JarMismatch(
                f"{jar} has the SHA-256 sum {digest}, released was {released[name]}: it is damaged or was replaced."
                f" Remove it, the folder {jar.parent.parent} and its copy below {_repository()}, and start again:"
                " it is then downloaded anew"
            )
    missing = sorted(released.keys() - found.keys())
    if missing:
        where = jars[0].parent.parent if jars else "the cache"
        raise JarMismatch(f"{missing[0]} is missing in {where}: remove that folder and start again")


class _Download:
    """Runs jgo, which prints nothing, and tells how far it is: by what has appeared in its repository."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started = time.time()
        self._folders: list[Path] = []
        self._error: BaseException | None = None

    def run(self) -> list[Path]:
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
        return self._folders

    def _build(self) -> None:
        import jgo

        try:
            for coordinates in (KAFKA, _LOGGING):  # apart: resolved together, jgo chooses other versions
                environment = jgo.build(coordinates)
                self._folders += [Path(folder) for folder in (environment.jars_dir, environment.modules_dir)]
        except Exception as error:  # handed to the caller's thread
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
