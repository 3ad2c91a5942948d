"""Where the files of a feed are. Pure.

A location in metadata is the name of a file, and not a URL: it is appended to its base, and every character that is
special in a URL is escaped, as in dnf. So `+` becomes `%2B`, which servers like S3 need, since they take a plain
`+` for a blank. Some feeds have URLs there nevertheless, so the URL that a browser would request is a second choice.
"""

import re
from typing import Final
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._~-]|/(?=[A-Za-z0-9_]))*")
"""An href in which nothing is escaped or resolved: nearly all are so."""
_KEPT: Final = "!#$%&'()*+,/:;=?@[]~"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def base_of(url: str) -> str:
    """A folder's URL, with a slash at the end of its path; a query stays, a fragment does not."""
    parts = urlsplit(url)
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def places(base: str, href: str, base_url: str = "") -> list[str]:
    """The URLs where a file may be, the most likely one first.

    `base` is the feed's, from `base_of`; `base_url` is the `xml:base` of the file, which may be relative to the feed.
    A query of the feed goes with each URL on its own server.
    """
    if not base_url and _PLAIN.fullmatch(href) and "?" not in base:
        return [base + href]
    if _ABSOLUTE.match(href):
        return _with_query_of(base, [_escaped(href)])
    start = urlsplit(base_of(_start(base, base_url)) if base_url else base)._replace(query="").geturl()
    return _with_query_of(base, [_appended(start, quote(href.lstrip("/"), safe="/")), urljoin(start, _escaped(href))])


def _appended(folder: str, path: str) -> str:
    """The path below the folder, less its dot segments. `urljoin` would drop empty ones, which some servers need."""
    parts = urlsplit(folder)
    *folders, name = [*parts.path.split("/")[1:-1], *path.split("/")]
    kept: list[str] = []
    for segment in folders:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return parts._replace(path="/".join(["", *kept, name])).geturl()


def _start(base: str, base_url: str) -> str:
    if _ABSOLUTE.match(base_url):
        return _escaped(base_url)
    return urlsplit(base)._replace(query="").geturl() + _escaped(base_url.lstrip("/"))


def _escaped(url: str) -> str:
    """What is a URL already, with the characters escaped that no URL has."""
    return quote(_STRAY_PERCENT.sub("%25", url), safe=_KEPT)


def _with_query_of(base: str, urls: list[str]) -> list[str]:
    own = urlsplit(base)
    made = []
    for url in urls:
        parts = urlsplit(url)
        if own.query and (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            parts = parts._replace(query=f"{parts.query}&{own.query}" if parts.query else own.query)
        made.append(parts.geturl())
    return list(dict.fromkeys(made))
