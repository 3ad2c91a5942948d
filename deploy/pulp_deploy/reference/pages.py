"""Every page that is made from the code, and what makes it; and the AsyncAPI document of the package of events."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pulp_events import schemas

from pulp_deploy import unknown_settings
from pulp_deploy.reference import asyncapi, commands, events, exit_codes, http, metrics, settings

FOLDER: Final = Path(__file__).parents[3] / "docs" / "reference"
TOPICS: Final = Path(schemas.__file__).with_name("asyncapi.json")
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "commands.md": commands.text,
    "events.md": events.text,
    "exit-codes.md": exit_codes.text,
    "http.md": http.text,
    "metrics.md": metrics.text,
    "settings.md": settings.text,
}


def write(folder: Path = FOLDER, names: Path = unknown_settings.NAMES, topics: Path = TOPICS) -> None:
    """Write all pages, the list of settings that a process reads, and the description of the topics."""
    for path, text in _files(folder, names, topics).items():
        path.write_text(text(), encoding="utf-8")


def differences(folder: Path = FOLDER, names: Path = unknown_settings.NAMES, topics: Path = TOPICS) -> list[Path]:
    """The files that are missing or do not match the code."""
    files = _files(folder, names, topics)
    return [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text()]


def _files(folder: Path, names: Path, topics: Path) -> dict[Path, Callable[[], str]]:
    pages = {folder / name: text for name, text in PAGES.items()}
    return pages | {names: settings.names, topics: asyncapi.text}
