"""The benchmarks run: small sizes, no thresholds."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.backends import Backend

ROOT = Path(__file__).parents[2]


def test_measures_write_their_results(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", str(file), "exclusive", "live", "submit"],
        cwd=ROOT,
        env={**os.environ, "PULP_KAFKA": backend.kafka, "PULP_POSTGRES": backend.postgres},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(file.read_text())
    assert [result["name"] for result in results] == [
        "exclusive",
        "exclusive cpu a task",
        "live",
        "submit p50",
        "submit p99",
        "submit with 16 clients",
    ]
    for result in results:
        assert set(result) == {"name", "ours", "limit", "peer", "ratio", "unit", "rounds"}
        assert result["rounds"] == 1
        assert result["ours"]["min"] <= result["ours"]["median"] <= result["ours"]["max"]
    live = results[2]
    assert live["ratio"] == live["ours"]["median"] / live["limit"]["median"]
    assert set(live["peer"]) == {"plain Python, 500 events a commit", "plain Python, an event a commit"}


def test_an_unknown_measure_is_refused() -> None:
    run = subprocess.run([sys.executable, "-m", "benchmarks", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "'nothing'" in run.stderr
