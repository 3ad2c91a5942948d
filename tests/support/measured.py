"""Reading metrics as Prometheus does, and the names that rules and dashboards use."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import httpx
import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "deploy" / "monitoring"


class Scraped:
    """One reading of a process's metrics."""

    def __init__(self, text: str) -> None:
        self.samples = [
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
        self.families = {family.name for family in text_string_to_metric_families(text)}

    def values(self, name: str, by: str) -> dict[str, float]:
        """The values of a series by one of its labels; those of the other labels are added up."""
        found: dict[str, float] = {}
        for each, labels, value in self.samples:
            if each == name:
                found[labels[by]] = found.get(labels[by], 0) + value
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels. Raises `KeyError` if there is none."""
        found = [value for each, has, value in self.samples if each == name and labels.items() <= has.items()]
        if not found:
            raise KeyError(name)
        return sum(found)


async def scraped(port: int) -> Scraped:
    """The current metrics of a process on this machine."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return Scraped(answer.text)


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return cast(list[dict[str, Any]], group["rules"])


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    return cast(dict[str, Any], json.loads((MONITORING / "dashboard.json").read_text()))


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard with the title of its panel, with values in place of Grafana's variables."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$job", "pulp-tasks")


def selectors(expression: str) -> Iterator[tuple[str, frozenset[str]]]:
    """The name and the labels of each vector that an expression selects. Raises `ValueError` for bad grammar."""
    yield from _selectors(promql_parser.parse(expression))


def _selectors(node: object) -> Iterator[tuple[str, frozenset[str]]]:
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), frozenset(matcher.name for matcher in node.matchers.matchers)
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield from _selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from _selectors(inner)


def series_and_labels(catalog: Mapping[str, frozenset[str]], expression: str) -> list[str]:
    """The parts of an expression that the catalog (series → labels) lacks."""
    wrong = []
    for name, labels in selectors(expression):
        if name not in catalog:
            wrong.append(name)
        elif not labels <= catalog[name] | {"job", "instance"}:
            wrong.append(f"{name}{sorted(labels - catalog[name])}")
    return wrong
