"""Serves the live page, if the distribution that contains it is installed."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from pulp_api.content_encoding import accepted_encodings
from pulp_api.dialect import dialect_of
from pulp_api.html import page

router = APIRouter()
ROOT: Final = "/ui"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The page loads only files of this server, asks only this server, and runs no script that is not such a file."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}
_ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""The encodings that the build has prepared, the smallest first."""
_INDEX: Final = "index.html"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ABSENT: Final = (
    "<p>The live page is not installed on this server. It is the distribution <code>pulp-tasks-web</code>; in a"
    " checkout, <code>python services/web/building.py</code> says why it could not be built.</p>"
)


@dataclass(frozen=True, slots=True)
class File:
    """One file of the page, in all its encodings."""

    media_type: str
    etag: str
    contents: dict[str, bytes]
    """Encoding (`` for none) → bytes."""
    is_named_by_content: bool
    """Whether another content would have another name."""


class Files:
    """All files of the page. They are few and small, so they are kept."""

    def __init__(self, folder: Path) -> None:
        """An empty folder, or none, is a page that is not installed."""
        suffixes = tuple(_ENCODINGS.values())
        self._files = {
            path.relative_to(folder).as_posix(): _read(path, folder)
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(suffixes)
        }

    @property
    def are_there(self) -> bool:
        """Whether the page is installed."""
        return _INDEX in self._files

    def at(self, path: str) -> File | None:
        """The file at a path below `ROOT`; each path of a view is the page itself. None if the file does not exist."""
        found = self._files.get(path)
        is_view = "." not in path.rpartition("/")[2] and path.partition("/")[0] != "assets"
        return self._files.get(_INDEX) if found is None and is_view else found


@cache
def installed() -> Files:
    """The files of the installed distribution; none if it is not installed."""
    try:
        from pulp_web import STATIC
    except ImportError:
        return Files(Path("/nonexistent"))
    return Files(STATIC)


@router.get(ROOT)
async def to_live_page() -> Response:
    """Redirect to the live page."""
    return RedirectResponse(f"{ROOT}/", 302)


@router.get(ROOT + "/{path:path}")
async def live_page(request: Request, path: str) -> Response:
    """The live page, and the files that it loads."""
    files = installed()
    found = files.at(path)
    if not files.are_there:
        return page("No live page", _ABSENT, 404)
    if found is None:
        return dialect_of(request).unknown_path(request)
    caching = _FOR_EVER if found.is_named_by_content else "no-cache"
    headers = {**_HEADERS, "ETag": found.etag, "Cache-Control": caching}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    encoding = _encoding(request.headers.get("accept-encoding", ""), found)
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(found.contents[encoding], headers=headers, media_type=found.media_type)


def _read(path: Path, folder: Path) -> File:
    content = path.read_bytes()
    encoded = {encoding: path.with_name(path.name + suffix) for encoding, suffix in _ENCODINGS.items()}
    contents = {encoding: file.read_bytes() for encoding, file in encoded.items() if file.is_file()}
    return File(
        media_type=_media_type(path),
        etag=f'W/"{sha256(content).hexdigest()[:32]}"',
        contents={"": content, **contents},
        is_named_by_content=path.parent == folder / "assets",
    )


def _media_type(path: Path) -> str:
    known = {".js": "text/javascript", ".woff2": "font/woff2"}  # regardless of the machine's own table
    return known.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"


def _encoding(accepted: str, file: File) -> str:
    wanted = accepted_encodings(accepted)
    return next((encoding for encoding in _ENCODINGS if encoding in wanted and encoding in file.contents), "")
