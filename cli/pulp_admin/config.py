"""Where the server is, and who asks: flags, then environment, then `~/.pulp/admin.toml`."""

import math
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from pulp_console.exits import CONFIG

from pulp_admin.errors import Failure
from pulp_admin.server_url import server_url

DEFAULT_URL: Final = "http://127.0.0.1:24817"
_KEYS: Final = {"url": str, "username": str, "password": str, "verify": bool, "ca_file": str, "timeout_s": float}
_DEFAULT_TIMEOUT_S: Final = 60.0
_LONGEST_TIMEOUT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a command needs to reach the server."""

    url: str
    url_source: str
    """Where the URL comes from, in words for a message."""
    username: str | None
    password: str | None
    verify: bool
    ca_file: str | None
    timeout_s: float
    folder: Path | None
    """The folder of the client's memory; None if it has none."""


class _Value(NamedTuple):
    value: Any
    source: str


def config_path(env: Mapping[str, str]) -> Path | None:
    """The configuration file: `$PULP_ADMIN_CONFIG`, or `~/.pulp/admin.toml`. None for a user without a home."""
    named = env.get("PULP_ADMIN_CONFIG")
    if named:
        return Path(named)
    try:
        return Path.home() / ".pulp" / "admin.toml"
    except RuntimeError:
        return None


def read_config(flags: Mapping[str, Any], env: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The configuration, and warnings about it. Raises `Failure` (78) that names the source and the key."""
    path = config_path(env)
    found, warnings = ({}, []) if path is None else _read_file(path, is_named=bool(env.get("PULP_ADMIN_CONFIG")))
    values = {key: _Value(value, str(path)) for key, value in found.items()}
    for key in ("url", "username", "password", "ca_file"):
        variable, flag = f"PULP_{key.upper()}", f"--{key.replace('_', '-')}"
        if env.get(variable):
            values[key] = _Value(env[variable], f"{variable} in the environment")
        if flags.get(key):
            values[key] = _Value(flags[key], flag)
    if flags.get("password_file"):
        values["password"] = _Value(_read_password(Path(flags["password_file"])), "--password-file")
    url = values.get("url", _Value(DEFAULT_URL, "the default"))
    return Config(
        url=server_url(url.value, url.source),
        url_source=url.source,
        username=_username(values.get("username")),
        password=_text(values.get("password"), "password", is_secret=True),
        verify=values["verify"].value if "verify" in values else True,
        ca_file=_text(values.get("ca_file"), "ca_file"),
        timeout_s=_timeout(values.get("timeout_s")),
        folder=own_folder(path),
    ), warnings


def _username(given: _Value | None) -> str | None:
    text = _text(given, "username")
    if text is not None and given is not None and ":" in text:
        raise Failure(f"{given.source}: username = {text!r}: a user name cannot hold a colon", CONFIG)
    return text


def _text(given: _Value | None, key: str, *, is_secret: bool = False) -> str | None:
    if given is None:
        return None
    text = str(given.value)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = "" if is_secret else f" = {text!a}"
        raise Failure(f"{given.source}: {key}{shown}: it is not UTF-8", CONFIG) from None
    return text


def _timeout(given: _Value | None) -> float:
    if given is None:
        return _DEFAULT_TIMEOUT_S
    seconds = float(given.value)
    if not (math.isfinite(seconds) and 0 < seconds <= _LONGEST_TIMEOUT_S):
        raise Failure(
            f"{given.source}: timeout_s = {given.value}: a number of seconds above 0 is expected, at most"
            f" {_LONGEST_TIMEOUT_S:.0f}",
            CONFIG,
        )
    return seconds


def own_folder(path: Path | None) -> Path | None:
    """Where the client keeps its files: beside the configuration, but not beside /dev/null, which stands for an empty
    one."""
    return path.parent if path is not None and (path.is_file() or not path.exists()) else None


def _read_file(path: Path, *, is_named: bool) -> tuple[dict[str, Any], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        if is_named:
            raise Failure(f"{path}: the configuration named by PULP_ADMIN_CONFIG is not there", CONFIG) from None
        return {}, []
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: the configuration cannot be read: {error}", CONFIG) from error
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Failure(f"{path}: the configuration is not TOML: {error}", CONFIG) from error
    for key, value in found.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise Failure(f"{path}: unknown key {key!r}; known are: {', '.join(_KEYS)}", CONFIG)
        is_right = isinstance(value, (int, float) if kind is float else kind)
        if not is_right or (kind is not bool and isinstance(value, bool)):
            raise Failure(f"{path}: {key}: a {kind.__name__} is expected, not {type(value).__name__}", CONFIG)
    return found, _warnings(path, found)


def _warnings(path: Path, found: Mapping[str, Any]) -> list[str]:
    if "password" in found and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [f"warning: {path} holds a password and others may read it: chmod 600 {path}"]
    return []


def _read_password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise Failure(f"--password-file {path}: it cannot be read: {error}", CONFIG) from error
    if not password:
        raise Failure(f"--password-file {path}: it is empty", CONFIG)
    return password
