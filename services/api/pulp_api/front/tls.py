"""The API's TLS certificate, which can be replaced while the process runs."""

import logging
import os
import ssl
from asyncio import sslproto
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from pulp_events.declared_settings import Setting
from pulp_events.settings import SettingsError

_CERTIFICATE: Final = Setting("PULP_API_TLS_CERTIFICATE", "A PEM file with the API's certificate and its chain.")
_KEY: Final = Setting("PULP_API_TLS_KEY", "A PEM file with the key of that certificate.")
_KEY_PASSWORD_FILE: Final = Setting("PULP_API_TLS_KEY_PASSWORD_FILE", "A file that holds the password of that key.")
_CLIENT_CA: Final = Setting(
    "PULP_API_TLS_CLIENT_CA", "A PEM file with the authorities that must sign client certificates."
)
SETTINGS: Final = (_CERTIFICATE, _KEY, _KEY_PASSWORD_FILE, _CLIENT_CA)
_BUFFER_BYTES: Final = 32_768
"""The read buffer of each connection. asyncio's default of 256 KiB exceeds all other memory of a connection."""
_log = logging.getLogger("pulp.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files."""

    certificate: str
    """The server's certificate and its chain."""
    key: str
    key_password_file: str | None = None
    client_ca: str | None = None
    """The authority of client certificates; None if clients need none."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self | None:
        """None without TLS. Raises `SettingsError` if a file is missing."""
        certificate, key, key_password_file, client_ca = (setting.read(env) for setting in SETTINGS)
        if certificate is None and key is None:
            if key_password_file is not None or client_ca is not None:
                alone = _CLIENT_CA if key_password_file is None else _KEY_PASSWORD_FILE
                raise SettingsError(f"{alone.name} is set, but {_CERTIFICATE.name} is not: without it there is no TLS")
            return None
        if certificate is None or key is None:
            there, missing = (_KEY, _CERTIFICATE) if certificate is None else (_CERTIFICATE, _KEY)
            raise SettingsError(f"{there.name} is set, but {missing.name} is not: TLS needs both")
        return cls(certificate=certificate, key=key, key_password_file=key_password_file, client_ca=client_ca)

    def paths(self) -> list[str]:
        """The paths that are set."""
        return [path for path in (self.certificate, self.key, self.key_password_file, self.client_ca) if path]


class Certificates:
    """The TLS context of new connections, replaced when the files change."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `SettingsError` if the files cannot be used."""
        self._files = files
        self._seen = _state(files)
        self.context = _context(files)
        sslproto.SSLProtocol.max_size = _BUFFER_BYTES

    def reload(self) -> None:
        """Load the files. If they cannot be used, log why and keep the old context."""
        self._seen = _state(self._files)
        try:
            self.context = _context(self._files)
        except SettingsError as error:
            _log.error("the new TLS files cannot be used: the old certificate stays", extra={"error": str(error)})
        else:
            _log.info("the TLS certificate was reloaded", extra={"certificate": self._files.certificate})

    def reload_if_changed(self) -> None:
        """Reload once after each change of the files."""
        if _state(self._files) != self._seen:
            self.reload()


def _state(files: TlsFiles) -> list[tuple[int, ...]]:
    """A value that changes when a file is replaced or rewritten."""
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
        # Pass a password in any case: without one OpenSSL would prompt on the terminal.
        context.load_cert_chain(files.certificate, files.key, lambda: password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{_CERTIFICATE.name}={files.certificate}, {_KEY.name}={files.key}: they cannot be used: {error}."
            " A certificate and its key are expected, in PEM; the password of an encrypted key is read from"
            f" {_KEY_PASSWORD_FILE.name}"
        ) from None
    if files.client_ca is not None:
        _ask_for_certificates(context, files.client_ca)
    return context


def _ask_for_certificates(context: ssl.SSLContext, path: str) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{_CLIENT_CA.name}={path}: the certificates cannot be read: {error}") from None


def _password(path: str | None) -> bytes:
    if path is None:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(4096).rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(f"{_KEY_PASSWORD_FILE.name}={path}: it cannot be read: {error}") from None
