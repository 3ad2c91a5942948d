"""An archive of Kafka's loaded classes, which halves the JVM's start.

It is made once, by a short run of a broker, and kept in the user's cache folder. The JVM itself checks that it fits
(its own version, the class path, every jar's size and time) and does without it if it does not.
"""

import fcntl
import hashlib
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import platformdirs

from pulp_deploy.errors import DeployError
from pulp_deploy.files import make_folder, resolved
from pulp_deploy.local.accounts import shared_cache
from pulp_deploy.local.kafka import JVM_OPTIONS, Kafka, Node
from pulp_deploy.local.kafka_access import Login
from pulp_deploy.local.ports import free_ports

_READY_S: Final = 60.0
_WRITTEN_S: Final = 120.0
_log = logging.getLogger("pulp.stack")


def warm(kafka: Kafka, say: Callable[[str], None]) -> Kafka:
    """The same cluster, started from the archive, which is created now if it is missing.

    If anything is wrong with the archive, that is logged, and Kafka starts without it.
    """
    try:
        archive = _archive_of(kafka)
        if not archive.exists():
            _make(archive, kafka.class_path, say)
    except (OSError, DeployError, subprocess.SubprocessError) as error:
        _log.warning("Kafka starts without an archive of its classes: %s", error)
        return kafka
    return replace(kafka, archive=archive) if archive.exists() else kafka


def _archive_of(kafka: Kafka) -> Path:
    java = Path(kafka.java)
    fits = f"{java} {java.stat().st_mtime_ns} {kafka.class_path} {JVM_OPTIONS} with a login"
    if kafka.account is None:
        folder = resolved(platformdirs.user_cache_path("pulp-tasks"))
        make_folder(folder)
    else:
        folder = shared_cache()
    return folder / f"kafka-{hashlib.sha256(fits.encode()).hexdigest()[:16]}.aot"


def _make(archive: Path, class_path: str, say: Callable[[str], None]) -> None:
    with archive.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another start is creating it: this one does without
        say("preparing Kafka for quick starts (once, some 10 s)")
        with tempfile.TemporaryDirectory(prefix="pulp-tasks-warm-") as folder:
            port, controller_port = free_ports(2)
            node = Node(number=1, port=port, controller_port=controller_port, folder=Path(folder))
            kafka = Kafka(
                cluster_id="warm-start-of-the-jvm0",
                nodes=(node,),
                class_path=class_path,
                access=Login.of(Path(folder) / "login"),
            )
            kafka.prepare(node)
            aside = archive.with_suffix(f".{os.getpid()}")
            try:
                _run(kafka, node, aside)
                aside.chmod(0o644)  # its folder restricts who may read it
                aside.replace(archive)
            finally:
                aside.unlink(missing_ok=True)


def _run(kafka: Kafka, node: Node, archive: Path) -> None:
    command = kafka.command(node, node.folder)
    java, *arguments = command.arguments
    with subprocess.Popen(
        [java, f"-XX:AOTCacheOutput={archive}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(command.environment),
        process_group=0,
    ) as process:
        try:
            ends = time.monotonic() + _READY_S
            while not kafka.is_ready():
                if process.poll() is not None or time.monotonic() > ends:
                    raise DeployError("the broker that was to be recorded did not start")
                time.sleep(0.1)
            process.terminate()
            process.wait(_WRITTEN_S)
        finally:
            process.kill()
    if not archive.exists():
        raise DeployError("the JVM did not write it")
