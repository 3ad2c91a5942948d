"""The commands' output and exit codes according to docs/reference/output.md and docs/reference/output-of-pulp-admin.md."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, FormatChecker

_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (_DOCS / "reference" / "output.md").read_text(encoding="utf-8")
EXIT_CODES: Final = (_DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
_PAGES: Final = {
    "pulp-tasks": PAGE,
    "pulp-admin": (_DOCS / "reference" / "output-of-pulp-admin.md").read_text(encoding="utf-8"),
}
_SCHEMA: Final = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_DEFINITIONS: Final = re.compile(r"```yaml definitions\n(.*?)```", re.DOTALL)
_formats: Final = FormatChecker(())


@_formats.checks("date-time")
def _is_time(text: object) -> bool:
    if not isinstance(text, str):
        return True
    try:
        return text.endswith("Z") and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def schemas(program: str = "pulp-tasks") -> dict[str, dict[str, Any]]:
    """The schema of each command of a program, by its name without the program's."""
    found = {}
    for section in _PAGES[program].split(f"\n### {program} ")[1:]:
        command, _, text = section.partition("\n")
        match = _SCHEMA.search(text)
        assert match is not None, command
        found[command] = yaml.safe_load(match[1])
    return found


def check(command: str, value: object, program: str = "pulp-tasks") -> None:
    """Raises `ValidationError` if the value does not fit the page, or has a field that the page lacks."""
    found = _DEFINITIONS.search(_PAGES[program])
    assert found is not None
    schema = {**schemas(program)[command], "$defs": yaml.safe_load(found[1])}
    extended = {part["$ref"].rsplit("/", 1)[-1] for part in schema.get("allOf", ())}
    for name, node in [("", schema), *schema["$defs"].items()]:
        if name not in extended:
            for each in _objects(node):
                each["unevaluatedProperties"] = False
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=_formats).validate(value)


def exit_codes() -> dict[int, tuple[str, str]]:
    """Code → its meaning for `pulp-tasks` and for `pulp-admin`; empty if the command never uses it."""
    rows = re.findall(r"^\| (\d+) \|(?:[^|]*)\|((?:\\\||[^|\n])*)\|((?:\\\||[^|\n])*)\|$", EXIT_CODES, re.M)
    return {int(code): (_cell(tasks), _cell(admin)) for code, tasks, admin in rows}


def _cell(text: str) -> str:
    return text.strip().replace("\\|", "|")


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that names properties."""
    if isinstance(node, dict):
        if "properties" in node:
            yield node
        for key, part in node.items():
            if key != "$defs":
                yield from _objects(part)
    elif isinstance(node, list):
        for part in node:
            yield from _objects(part)
