"""Every page that is made from the code, and what makes it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pulp_deploy import unknown_settings
from pulp_deploy.reference import commands, events, exit_codes, http, settings

FOLDER: Final = Path(__file__).parents[3] / "docs" / "reference"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "commands.md": commands.text,
    "events.md": events.text,
    "exit-codes.md": exit_codes.text,
    "http.md": http.text,
    "settings.md": settings.text,
}


def write(folder: Path = FOLDER, names: Path = unknown_settings.NAMES) -> None:
    """Write all pages, and the list of settings that a process reads."""
    for path, text in _files(folder, names).items():
        path.write_text(text(), encoding="utf-8")


def differences(folder: Path = FOLDER, names: Path = unknown_settings.NAMES) -> list[Path]:
    """The files that are missing, or do not say what the code says."""
    files = _files(folder, names)
    return [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text()]


def _files(folder: Path, names: Path) -> dict[Path, Callable[[], str]]:
    return {folder / name: text for name, text in PAGES.items()} | {names: settings.names}
