"""Elements as our own metadata has them: with the usual prefixes, whatever those of the feed are."""

from typing import Final, Protocol
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from pulp_operations.foreign import bad_repository
from pulp_operations.reading.documents import local_name


class Sink(Protocol):
    """Where elements are written."""

    def write(self, data: bytes, /) -> int: ...


RPM: Final = "http://linux.duke.edu/metadata/rpm"
NAMESPACES: Final = {
    "primary": "http://linux.duke.edu/metadata/common",
    "filelists": "http://linux.duke.edu/metadata/filelists",
    "other": "http://linux.duke.edu/metadata/other",
}
ROOTS: Final = {"primary": "metadata", "filelists": "filelists", "other": "otherdata", "updateinfo": "updates"}
_USUAL: Final = {
    kind: {"xmlns": uri, **({"xmlns:rpm": RPM} if kind == "primary" else {})} for kind, uri in NAMESPACES.items()
}
DEPENDENCIES: Final = frozenset(
    (
        *("provides", "requires", "conflicts", "obsoletes"),
        *("suggests", "enhances", "recommends", "supplements", "freshens"),
    )
)
_OF_RPM: Final = DEPENDENCIES | {"license", "vendor", "group", "buildhost", "sourcerpm", "header-range", "entry"}


def opening(kind: str, packages: int | None = None) -> bytes:
    """The head of a document, and the tag of its root."""
    names = f' xmlns="{NAMESPACES[kind]}"' if kind in NAMESPACES else ""
    if kind == "primary":
        names += f' xmlns:rpm="{RPM}"'
    count = "" if packages is None else f' packages="{packages}"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{ROOTS[kind]}{names}{count}>\n'.encode()


def closing(kind: str) -> bytes:
    """The end of a document."""
    return f"</{ROOTS[kind]}>\n".encode()


def is_usual(kind: str, declared: dict[str, str]) -> bool:
    """Whether the declarations in the root of a document give its elements, as written, the same meaning as in ours."""
    usual = _USUAL[kind]
    return declared == usual or declared == {**usual, "xmlns:rpm": RPM}


def written(element: ElementTree.Element, default: str) -> bytes:
    """An element with all that is in it. `default` is the namespace that its document takes for the common one.

    Raises `OperationError` (`bad-repository`) for one that is nested too deep.
    """
    parts: list[str] = []
    try:
        _write(element, parts, {default, "", RPM, *NAMESPACES.values()}, in_format=False)
    except RecursionError:
        raise bad_repository("a part of the metadata is nested hundreds of elements deep") from None
    return "".join(parts).encode()


def _write(element: ElementTree.Element, parts: list[str], own: set[str], *, in_format: bool) -> None:
    name = local_name(element.tag)
    tag = f"rpm:{name}" if in_format and name in _OF_RPM else name
    attributes = "".join(f" {_attribute(key)}={quoteattr(value)}" for key, value in element.attrib.items())
    namespace = element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""
    if namespace not in own:
        attributes += f" xmlns={quoteattr(namespace)}"  # a vendor's element stays as it is
    if not len(element) and not element.text:
        parts.append(f"<{tag}{attributes}/>")
        return
    parts.append(f"<{tag}{attributes}>{escape(element.text or '')}")
    for child in element:
        _write(child, parts, own, in_format=in_format or name == "format")
        parts.append(escape(child.tail or ""))
    parts.append(f"</{tag}>")


def _attribute(key: str) -> str:
    return f"xml:{local_name(key)}" if key.startswith("{http://www.w3.org/XML/1998/namespace}") else local_name(key)
