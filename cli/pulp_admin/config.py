"""Where the server is, and who asks: flags, then environment, then `~/.pulp/admin.toml`."""

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pulp_admin.errors import CONFIG, Failure

DEFAULT_URL: Final = "http://127.0.0.1:24817"
_KEYS: Final = {"url": str, "username": str, "password": str, "verify": bool, "ca_file": str, "timeout_s": float}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a command needs to reach the server."""

    url: str
    username: str | None
    password: str | None
    verify: bool
    ca_file: str | None
    timeout_s: float
    folder: Path
    """Where the client keeps what it remembers."""


def config_path(env: Mapping[str, str]) -> Path:
    """The configuration file: `$PULP_ADMIN_CONFIG`, or `~/.pulp/admin.toml`."""
    return Path(env.get("PULP_ADMIN_CONFIG") or Path.home() / ".pulp" / "admin.toml")


def read_config(flags: Mapping[str, Any], env: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The configuration, and warnings about it. Raises `Failure` (78) that names the file and the key."""
    path = config_path(env)
    found, warnings = _read_file(path, is_named="PULP_ADMIN_CONFIG" in env)
    password_file = flags.get("password_file")
    from_env = {
        "url": env.get("PULP_URL"),
        "username": env.get("PULP_USERNAME"),
        "password": env.get("PULP_PASSWORD"),
        "ca_file": env.get("PULP_CA_FILE"),
    }
    from_flags = {
        "url": flags.get("url"),
        "username": flags.get("username"),
        "password": None if password_file is None else _read_password(Path(password_file)),
        "ca_file": flags.get("ca_file"),
    }
    merged = dict(found)
    for source in (from_env, from_flags):
        merged.update({key: value for key, value in source.items() if value})
    url = str(merged.get("url", DEFAULT_URL)).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise Failure(f"url = {url!r}: it must begin with http:// or https://", CONFIG)
    config = Config(
        url=url,
        username=merged.get("username"),
        password=merged.get("password"),
        verify=bool(merged.get("verify", True)),
        ca_file=merged.get("ca_file"),
        timeout_s=float(merged.get("timeout_s", 60)),
        folder=path.parent,
    )
    return config, warnings


def _read_file(path: Path, *, is_named: bool) -> tuple[dict[str, Any], list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if is_named:
            raise Failure(f"{path}: the configuration named by PULP_ADMIN_CONFIG is not there", CONFIG) from None
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: the configuration cannot be read: {error}", CONFIG) from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path}: the configuration is not TOML: {error}", CONFIG) from error
    for key, value in found.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise Failure(f"{path}: unknown key {key!r}; known are: {', '.join(_KEYS)}", CONFIG)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise Failure(f"{path}: {key}: a {kind.__name__} is expected, not {type(value).__name__}", CONFIG)
    return found, _warnings(path, found)


def _warnings(path: Path, found: Mapping[str, Any]) -> list[str]:
    if "password" in found and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [f"warning: {path} holds a password and others may read it: chmod 600 {path}"]
    return []


def _read_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--password-file {path}: it cannot be read: {error}", CONFIG) from error
