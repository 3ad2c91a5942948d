"""`.treeinfo`, the table of contents of an installable tree: an INI file, in its old form or that of productmd."""

import configparser
import posixpath
from pathlib import PurePosixPath
from typing import Final

from pulp_operations.foreign import bad_repository
from pulp_operations.reading.names import known_checksum
from pulp_operations.records import TreeFile

_WHAT: Final = "the description of the installable tree (.treeinfo)"
_MOST_FILES: Final = 10_000
_MOST_PATH_BYTES: Final = 1000
_MOST_SEGMENT_BYTES: Final = 255
_PUBLICATIONS_OWN: Final = ("repodata", "Packages", ".treeinfo", "treeinfo")
"""What a publication has of its own at its top."""


def read_treeinfo(content: bytes) -> list[TreeFile]:
    """The files that `.treeinfo` (or `treeinfo`) names, each once, by path; not the repositories of its variants.

    Those are what `[checksums]` names, and the images of `[images-…]` and `[stage2]`, which may have no checksum.
    Raises `OperationError` (`bad-repository`) for a document that is none, or that names a file outside of the tree.
    """
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False, comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # paths keep their capitals
    try:
        parser.read_string(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, configparser.Error):
        raise bad_repository(f"{_WHAT} cannot be read: it is not an INI file in UTF-8") from None
    if not parser.has_section("general") and not parser.has_section("tree"):
        raise bad_repository(f"{_WHAT} is invalid: it has neither [general] nor [tree]")
    files: dict[str, TreeFile] = {}
    if parser.has_section("checksums"):
        for path, value in parser.items("checksums"):
            files[_path(path)] = _file(_path(path), value)
    for section in parser.sections():
        if section.startswith("images-") or section == "stage2":
            for _, path in parser.items(section):
                if path.strip():
                    files.setdefault(_path(path), TreeFile(path=_path(path)))
    if len(files) > _MOST_FILES:
        raise bad_repository(f"{_WHAT} names over {_MOST_FILES} files")
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    if not folders.isdisjoint(files):
        raise bad_repository(f"{_WHAT} names a file that is the folder of another file")
    return [files[path] for path in sorted(files) if path.partition("/")[0] not in _PUBLICATIONS_OWN]


def _file(path: str, value: str) -> TreeFile:
    algorithm, _, digest = value.strip().partition(":")
    known, checksum = known_checksum(algorithm, digest.strip(), f"a file of {_WHAT}")
    return TreeFile(path=path, algorithm=known, checksum=checksum)


def _path(text: str) -> str:
    """A path within the tree: it becomes a file of a publication."""
    path = posixpath.normpath(text.strip().removeprefix("./"))
    parts = path.split("/")
    is_outside = path in (".", "") or path.startswith("/") or ".." in parts
    is_long = len(path.encode()) > _MOST_PATH_BYTES or any(len(part.encode()) > _MOST_SEGMENT_BYTES for part in parts)
    if is_outside or is_long or "\\" in path or not path.isprintable():
        raise bad_repository(f"{_WHAT} names a file that is not in the tree, or whose name cannot be used")
    return path
