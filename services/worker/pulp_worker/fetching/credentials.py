"""Named credentials of feeds, from files that only the worker's user may read.

An operation names one; the files define it and its URLs. It is sent only to those URLs.
"""

import os
import re
import ssl
import stat
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx
import msgspec
from msgspec import Struct
from pulp_events.plain_words import misfit_of

from pulp_worker.errors import OperationError
from pulp_worker.fetching.prefixes import Prefix, prefix
from pulp_worker.fetching.tls import system_tls

SETTING: Final = "PULP_FEED_CREDENTIALS"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_QUERY: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+")
_LINE: Final = re.compile(r"at line ([0-9]+)")
_MOST_BYTES: Final = 1 << 20
_OURS: Final = frozenset({"host", "range", "if-range", "content-length", "transfer-encoding", "connection"})


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a file. Paths are relative to the file's folder."""

    urls: list[str]
    user: str | None = None
    password: str | None = None
    password_file: str | None = None
    headers: dict[str, str] = {}
    query: str | None = None
    query_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    ca: str | None = None
    proxy: str | None = None


class Credential:
    """What a credential adds to the requests for its URLs. Its text form contains no secret."""

    def __init__(self, name: str, prefixes: tuple[Prefix, ...]) -> None:
        self.name = name
        self._prefixes = prefixes
        self.headers: dict[str, str] = {}
        self.query = ""
        self.proxy: str | None = None
        """None means the proxy of the environment; empty means no proxy."""
        self.certificate: tuple[Path, Path | None] | None = None
        """The client's certificate, and its key if that is in another file."""
        self.ca: Path | None = None

    def covers(self, url: httpx.URL) -> bool:
        """Whether it is for this URL."""
        return any(each.covers(url) for each in self._prefixes)

    def tls(self) -> ssl.SSLContext:
        """The TLS context for connections to its URLs. Raises `OperationError` (`bad-credential`) for files that TLS
        cannot use."""
        context = system_tls() if self.ca is None else None
        try:
            if context is None:
                context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(*self.certificate, password=_no_password)
        except (OSError, ValueError):  # ssl.SSLError is among them
            _bad(f"credential {self.name!r}: its CA bundle, certificate or key cannot be used: no PEM, or locked")
        return context


def credential(name: str, setting: str | None) -> Credential:
    """The credential of this name, as the files have it now.

    Raises `OperationError`: `unknown-credential` if it does not exist, `bad-credential` if a file cannot be used.
    Neither message repeats anything from a file, except the names of keys.
    """
    found = [(path, table) for path in _files(setting) for key, table in _tables(path).items() if key == name]
    if not found:
        known = "there is none" if setting else f"{SETTING} is not set on this worker"
        raise OperationError(
            "unknown-credential",
            f"no credential is called {name if _NAME.fullmatch(name) else 'that'!r}: {known}; who runs the workers adds"
            f" it to the files that {SETTING} names",
        )
    if len(found) > 1:
        _bad(f"credential {name!r} is in {found[0][0].name} and in {found[1][0].name}: keep one of them")
    [(path, table)] = found
    return _made(name, path, table)


def _made(name: str, path: Path, table: Any) -> Credential:
    where = f"{path.name}: credential {name!r}"
    try:
        entry = msgspec.convert(table, _Entry)
    except msgspec.ValidationError as error:  # it names keys and types, but no values
        _bad(f"{where}: {misfit_of(error, _Entry).of('the table')}")
    if not entry.urls:
        _bad(f"{where}: 'urls' is empty, so it is for nothing; name https://HOST/PATH/")
    made = Credential(name, tuple(_prefix(text, where) for text in entry.urls))
    made.headers = _headers(entry, path.parent, where)
    made.query = (_secret(entry.query, entry.query_file, path.parent, where, "query") or "").removeprefix("?")
    if made.query and not _QUERY.fullmatch(made.query):
        _bad(f"{where}: 'query' has characters that no query of a URL has; percent-encode them")
    made.proxy = entry.proxy
    made.ca = None if entry.ca is None else path.parent / entry.ca
    made.certificate = _certificate(entry, path.parent, where)
    return made


