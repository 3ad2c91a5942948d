"""The configuration files: our own `admin.toml`, and `admin.conf` where Pulp 2's client looks for it."""

import contextlib
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pulp_console.exits import CONFIG

from pulp_admin.admin_conf import AdminConf, ConfigValue, is_admin_conf
from pulp_admin.errors import Failure, why
from pulp_admin.settings import CONFIG_FILE, MORE_CONFIG, PASSWORD, SETTINGS

SITE: Final = Path("/etc/pulp/admin")
"""Where Pulp 2's client has the configuration of a machine: `admin.conf`, and further files in `conf.d`."""
_KEYS: Final = {each.key: each.kind for each in SETTINGS if each.key}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def config_path(env: Mapping[str, str]) -> Path | None:
    """The user's own file: `$PULP_ADMIN_CONFIG`, or `~/.pulp/admin.toml`. None for a user without a home."""
    named = env.get(CONFIG_FILE.variable)
    if named:
        return Path(named)
    try:
        return Path.home() / ".pulp" / "admin.toml"
    except RuntimeError:
        return None


def read_files(named: str | None, env: Mapping[str, str]) -> tuple[list[dict[str, ConfigValue]], list[str]]:
    """The settings of each file by key, in ascending precedence, and warnings. `named` is the file of `--config`.

    Raises `Failure` (78) that names the file and its fault.
    """
    found: list[dict[str, ConfigValue]] = []
    warnings: list[str] = []
    conf = AdminConf()
    for path, text in _texts(named, env):
        settings, remarks = conf.add(path, text) if is_admin_conf(path, text) else _read_toml(path, text)
        found.append(settings)
        warnings += [*remarks, *_check_secrecy(path, text, settings)]
    return found, warnings


def _texts(named: str | None, env: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Each existing file, in ascending precedence. A file that somebody has named must exist."""
    own = config_path(env)
    if env.get(CONFIG_FILE.variable) and own is not None:
        yield own, _named(own, CONFIG_FILE.variable)
    else:
        homes = [] if own is None else [own.with_name("admin.conf"), own]
        for path in (*_of_the_site(), *homes):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield path, _read(path)
    if named:
        yield Path(named), _named(Path(named), MORE_CONFIG.flag)


def _of_the_site() -> list[Path]:
    further = SITE / "conf.d"
    try:
        names = sorted(further.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise Failure(f"{further}: the folder cannot be read: {error.strerror}", CONFIG) from error
    return [SITE / "admin.conf", *(path for path in names if path.is_file() and not path.name.startswith("."))]


def _named(path: Path, by: str) -> str:
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise Failure(f"{path}: the configuration named by {by} is not there", CONFIG) from None


def _read(path: Path) -> str:
    """The text of a file. Raises `FileNotFoundError`, or `Failure` for one that is there and cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (FileNotFoundError, NotADirectoryError):
        raise
    except UnicodeDecodeError as error:
        byte = f"the byte at {error.start}"
        raise Failure(f"{path}: the configuration is not UTF-8 ({byte}): save it in UTF-8", CONFIG) from error
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: the configuration cannot be read: {why(error)}", CONFIG) from error


def _read_toml(path: Path, text: str) -> tuple[dict[str, ConfigValue], list[str]]:
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Failure(f"{path}: the configuration is not TOML: {error}", CONFIG) from error
    for key, value in found.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise Failure(f"{path}: unknown key {key!r}; known are: {', '.join(_KEYS)}", CONFIG)
        _check_kind(path, key, value, kind)
    return {key: ConfigValue(value, str(path)) for key, value in found.items()}, []


def _check_kind(path: Path, key: str, value: Any, kind: type) -> None:
    is_right = isinstance(value, (int, float) if kind is float else kind)
    if not is_right or (kind is not bool and isinstance(value, bool)):
        raise Failure(f"{path}: {key}: a {kind.__name__} is expected, not {type(value).__name__}", CONFIG)


def _check_secrecy(path: Path, text: str, settings: Mapping[str, ConfigValue]) -> list[str]:
    """Warn about a password that others may read. A user's own `admin.conf` is refused, as by Pulp 2's client."""
    if PASSWORD.key not in settings or SITE in path.parents or not path.stat().st_mode & _OTHERS:
        return []
    if is_admin_conf(path, text):
        raise Failure(f"{path}: it holds a password, and others may read it: chmod 600 {path}", CONFIG)
    return [f"warning: {path} holds a password and others may read it: chmod 600 {path}"]
