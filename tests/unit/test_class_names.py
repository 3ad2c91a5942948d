"""A public class name means one thing in the whole product."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("events", "projections", "services", "operations", "cli", "deploy")
SHARED = {
    # Each process has one.
    *("Settings", "Watchdog", "Connection"),
    # A fact in the log, and its error or view at an edge.
    *("Outcome", "Progress", "Record", "Resource", "TaskError"),
    # Not renamed yet. Take a name out when it is unique; add none.
    *("Access", "Choice", "Command"),
    *("Kafka", "Kind", "Line", "Log"),
    *("Page", "Place", "Proxy", "Result", "Role"),
    *("Slots", "Standing", "Target"),
}
"""Names that several classes have."""


def test_a_new_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in SHARED} == {}
