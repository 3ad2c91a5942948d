"""Signing repomd.xml with a key that the workers have, by GnuPG."""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pulp_worker import OperationError

from pulp_operations.publishing.packing import REPODATA
from pulp_operations.settings import Settings

_LIMIT_S: Final = 120
_REASON: Final = re.compile(r"gpg: (?:.*: )?([A-Za-z][A-Za-z ]{2,60})\s*$")


class Signer:
    """Signs with the key that the settings name. Only GnuPG's agent knows a passphrase."""

    def __init__(self, key: str, home: Path | None) -> None:
        self._key, self._home = key, home

    def public_key(self) -> bytes:
        """ASCII-armoured. Raises `OperationError` (`signing-failed`) if the key does not exist."""
        key = self._gpg("--armor", "--export", "--", self._key).stdout
        if not key:
            raise self._failed("GnuPG has no such key")
        return key

    def sign(self, publication: Path, public_key: bytes) -> None:
        """Write repomd.xml.asc and repomd.xml.key next to repomd.xml. Raises `OperationError` (`signing-failed`)."""
        signed = publication / REPODATA / "repomd.xml"
        signature, key = (signed.with_name(f"{signed.name}.{suffix}") for suffix in ("asc", "key"))
        with self._agent():
            self._gpg("--local-user", self._key, "--armor", "--detach-sign", "--output", str(signature), str(signed))
        self._gpg("--verify", str(signature), str(signed))
        key.write_bytes(public_key)

    @contextmanager
    def _agent(self) -> Iterator[None]:
        """Let one task at a time sign, and end the agent if GnuPG has started it for the task."""
        home = self._home or Path(os.environ.get("GNUPGHOME") or Path.home() / ".gnupg")
        try:
            descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._failed(f"the folder of GnuPG: {os.strerror(error.errno or 0)}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            has_agent = bool(self._run("gpg-connect-agent", "--no-autostart", "GETINFO pid", "/bye").stdout)
            try:
                yield
            finally:
                if not has_agent:
                    self._run("gpgconf", "--kill", "gpg-agent")
        finally:
            os.close(descriptor)

    def _gpg(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        done = self._run("gpg", "--batch", "--no-tty", "--yes", "--pinentry-mode", "error", *arguments)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            reasons = [found[1] for line in said if (found := _REASON.match(line))]
            raise self._failed(reasons[-1] if reasons else f"gpg ended with status {done.returncode}")
        return done

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        home = [] if self._home is None else ["--homedir", str(self._home)]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.run(
                [program, *home, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
                env=environment,
            )
        except FileNotFoundError:
            raise self._failed(f"{program} is not installed: install GnuPG on the worker") from None
        except OSError as error:
            raise self._failed(f"{program} cannot be run: {os.strerror(error.errno or 0)}") from None
        except subprocess.TimeoutExpired:
            raise self._failed(f"{program} did not answer within {_LIMIT_S} s") from None

    def _failed(self, reason: str) -> OperationError:
        return OperationError(
            "signing-failed",
            f"the metadata cannot be signed with the key {self._key}: {reason}. PULP_YUM_GPG_KEY and PULP_YUM_GPG_HOME"
            " of the worker name the key; its passphrase must be known to GnuPG's agent, or empty",
        )


def signer(settings: Settings) -> Signer | None:
    """The signer of publications; None if no key is set."""
    return None if settings.gpg_key is None else Signer(settings.gpg_key, settings.gpg_home)
