"""The benchmarks run: small sizes, no thresholds."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASURES
from tests.support.backends import Backend
from tests.support.web_page import chromium

ROOT = Path(__file__).parents[2]


ALWAYS = ("exclusive", "live", "submit")
OTHERS = (
    *(
        "transport",
        "live-2",
        "evidence",
        "rebuild",
        "rebuild-live",
        "skew",
        "skew-task",
        "growth",
        "visible",
        "noop",
        "noop-submitted",
        "latency",
    ),
    *(
        "cancel",
        "list",
        "list-own",
        "list-purged",
        "list-5m",
        "detail",
        "history",
        "cli",
        "memory",
        "recovery",
        "siege",
        "sync",
        "publish",
        "purge",
    ),
    *(("page",) if chromium() else ()),
    *("fleet-takeover", "fleet-idle", "fleet-exclusive", "fleet-waiting", "fleet-start"),
    *("tail", "stream", "cost-telemetry", "cost-states", "replay"),
)
SAMPLED = 8
"""How many of the others run in continuous integration."""


def chosen(seed: int) -> tuple[str, ...]:
    """All measures; in continuous integration some of them, by the seed, which is printed."""
    if not os.environ.get("CI"):
        return ()
    found = (*ALWAYS, *random.Random(seed).sample(OTHERS, SAMPLED))
    print(f"measures of --measures-seed {seed}: {', '.join(found)}; not run: {len(OTHERS) - SAMPLED} others")
    return found


def test_every_measure_is_among_those_that_are_run() -> None:
    possible = {name for name in MEASURES if name != "page" or chromium()}
    assert {*ALWAYS, *OTHERS} == possible


@pytest.mark.timeout(1800)
def test_all_measures_run_and_write_their_results(
    backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config
) -> None:
    file = tmp_path / "results.json"
    with capsys.disabled():
        names = chosen(pytestconfig.getoption("measures_seed"))
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", *names, "--quick", "--json", str(file)],
        cwd=ROOT,
        env={**os.environ, "PULP_KAFKA": backend.kafka, "PULP_POSTGRES": backend.postgres},
        capture_output=True,
        text=True,
        timeout=1750,
    )
    assert run.returncode == 0, run.stderr
    results = {result["name"]: result for result in json.loads(file.read_text())}
    assert {name.split()[0] for name in results} == set(names or (*ALWAYS, *OTHERS))
    assert {name for name in results if name.split()[0] in ALWAYS} == {
        *("exclusive", "exclusive cpu a task", "live", "submit p50", "submit p99", "submit with 16 clients")
    }
    for result in results.values():
        assert set(result) == {
            *("name", "ours", "limit", "peer", "ratio", "unit", "rounds", "loop_ms", "goal", "is_met")
        }
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
