"""HTML pages for browsers, without scripts and without anything from another host. Pure."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

from fastapi import Request, Response

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid #8884; }
section { margin: 2rem 0; border-top: 1px solid #8886; }
.method { display: inline-block; min-width: 4rem; font-weight: 700; }
"""
_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The headers of every page: the browser loads nothing but our style, and runs nothing."""


def page(title: str, body: str, status: int = 200) -> Response:
    """A page. `body` is HTML; `title` is plain text."""
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    return Response(text, status, {**HEADERS, "Vary": "Accept"}, media_type="text/html")


def wants_html(request: Request) -> bool:
    """Whether the client prefers HTML to JSON, as browsers do; a client that accepts anything gets JSON."""
    quality = {"text/html": 0.0, "application/json": 0.0}
    for part in request.headers.get("accept", "").split(","):
        kind, _, parameters = part.strip().lower().partition(";")
        if kind.strip() in quality:
            quality[kind.strip()] = _quality(parameters)
    return quality["text/html"] > quality["application/json"]


def links(pairs: dict[str, str]) -> str:
    """An HTML list of links; `pairs` maps text to URL."""
    items = "\n".join(f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for text, url in pairs.items())
    return f"<ul>\n{items}\n</ul>"


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
