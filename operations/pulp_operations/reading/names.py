"""Names, URLs and checksums in untrusted documents: which are accepted, and which messages may show."""

import posixpath
import re
from typing import Final
from urllib.parse import unquote, urlsplit

from pulp_operations.foreign import ALGORITHMS, bad_repository
from pulp_operations.settings import CHECKSUM_TYPES, Settings

_DIGITS: Final = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_HEX: Final = re.compile(r"[0-9a-f]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._+~^/-]{0,1000}[A-Za-z0-9_+~^-]")
_RPM: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~^-]{0,196}\.rpm")
_MOST_HREF_BYTES: Final = 2000


def known_checksum(
    algorithm: str, digest: str, where: str, allowed: frozenset[str] = CHECKSUM_TYPES
) -> tuple[str, str]:
    """The algorithm by hashlib's name, and the checksum in lower case; both are safe in a file name.

    Raises `OperationError`: `bad-repository` for an invalid checksum, `checksum-refused` for an algorithm that is not
    allowed. `where` says in the error what has the checksum.
    """
    known = ALGORITHMS.get(algorithm.lower())
    if known is None:
        raise bad_repository(f"{where}: its checksum type is none of {', '.join(ALGORITHMS)}")
    if known not in allowed:
        Settings(checksum_types=allowed).check_checksum(known, where)
    digest = digest.lower()
    if len(digest) != _DIGITS[known] or not _HEX.fullmatch(digest):
        raise bad_repository(f"{where}: its checksum is invalid: {known} has {_DIGITS[known]} hexadecimal digits")
    return known, digest


def checked_href(href: str, where: str) -> str:
    """An href that can become a URL. It may lead out of the repository's folder, since no path here is made from it.

    Raises `OperationError` (`bad-repository`) for an empty one, control characters, or another scheme than http(s).
    """
    if _PLAIN.fullmatch(href):  # most hrefs; no check below could refuse one
        return href
    try:
        parts = urlsplit(href)
    except ValueError:
        raise bad_repository(f"{where}: its location is not a URL") from None
    if not href.strip() or posixpath.basename(parts.path) in ("", ".", ".."):
        raise bad_repository(f"{where}: its location names no file")
    if not href.isprintable() or len(href.encode(errors="replace")) > _MOST_HREF_BYTES:
        raise bad_repository(f"{where}: its location has control characters, or over {_MOST_HREF_BYTES} bytes")
    if "://" in href or (parts.scheme and not parts.netloc and href.startswith("file:")):
        _check_scheme(href, where)
    return href


def checked_base(base_url: str, where: str) -> str:
    """An xml:base: empty, relative to the repository, or an http(s) URL. Raises as `checked_href` does."""
    if not base_url:
        return ""
    try:
        scheme = urlsplit(base_url).scheme
    except ValueError:
        scheme = "none"
    if scheme:
        _check_scheme(base_url, where)
    if not base_url.isprintable() or len(base_url.encode(errors="replace")) > _MOST_HREF_BYTES:
        raise bad_repository(f"{where}: its xml:base has control characters, or over {_MOST_HREF_BYTES} bytes")
    return base_url


def _check_scheme(url: str, where: str) -> None:
    try:
        is_http = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)
    except ValueError:
        is_http = False
    if not is_http:
        raise bad_repository(f"{where}: its URL is not http or https")


def file_name(href: str, nevra: str, checksum: str) -> str:
    """The name of a package's file in our publications: the feed's if every server and client can take it as it is.

    A name that would have to be escaped in a URL would be found by some clients and not by others.
    """
    path = href if _PLAIN.fullmatch(href) else urlsplit(href).path
    for name in (unquote(posixpath.basename(path)), f"{nevra}.rpm"):
        if _RPM.fullmatch(name):
            return name
    return f"{checksum}.rpm"
