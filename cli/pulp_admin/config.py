"""The configuration: options first, then the environment, then what `login` has kept, then the files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulp_console.exits import CONFIG

from pulp_admin.admin_conf import ConfigValue
from pulp_admin.config_files import config_path, read_files
from pulp_admin.errors import Failure, why
from pulp_admin.server_url import server_url
from pulp_admin.sessions import Sessions
from pulp_admin.settings import (
    CA_FILE,
    LONGEST_TIMEOUT_S,
    PASSWORD,
    PASSWORD_FILE,
    PROXY,
    TIMEOUT_S,
    TOKEN,
    URL,
    USERNAME,
    VERIFY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a command needs to reach the server."""

    url: str
    url_source: str
    """The source of the URL, in words for a message."""
    username: str | None
    password: str | None
    verify: bool
    ca_file: str | None
    timeout_s: float
    folder: Path | None
    """The folder of the client's memory; None if it has none."""
    ca_source: str = ""
    """Where `ca_file` comes from."""
    token: str | None = None
    """A bearer token, in place of the user and the password."""
    proxy: str | None = None
    """The URL of a proxy that a file names."""
    proxy_source: str = ""


def read_config(flags: Mapping[str, Any], env: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The configuration, and warnings about it. Raises `Failure` (78) that names the source and the key."""
    layers, warnings = read_files(flags.get("config"), env)
    said = [_of_environment(env), _of_flags(flags)]
    values = _merged([*layers, *said])
    url = values.get(URL.key, ConfigValue(URL.default, "the default"))
    address = server_url(url.value, url.source)
    folder = own_folder(config_path(env))
    token = _token(said, env) or _kept(said, folder, address)
    return Config(
        url=address,
        url_source=url.source,
        username=_username(values.get(USERNAME.key)),
        password=_text(values.get(PASSWORD.key), PASSWORD.key, is_secret=True),
        verify=values[VERIFY.key].value if VERIFY.key in values else VERIFY.default,
        ca_file=_text(values.get(CA_FILE.key), CA_FILE.key),
        timeout_s=_timeout(values.get(TIMEOUT_S.key)),
        folder=folder,
        ca_source=values[CA_FILE.key].source if CA_FILE.key in values else "",
        token=token,
        proxy=_text(values.get(PROXY.key), PROXY.key, is_secret=True) or None,
        proxy_source=values[PROXY.key].source if PROXY.key in values else "",
    ), warnings


def own_folder(path: Path | None) -> Path | None:
    """Where the client keeps its files: next to the configuration, unless that is /dev/null, which means an empty
    one."""
    return path.parent if path is not None and (path.is_file() or not path.exists()) else None


def _merged(layers: Sequence[Mapping[str, ConfigValue]]) -> dict[str, ConfigValue]:
    """All layers as one; later ones take precedence. A password counts only for the user name in its own layer."""
    values: dict[str, ConfigValue] = {}
    owner: ConfigValue | None = None
    for layer in layers:
        values |= layer
        if PASSWORD.key in layer:
            owner = layer.get(USERNAME.key)
    if owner is not None and owner.value != values[USERNAME.key].value:
        del values[PASSWORD.key]
    return values


def _names_user(layer: Mapping[str, ConfigValue]) -> bool:
    return USERNAME.key in layer or PASSWORD.key in layer


def _token(said: Sequence[Mapping[str, ConfigValue]], env: Mapping[str, str]) -> str | None:
    """The token in the environment, unless an option names a user. Raises `Failure` (78)."""
    token = env.get(TOKEN.variable, "").strip()
    if not token or _names_user(said[-1]):
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise Failure(f"{TOKEN.variable} in the environment: it holds a character that no token has", CONFIG)
    return token


def _kept(said: Sequence[Mapping[str, ConfigValue]], folder: Path | None, url: str) -> str | None:
    """What `login` has kept for the server, unless an option or a variable names a user. Raises `Failure` (78)."""
    session = None if any(map(_names_user, said)) else Sessions(folder).recall(url)
    return None if session is None else session.token


def _of_environment(env: Mapping[str, str]) -> dict[str, ConfigValue]:
    return {
        setting.key: ConfigValue(env[setting.variable], f"{setting.variable} in the environment")
        for setting in (URL, USERNAME, PASSWORD, CA_FILE)
        if env.get(setting.variable)
    }


def _of_flags(flags: Mapping[str, Any]) -> dict[str, ConfigValue]:
    settings = (URL, USERNAME, PASSWORD, CA_FILE)
    found = {each.key: ConfigValue(flags[each.key], each.flag) for each in settings if flags.get(each.key)}
    if flags.get("password_file"):
        found[PASSWORD.key] = ConfigValue(_read_password(Path(flags["password_file"])), PASSWORD_FILE.flag)
    return found


def _username(given: ConfigValue | None) -> str | None:
    text = _text(given, "username")
    if text is not None and given is not None and ":" in text:
        raise Failure(f"{given.source}: username = {text!r}: a user name cannot hold a colon", CONFIG)
    return text


def _text(given: ConfigValue | None, key: str, *, is_secret: bool = False) -> str | None:
    if given is None:
        return None
    text = str(given.value)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = "" if is_secret else f" = {text!a}"
        raise Failure(f"{given.source}: {key}{shown}: it is not UTF-8", CONFIG) from None
    return text


def _timeout(given: ConfigValue | None) -> float:
    if given is None:
        default: float = TIMEOUT_S.default
        return default
    seconds = float(given.value)
    if not (math.isfinite(seconds) and 0 < seconds <= LONGEST_TIMEOUT_S):
        raise Failure(
            f"{given.source}: timeout_s = {given.value}: a number of seconds above 0 is expected, at most"
            f" {LONGEST_TIMEOUT_S:.0f}",
            CONFIG,
        )
    return seconds


def _read_password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise Failure(f"--password-file {path}: it cannot be read: {why(error)}", CONFIG) from error
    if not password:
        raise Failure(f"--password-file {path}: it is empty", CONFIG)
    return password