def _prefix(text: str, where: str) -> Prefix:
    found = prefix(text)
    if found is None:
        _bad(f"{where}: 'urls' takes https://HOST/PATH/ and https://*.HOST/, without user, query and dots in the path")
    return found


def _headers(entry: _Entry, folder: Path, where: str) -> dict[str, str]:
    made = dict(entry.headers)
    for name, value in made.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS or not _HEADER_VALUE.fullmatch(value):
            _bad(f"{where}: 'headers' has a name or a value that no header may have here")
    password = _secret(entry.password, entry.password_file, folder, where, "password")
    if (entry.user is None) != (password is None):
        _bad(f"{where}: 'user' and 'password' (or 'password_file') go together")
    if entry.user is not None and password is not None:
        if ":" in entry.user:
            _bad(f"{where}: a 'user' with a colon cannot be sent")
        made["Authorization"] = f"Basic {b64encode(f'{entry.user}:{password}'.encode()).decode()}"
    return made


def _certificate(entry: _Entry, folder: Path, where: str) -> tuple[Path, Path | None] | None:
    if entry.client_certificate is None:
        if entry.client_key is not None:
            _bad(f"{where}: 'client_key' needs a 'client_certificate'")
        return None
    certificate = folder / entry.client_certificate
    key = None if entry.client_key is None else folder / entry.client_key
    _read_private(certificate if key is None else key)
    return certificate, key


def _secret(text: str | None, file: str | None, folder: Path, where: str, key: str) -> str | None:
    if text is not None and file is not None:
        _bad(f"{where}: give '{key}' or '{key}_file', not both")
    if file is None:
        return text
    content = _read_private(folder / file)
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        _bad(f"{where}: '{key}_file' is not text in UTF-8")


def _files(setting: str | None) -> Iterator[Path]:
    if not setting:
        return
    path = Path(setting)
    try:
        yield from sorted(path.glob("*.toml")) if path.is_dir() else [path]
    except OSError as error:
        _bad(f"{SETTING}: {path.name} cannot be read: {os.strerror(error.errno or 0)}")


def _tables(path: Path) -> dict[str, Any]:
    content = _read_private(path)
    try:
        tables = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        _bad(f"{path.name} is not text in UTF-8")
    except tomllib.TOMLDecodeError as error:  # it may quote the contents
        line = _LINE.search(str(error))
        _bad(f"{path.name} is not TOML: line {line[1] if line else 'unknown'}")
    for name, table in tables.items():
        if not _NAME.fullmatch(name) or not isinstance(table, dict):
            _bad(f"{path.name}: tables are expected, named as credentials: letters, digits, '.', '_' and '-'")
    return tables


def _read_private(path: Path) -> bytes:
    """The content of a file that nobody else may read: it is the worker's user's, or root's for the worker's group."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            is_own = found.st_uid == os.geteuid() and not found.st_mode & 0o077
            is_root_s = found.st_uid == 0 != os.geteuid() and not found.st_mode & 0o027  # as Kubernetes mounts it
            if not stat.S_ISREG(found.st_mode) or not (is_own or is_root_s):
                _bad(f"{path.name} may be read by others, or is not ours: give it to the worker's user, with mode 0600")
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        _bad(f"{path.name} cannot be read: {os.strerror(error.errno or 0)}")
    if len(content) > _MOST_BYTES:
        _bad(f"{path.name} has over {_MOST_BYTES} bytes")
    return content


def _no_password() -> bytes:
    raise ValueError("a key with a password")  # OpenSSL would ask on the terminal


def _bad(text: str) -> NoReturn:
    raise OperationError("bad-credential", f"{text} ({SETTING})")
