"""The benchmarks run: small sizes, no thresholds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.backends import Backend

ROOT = Path(__file__).parents[2]


MEASURES = {
    *("transport", "live", "live-2", "rebuild", "skew", "skew-task", "growth", "visible", "submit", "noop"),
    *("noop-submitted", "exclusive", "latency", "cancel", "list", "list-5m", "detail", "history", "cli", "memory"),
    *("recovery", "siege", "sync", "publish"),
}


@pytest.mark.timeout(900)
def test_all_measures_run_and_write_their_results(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", str(file)],
        cwd=ROOT,
        env={**os.environ, "PULP_KAFKA": backend.kafka, "PULP_POSTGRES": backend.postgres},
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert run.returncode == 0, run.stderr
    results = {result["name"]: result for result in json.loads(file.read_text())}
    assert {name.split()[0] for name in results} == MEASURES
    assert {name for name in results if name.split()[0] in ("exclusive", "live", "submit")} == {
        *("exclusive", "exclusive cpu a task", "live", "submit p50", "submit p99", "submit with 16 clients")
    }
    for result in results.values():
        assert set(result) == {"name", "ours", "limit", "peer", "ratio", "unit", "rounds", "loop_ms"}
        assert result["rounds"] == 1
        assert result["ours"]["min"] <= result["ours"]["median"] <= result["ours"]["max"]
    live = results["live"]
    assert live["ratio"] == live["ours"]["median"] / live["limit"]["median"]
    assert set(live["peer"]) == {
        "COPY by 4 connections, as many as ours",
        "plain Python, 500 events a commit",
        "plain Python, an event a commit",
    }


def test_an_unknown_measure_is_refused() -> None:
    run = subprocess.run([sys.executable, "-m", "benchmarks", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "'nothing'" in run.stderr
