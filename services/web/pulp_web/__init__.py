"""The built page: files for a browser, which the API serves."""

from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
"""The folder with `index.html` and everything that it loads; each file may have a `.gz` and a `.br` next to it.

It is missing in a checkout where the page could not be built.
"""
