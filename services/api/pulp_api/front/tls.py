"""The API's certificate, which can be changed while it runs."""

import logging
import os
import ssl
from asyncio import sslproto
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from pulp_events import settings as read
from pulp_events.settings import SettingsError

_KEYS: Final = {
    "certificate": "PULP_API_TLS_CERTIFICATE",
    "key": "PULP_API_TLS_KEY",
    "key_password_file": "PULP_API_TLS_KEY_PASSWORD_FILE",
    "client_ca": "PULP_API_TLS_CLIENT_CA",
}
_BUFFER_BYTES: Final = 32_768
"""Of each connection. asyncio takes 256 KiB, which is more than all else that a connection needs."""
_log = logging.getLogger("pulp.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files."""

    certificate: str
    """The server's, with those that lead to its root."""
    key: str
    key_password_file: str | None = None
    client_ca: str | None = None
    """Whose certificates clients must have; None if they need none."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self | None:
        """None without TLS. Raises `SettingsError` where a part is missing."""
        found = {name: read.text(env, key, "") or None for name, key in _KEYS.items()}
        certificate, key = found["certificate"], found["key"]
        if certificate is None and key is None:
            alone = next((_KEYS[name] for name, value in found.items() if value), None)
            if alone:
                raise SettingsError(f"{alone} is set, but PULP_API_TLS_CERTIFICATE is not: without it there is no TLS")
            return None
        if certificate is None or key is None:
            has, lacks = ("key", "certificate") if certificate is None else ("certificate", "key")
            raise SettingsError(f"{_KEYS[has]} is set, but {_KEYS[lacks]} is not: TLS needs both")
        return cls(
            certificate=certificate,
            key=key,
            key_password_file=found["key_password_file"],
            client_ca=found["client_ca"],
        )

    def paths(self) -> list[str]:
        """All that are set."""
        return [path for path in (self.certificate, self.key, self.key_password_file, self.client_ca) if path]


class Certificates:
    """The context of new connections, made anew when the files have changed."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `SettingsError` where the files cannot be used."""
        self._files = files
        self._seen = _state(files)
        self.context = _context(files)
        sslproto.SSLProtocol.max_size = _BUFFER_BYTES

    def reload(self) -> None:
        """Use the files as they are now; if they cannot be used, go on with what there was, and log why."""
        self._seen = _state(self._files)
        try:
            self.context = _context(self._files)
        except SettingsError as error:
            _log.error("the new TLS files cannot be used: the old certificate stays", extra={"error": str(error)})
        else:
            _log.info("the TLS certificate was read anew", extra={"certificate": self._files.certificate})

    def reload_if_changed(self) -> None:
        """Reload once after each change of the files."""
        if _state(self._files) != self._seen:
            self.reload()


def _state(files: TlsFiles) -> list[tuple[int, ...]]:
    """What differs when a file was replaced or written anew."""
    found: list[tuple[int, ...]] = []
    for path in files.paths():
        try:
            state = os.stat(path)
            found.append((state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))
        except OSError as error:
            found.append((error.errno or 0,))
    return found


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    password = _password(files.key_password_file)
    try:
        # Always a password: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, lambda: password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"PULP_API_TLS_CERTIFICATE={files.certificate}, PULP_API_TLS_KEY={files.key}: they cannot be used: {error}."
            " A certificate and its key are expected, in PEM; the password of an encrypted key is read from"
            " PULP_API_TLS_KEY_PASSWORD_FILE"
        ) from None
    if files.client_ca is not None:
        _ask_for_certificates(context, files.client_ca)
    return context


def _ask_for_certificates(context: ssl.SSLContext, path: str) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"PULP_API_TLS_CLIENT_CA={path}: the certificates cannot be read: {error}") from None


def _password(path: str | None) -> bytes:
    if path is None:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(4096).rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(f"PULP_API_TLS_KEY_PASSWORD_FILE={path}: it cannot be read: {error}") from None
