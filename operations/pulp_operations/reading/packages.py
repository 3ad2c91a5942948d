"""Packages as primary describes them: what a package must have, and how to mend an unusual field."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from pulp_operations.foreign import bad_repository, is_ordinary
from pulp_operations.reading.documents import local_name
from pulp_operations.reading.names import checked_base, checked_href, known_checksum
from pulp_operations.reading.numbers import is_whole, leading
from pulp_operations.reading.writing import DEPENDENCIES

_BASE: Final = "{http://www.w3.org/XML/1998/namespace}base"
_EVR: Final = ("epoch", "ver", "rel")
_ONCE: Final = frozenset(("name", "arch", "version", "checksum", "location", "size", "time", "format"))
_NUMBERS: Final = {"time": ("file", "build"), "size": ("installed", "archive"), "header-range": ("start", "end")}


@dataclass(frozen=True, slots=True)
class Described:
    """A package of primary. `name` is for people, `stem` is the name of its file without a suffix."""

    name: str
    stem: str
    href: str
    base_url: str
    algorithm: str
    checksum: str
    size_bytes: int
    is_mended: bool


def described(
    package: ElementTree.Element, line: int, allowed: frozenset[str], note: Callable[[str, str, int], None]
) -> Described:
    """Read a package, and mend it in place. `note` gets the package, the correction and the line.

    Raises `OperationError` (`bad-repository`) for one without name, version, location, checksum or size.
    """
    parts = _parts(package, line)
    name = _text(parts.get("name")).strip()
    where = f"the package {name} in primary metadata (line {line})" if is_ordinary(name) else _nameless(line)
    if not name:
        raise bad_repository(f"{where} has no name")
    for needed in ("version", "location", "checksum", "size"):
        if needed not in parts:
            raise bad_repository(f"{where} has no {needed}")
    if not parts["version"].get("ver"):
        raise bad_repository(f"{where} has no version")
    algorithm, checksum = known_checksum(
        parts["checksum"].get("type", ""), _text(parts["checksum"]).strip(), where, allowed
    )
    href = checked_href(parts["location"].get("href", ""), where)
    base_url = checked_base(parts["location"].get(_BASE, ""), where)
    size_bytes = _size(parts["size"], where)
    is_plain = _text(parts["checksum"]) == checksum
    parts["checksum"].text = checksum
    mended = _mend(package, parts)
    shown, stem = _names(name, parts, checksum)
    for reason in mended:
        note(f"{shown} in primary metadata", reason, line)
    return Described(shown, stem, href, base_url, algorithm, checksum, size_bytes, bool(mended) or not is_plain)


def _nameless(line: int) -> str:
    return f"a package in primary metadata (line {line})"


def _parts(package: ElementTree.Element, line: int) -> dict[str, ElementTree.Element]:
    parts: dict[str, ElementTree.Element] = {}
    for child in package:
        name = local_name(child.tag)
        if name in parts and name in _ONCE:
            raise bad_repository(f"{_nameless(line)} has more than one {name}")
        parts[name] = child
    return parts


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else element.text or ""


def _size(size: ElementTree.Element, where: str) -> int:
    text = size.get("package", "").strip()
    if not is_whole(text) or int(text) <= 0:
        raise bad_repository(f"{where} has no size, or one that no file has")
    return int(text)


def _names(name: str, parts: dict[str, ElementTree.Element], checksum: str) -> tuple[str, str]:
    epoch, ver, rel = (parts["version"].get(key, "") for key in _EVR)
    stem = f"{name}-{ver}-{rel}.{_text(parts.get('arch'))}"
    shown = stem if epoch in ("", "0") else f"{name}-{epoch}:{ver}-{rel}.{_text(parts.get('arch'))}"
    return shown if is_ordinary(shown) else f"the package with checksum {checksum}", stem


def empty_element(package: ElementTree.Element, checksum: str) -> bytes:
    """What filelists and other have of a package without files or changes. `package` is its element of primary."""
    parts = {local_name(child.tag): child for child in package}
    name, arch = (_quoted(_text(parts.get(part)).strip()) for part in ("name", "arch"))
    evr = "".join(f" {key}={_quoted(parts['version'].get(key, ''))}" for key in _EVR)
    return f'<package pkgid="{checksum}" name={name} arch={arch}><version{evr}/></package>'.encode()


def _quoted(text: str) -> str:
    return f'"{text}"' if is_ordinary(text) else quoteattr(text)  # slow, and rarely needed


def _mend(package: ElementTree.Element, parts: dict[str, ElementTree.Element]) -> list[str]:
    """Describe what was mended, in words. Other readers of yum repositories take the same values."""
    mended = []
    if not _text(parts.get("arch")).strip():
        arch = parts.get("arch")
        if arch is None:
            parts["arch"] = arch = ElementTree.SubElement(package, "arch")
        arch.text = "noarch"
        mended.append("it has no architecture: noarch is used")
    if not _is_epoch(parts["version"].get("epoch", "")):  # dnf exits if it is not a number
        parts["version"].set("epoch", "0")
        mended.append("its version has no epoch, or one that is not a number: 0 is used")
    detail = parts.get("format")
    for element in (parts.get("time"), parts["size"], *(() if detail is None else detail)):
        name = "" if element is None else local_name(element.tag)
        if element is not None and name in DEPENDENCIES:
            mended += _mend_dependencies(element, name)
        elif element is not None and name in _NUMBERS:
            mended += _mend_numbers(element, name)
    return mended


def _mend_numbers(element: ElementTree.Element, name: str) -> list[str]:
    mended = []
    for key in _NUMBERS[name]:
        text = element.get(key)
        if not is_whole(text):
            element.set(key, leading(text))
            mended.append(f"its {name} has no number for {key}: {element.get(key)} is taken")
    return mended


def _mend_dependencies(element: ElementTree.Element, name: str) -> list[str]:
    mended = []
    for entry in list(element):
        flags = entry.get("flags")
        if flags == "":
            for key in ("flags", "epoch", "ver", "rel"):
                entry.attrib.pop(key, None)
            mended.append(f"an entry of its {name} has empty flags: any version is taken")
        elif not _is_epoch(entry.get("epoch", "0")):
            del entry.attrib["epoch"]
            mended.append(f"an entry of its {name} has an epoch that is not a number: it is left out")
        if not entry.get("name"):
            element.remove(entry)
            mended.append(f"an entry of its {name} has no name: it is left out")
    return mended


def _is_epoch(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
