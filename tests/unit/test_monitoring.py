"""The rules of alerts and the dashboard: their grammar, the metrics that they name, and a section for each alert."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from pulp_runtime.telemetry.catalog import EVERY_PROCESS, OF_PROCESS
from pulp_runtime.telemetry.metric import Kind

from tests.support.measured import MONITORING, ROOT, dashboard, queries, rules, selectors, series_and_labels

ALERTS: Final = {rule["alert"]: rule for rule in rules()}
PAGE: Final = (ROOT / "docs" / "operate" / "alerts.md").read_text(encoding="utf-8")
PROMTOOL: Final = os.environ.get("PROMTOOL") or shutil.which("promtool")
FROM_OTHERS: Final = {
    "up": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
}
"""Series that Prometheus and its client make."""


def catalog() -> dict[str, frozenset[str]]:
    found = dict(FROM_OTHERS)
    for metric in (*EVERY_PROCESS, *(each for own in OF_PROCESS.values() for each in own)):
        for series in metric.series:
            bound = ("le",) if metric.kind is Kind.HISTOGRAM and series.endswith("_bucket") else ()
            found[series] = frozenset((*metric.labels, *bound))
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_about_metrics_that_exist(alert: str) -> None:
    assert series_and_labels(catalog(), ALERTS[alert]["expr"]) == []
    assert list(selectors(ALERTS[alert]["expr"]))


def test_a_metric_or_a_label_that_does_not_exist_is_found() -> None:
    wrong = 'sum(rate(pulp_tasks_nothing_total[5m])) > 0 and max(pulp_tasks_runnable{operation="sync"}) == 0'
    assert series_and_labels(catalog(), wrong) == ["pulp_tasks_nothing_total", "pulp_tasks_runnable['operation']"]
    with pytest.raises(ValueError, match="parenthesis"):
        series_and_labels(catalog(), "sum(rate(pulp_tasks_runnable[5m])")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_severity_a_summary_and_a_section(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["annotations"]["runbook_url"] == f"docs/operate/alerts.md#{alert.lower()}"
    section = re.search(rf"^## {alert}\n\n\*(\w+), (at once|after (\w+))\.\* .+?\n\n.+?$", PAGE, re.MULTILINE)
    assert section is not None, f"docs/operate/alerts.md has no section {alert}"
    assert section[1].lower() == rule["labels"]["severity"]
    assert (section[3] or None) == rule.get("for")


def test_labels_that_a_summary_names_are_left_by_its_rule() -> None:
    for alert, rule in ALERTS.items():
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"]), f"{alert}: {label}"


def test_the_page_has_no_section_without_an_alert() -> None:
    assert re.findall(r"^## (\w+)", PAGE, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_a_panel_is_about_metrics_that_exist(title: str, query: str) -> None:
    assert series_and_labels(catalog(), query) == [], title


def test_panels_have_titles_and_words_of_their_own_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["targets"], panel["title"]
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_each_metric_is_in_the_dashboard_or_an_alert() -> None:
    used = {name for _, query in queries() for name, _ in selectors(query)}
    used |= {name for rule in ALERTS.values() for name, _ in selectors(rule["expr"])}
    unused = {
        metric.name
        for metric in (*EVERY_PROCESS, *(each for own in OF_PROCESS.values() for each in own))
        if not used & set(metric.series)
    }
    assert unused == {
        "pulp_tasks_worker_lease_left_seconds",  # the alerts report failing heartbeats, which come first
        "tasks_unblocked_queue",  # for dashboards of Pulp; ours has it by queue
        "pulp_tasks_partitions_read_again_total",  # usual after a failover, and the log says why
    }


def test_what_is_scraped_is_what_a_local_stack_shows() -> None:
    found = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    assert found["rule_files"] == ["alerts.yaml"]
    [job] = found["scrape_configs"]
    assert job["job_name"] == "pulp-tasks"
    assert job["static_configs"] == [
        {"targets": ["127.0.0.1:9464", "127.0.0.1:9465", "127.0.0.1:9563", "127.0.0.1:9564"]}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"],
        ["check", "config", "prometheus.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_rules_and_what_they_do(arguments: list[str]) -> None:
    if PROMTOOL is None:
        pytest.skip("NOT TESTED by promtool, which is not on the path: it is in Debian's package prometheus, and"
                    " PROMTOOL may name it; the grammar is tested above")  # fmt: skip
    done = subprocess.run([PROMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_rules_name_alerts_that_exist() -> None:
    tests = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())["tests"]
    named = {each["alertname"] for test in tests for each in test["alert_rule_test"]}
    assert named <= ALERTS.keys()


def test_the_dashboard_is_json_as_it_is_exported() -> None:
    text = (MONITORING / "dashboard.json").read_text(encoding="utf-8")
    assert text == json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    assert Path(MONITORING / "dashboard.json").stat().st_size < 200_000


def changed(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """The paths of our fields that are missing or different in a copy."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            yield from changed(value, theirs.get(name), f"{path}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from changed(one, other, f"{path}[{i}]")
    elif ours != theirs:
        yield path


def unknown_to_grafana(written: dict[str, Any]) -> list[str]:
    """The fields that are lost when the types that Grafana publishes read the dashboard and write it again."""
    register_default_plugins()
    copy = json.loads(JSONEncoder().encode(Dashboard.from_json(written)))
    # Grafana's interface writes a variable's definition next to its query; its types leave it out.
    return [path for path in changed(written, copy) if not path.endswith(".definition")]


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    assert unknown_to_grafana(dashboard()) == []


def test_a_field_that_grafana_does_not_know_is_found() -> None:
    wrong = dashboard()
    wrong["panels"][1]["gridPosition"] = wrong["panels"][1].pop("gridPos")
    assert unknown_to_grafana(wrong) == [".panels[1].gridPosition"]
