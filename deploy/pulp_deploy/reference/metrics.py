"""docs/reference/metrics.md: every metric of every process."""

from collections.abc import Iterator
from typing import Final

from pulp_runtime.telemetry.catalog import EVERY_PROCESS, OF_PROCESS
from pulp_runtime.telemetry.metric import Metric

from pulp_deploy.reference.markdown import code, table

_HEAD: Final = """# Metrics

Each process serves these metrics to Prometheus at `PULP_METRICS_PORT`: [monitor](../operate/monitor.md#prometheus).
This page is generated from the code: `python -m pulp_deploy.reference --write`.

The `process_…` and `python_…` metrics of the Prometheus client are served as well. A histogram has the series
`NAME_bucket`, `NAME_sum` and `NAME_count`.
"""
_TITLES: Final = {"api": "The API", "processor": "A processor", "worker": "A worker", "transparency": "The log"}


def text() -> str:
    """The page."""
    sections = {"Every process": EVERY_PROCESS, **{_TITLES[name]: found for name, found in OF_PROCESS.items()}}
    columns = ("metric", "kind", "labels", "meaning")
    return "".join([_HEAD, *(f"\n## {title}\n{table(columns, _rows(found))}" for title, found in sections.items())])


def _rows(metrics: tuple[Metric, ...]) -> Iterator[tuple[str, ...]]:
    for metric in metrics:
        labels = ", ".join(code(label) for label in metric.labels)
        yield code(metric.name), metric.kind.value, labels, metric.sentence
