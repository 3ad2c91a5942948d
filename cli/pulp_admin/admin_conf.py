"""Reads `admin.conf`, the configuration file of Pulp 2's client: sections of `name = value`. Pure."""

import configparser
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pulp_console.exits import CONFIG

from pulp_admin.errors import Failure
from pulp_admin.settings import CA_FILE, PASSWORD, PROXY, URL, USERNAME, VERIFY

_API: Final = "/pulp/api"
_OF_THE_URL: Final = ("host", "port", "api_prefix")
_OF_THE_PROXY: Final = ("proxy_host", "proxy_port")
_PROXY_PORT: Final = "3128"
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (*_OF_THE_URL, "verify_ssl", "ca_path", "upload_chunk_size", *_OF_THE_PROXY),
    "auth": ("username", "password"),
}
"""The sections that are read, and every name that Pulp 2 knows in them."""
_KEYS: Final = (
    ("server", "ca_path", CA_FILE.key),
    ("auth", "username", USERNAME.key),
    ("auth", "password", PASSWORD.key),
)
"""Values that are used unchanged, and their keys here."""
_HOST: Final = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?\]?")
"""A name, which may be in any script, or an address."""
_PORT: Final = re.compile(r":\d+\Z")
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class ConfigValue(NamedTuple):
    """A setting's value, and where it was set."""

    value: Any
    source: str


def is_admin_conf(path: Path, text: str) -> bool:
    """Whether a configuration file is of this kind.

    It is if only such files have its name or folder, or if it begins with a section, which `admin.toml` does not have.
    """
    if path.name == "admin.conf" or (path.parent.name == "conf.d" and path.suffix != ".toml"):
        return True
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and line[0] not in "#;"), "").startswith("[")


class AdminConf:
    """The sections of several files merged: a later file overrides an earlier one, name by name."""

    def __init__(self) -> None:
        self._server: dict[str, ConfigValue] = {}

    def add(self, path: Path, text: str) -> tuple[dict[str, ConfigValue], list[str]]:
        """Return the settings that this file changes, by their keys, and warnings. Raises `Failure` (78)."""
        sections, warnings = _sections(path, text)
        server = sections.get("server", {})
        self._server |= server
        found: dict[str, ConfigValue] = {}
        if not server.keys().isdisjoint(_OF_THE_URL):
            found[URL.key] = self._url()
        if not server.keys().isdisjoint(_OF_THE_PROXY):
            found[PROXY.key] = self._proxy()
        if "verify_ssl" in server:
            found[VERIFY.key] = _truth("verify_ssl", server["verify_ssl"])
        for section, name, key in _KEYS:
            said = sections.get(section, {}).get(name)
            if said is not None and said.value:
                found[key] = said
        return found, [*warnings, *_warnings(sections)]

    def _url(self) -> ConfigValue:
        """The server's URL from the values of all files so far; Pulp 2 speaks only HTTPS."""
        nothing = ConfigValue("", "")
        host, port, prefix = (self._server.get(name, nothing) for name in _OF_THE_URL)
        number, path = _number("port", port, "443"), (prefix.value or _API).rstrip("/")
        if not path.endswith(_API):
            raise Failure(f"{prefix.source}: api_prefix = {prefix.value!r}: it has to end in {_API}", CONFIG)
        shown = _machine("host", host, "port") if host.value else _bracketed(socket.gethostname())
        source = host.source or port.source or prefix.source
        return ConfigValue(f"https://{shown}:{number}{path.removesuffix(_API)}", source)

    def _proxy(self) -> ConfigValue:
        """The URL of the proxy from the values of all files so far; empty if none."""
        nothing = ConfigValue("", "")
        host, port = (self._server.get(name, nothing) for name in _OF_THE_PROXY)
        if not host.value:
            return ConfigValue("", port.source)
        number = _number("proxy_port", port, _PROXY_PORT)
        return ConfigValue(f"http://{_machine('proxy_host', host, 'proxy_port')}:{number}", host.source)


def _number(name: str, said: ConfigValue, default: str) -> str:
    """The number of a port. Raises `Failure` (78)."""
    number = str(said.value or default)
    if not (number.isascii() and number.isdigit()):
        raise Failure(f"{said.source}: {name} = {number!r}: a number from 1 to 65535 is expected", CONFIG)
    return number


def _machine(name: str, said: ConfigValue, port: str) -> str:
    """The name or the address of a machine, as a URL has it; its port is another value. Raises `Failure` (78)."""
    text = str(said.value)
    if not _HOST.fullmatch(text) or (text.count(":") == 1 and _PORT.search(text)):
        advice = f"the name or the address of a machine is expected, without https:// or quotes; {port} stands apart"
        raise Failure(f"{said.source}: {name} = {text!r}: {advice}", CONFIG)
    return _bracketed(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _sections(path: Path, text: str) -> tuple[dict[str, dict[str, ConfigValue]], list[str]]:
    """The sections to read, and warnings about similar names. All other sections belong to extensions."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        if error.line.startswith("["):
            raise _unreadable(path, error.lineno) from None
        raise Failure(
            f"{path}: line {error.lineno} is in no section: put [server] or [auth] before it", CONFIG
        ) from None
    except configparser.ParsingError as error:
        raise _unreadable(path, error.errors[0][0]) from None
    found = {
        section: {
            name: ConfigValue(_without_remark(value), f"{path}, [{section}]") for name, value in parser[section].items()
        }
        for section in _NAMES
        if parser.has_section(section)
    }
    meant = {each: each.strip().lower() for each in parser.sections() if each not in _NAMES}
    return found, [
        f"warning: {path}: [{each}] is ignored; the section that counts is [{name}]"
        for each, name in meant.items()
        if name in _NAMES
    ]


def _without_remark(value: str) -> str:
    """The value without its remark. As in Pulp 2, one begins at the first semicolon, if a blank is before it."""
    at = value.find(";")
    return (value[:at] if at > 0 and value[at - 1].isspace() else value).strip()


def _unreadable(path: Path, line: int) -> Failure:
    """The parser's own message quotes the line, which may hold a password."""
    return Failure(f"{path}: line {line}: a [section] or NAME = VALUE is expected", CONFIG)


def _truth(name: str, said: ConfigValue) -> ConfigValue:
    found = _TRUTHS.get(str(said.value).lower())
    if found is None:
        raise Failure(f"{said.source}: {name} = {said.value!r}: true or false is expected", CONFIG)
    return ConfigValue(found, said.source)


def _warnings(sections: Mapping[str, Mapping[str, ConfigValue]]) -> list[str]:
    return [
        f"warning: {said.source}: {name} is unknown, and ignored; known are: {', '.join(_NAMES[section])}"
        for section, names in sections.items()
        for name, said in names.items()
        if name not in _NAMES[section]
    ]
