"""docs/reference/settings.md, made from the declarations: `python -m pulp_deploy.settings_reference --write`."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pulp_accounts.passwords import PasswordSettings
from pulp_api.front.limits import Limits
from pulp_api.settings import Settings as ApiSettings
from pulp_events.declared_settings import settings_of
from pulp_processor.settings import Settings as ProcessorSettings
from pulp_worker.settings import Settings as WorkerSettings

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
GROUPS: Final[Mapping[str, tuple[type, ...]]] = {
    "The API": (ApiSettings, Limits),
    "The API and `pulp-tasks users`: passwords": (PasswordSettings,),
    "The processor": (ProcessorSettings,),
    "The worker": (WorkerSettings,),
}
_HEAD: Final = """# Settings

Environment variables, by the process that reads them. This page is made from the code:
`python -m pulp_deploy.settings_reference --write`.

It does not list every setting yet. Kafka's are in [kafka.md](../operate/kafka.md), those of fetching and isolation in
[fetching.md](../operate/fetching.md), those of yum repositories in [repositories.md](../operate/repositories.md).
"""


def text() -> str:
    """The page."""
    return _HEAD + "".join(line for title, classes in GROUPS.items() for line in _group(title, classes))


def _group(title: str, classes: tuple[type, ...]) -> Iterator[str]:
    yield f"\n## {title}\n\n| setting | default | unit | allowed | meaning |\n| --- | --- | --- | --- | --- |\n"
    for cls in classes:
        defaults = {each.name: each.default for each in fields(cls)}
        for field, setting in settings_of(cls).items():
            allowed = " or ".join(setting.choices)
            if isinstance(defaults[field], (int, float)) and not setting.choices:
                allowed = f"≥ {setting.least}" if setting.most is None else f"{setting.least} to {setting.most}"
            default = _shown(defaults[field], setting.choices)
            yield f"| `{setting.name}` | {default} | {setting.unit} | {allowed} | {setting.sentence} |\n"


def _shown(default: Any, choices: tuple[str, ...]) -> str:
    if isinstance(default, bool):
        return choices[default]
    return ",".join(default) if isinstance(default, tuple) else str(default)


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say whether it differs."""
    if arguments == ["--write"]:
        PAGE.write_text(text(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == text():
        return 0
    print(f"{PAGE} differs: run python -m pulp_deploy.settings_reference --write", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
