"""The metrics of a process, served over HTTP as Prometheus reads them."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pulp_api.measuring import of_webhook
from pulp_deploy.local.ports import free_ports
from pulp_events.errors import EventTooLarge, LogUnavailable, SettingsError
from pulp_events.events import Event
from pulp_events.memory import MemoryLog
from pulp_events.schedule_codec import SCHEDULE_TYPES
from pulp_events.schedule_events import ScheduleEvent
from pulp_events.task import Position
from pulp_events.webhook import WebhookState
from pulp_processor.consuming.lag import InHand, Lag
from pulp_projections.webhooks.reading import WaitingDeliveries
from pulp_runtime.telemetry import catalog
from pulp_runtime.telemetry.catalog import EVERY_PROCESS, OF_PROCESS
from pulp_runtime.telemetry.metered_log import MeteredOrderedLog, MeteredTimedLog
from pulp_runtime.telemetry.metric import NO_METER, Kind, Meter, Reading
from pulp_runtime.telemetry.serving import metering
from pulp_runtime.telemetry.settings import TelemetrySettings
from pulp_worker.attempt_times import AttemptTimes

from tests.support.events import accepted
from tests.support.measured import Scraped, scraped
from tests.support.schedules import MemoryScheduleLog, created

Measure = Callable[[Meter], Awaitable[None]]


async def shown(process: str, measure: Measure) -> Scraped:
    """What a process shows after it has measured something."""
    [port] = free_ports(1)
    async with metering(TelemetrySettings(port=port), process) as meter:
        await measure(meter)
        return await scraped(port)


async def of_a_processor(meter: Meter) -> None:
    meter.count(catalog.PROJECTED, "2", by=5)
    meter.count(catalog.PROJECTED, "2", by=3)
    meter.count(catalog.DEAD)
    for seconds in (0.004, 0.004, 20.0):
        meter.observe(catalog.COMMIT_SECONDS, seconds)

    async def lags() -> Iterable[Reading]:
        return [Reading(catalog.LAG_EVENTS, 7, ("0",)), Reading(catalog.LAG_SECONDS, 1.5, ("0",))]

    async def fails() -> Iterable[Reading]:
        raise LogUnavailable("Kafka does not answer")

    meter.add_source("kafka", lags)
    meter.add_source("postgres", fails)


async def test_counts_histograms_and_gauges_are_shown() -> None:
    found = await shown("processor", of_a_processor)
    assert found.value("pulp_tasks_projected_events_total", partition="2") == 8
    assert found.value("pulp_tasks_dead_events_total") == 1
    assert found.value("pulp_tasks_commit_seconds_bucket", le="0.005") == 2
    assert found.value("pulp_tasks_commit_seconds_sum") == pytest.approx(20.008)
    assert found.value("pulp_tasks_lag_events", partition="0") == 7
    assert found.value("pulp_tasks_info", process="processor") == 1
    assert found.value("process_cpu_seconds_total") > 0


async def test_a_source_that_fails_is_told_and_hides_nothing_else() -> None:
    found = await shown("processor", of_a_processor)
    assert found.values("pulp_tasks_source_up", "source") == {"kafka": 1, "postgres": 0}
    assert found.value("pulp_tasks_lag_seconds", partition="0") == 1.5


async def test_what_is_costly_to_read_is_kept_for_a_while() -> None:
    reads = {"kept": 0, "read": 0}
    [port] = free_ports(1)
    async with metering(TelemetrySettings(port=port), "api") as meter:

        async def read(name: str) -> Iterable[Reading]:
            reads[name] += 1
            return [Reading(catalog.DEAD_LETTERS, reads[name])]

        meter.add_source("postgres", lambda: read("kept"), kept_s=1000)
        meter.add_source("kafka", lambda: read("read"))
        for _ in range(3):
            await scraped(port)
    assert reads == {"kept": 1, "read": 3}


async def test_a_process_whose_loop_is_blocked_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_runtime.telemetry.prometheus._READ_S", -0.9)  # so that the test takes 0.1 s
    [port] = free_ports(1)
    async with metering(TelemetrySettings(port=port), "processor") as meter:
        await of_a_processor(meter)
        with ThreadPoolExecutor(1) as pool:
            blocking = pool.submit(httpx.get, f"http://127.0.0.1:{port}/metrics", trust_env=False)
            found = Scraped(blocking.result().text)
    assert found.values("pulp_tasks_source_up", "source") == {"kafka": 0, "postgres": 0}
    assert found.value("pulp_tasks_dead_events_total") == 1


async def test_a_port_in_use_is_named() -> None:
    [port] = free_ports(1)
    async with metering(TelemetrySettings(port=port), "api"):
        with pytest.raises(SettingsError, match=f"PULP_METRICS_PORT={port}: .*in use.* a port of its own"):
            async with metering(TelemetrySettings(port=port), "worker"):
                pass


async def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingsError, match=r"prometheus_client is missing: install pulp-tasks\[telemetry\]"):
        async with metering(TelemetrySettings(port=1), "api"):
            pass


async def test_without_a_port_nothing_is_measured() -> None:
    async with metering(TelemetrySettings.read({}), "api") as meter:
        assert meter is NO_METER
        assert not meter.is_on


def test_processes_that_do_not_measure_import_no_library_for_it() -> None:
    code = (
        "import sys, asyncio, pulp_api.main, pulp_processor.main, pulp_worker.main, pulp_worker.worker\n"
        "from pulp_runtime.telemetry.serving import metering\n"
        "from pulp_runtime.telemetry.settings import TelemetrySettings\n"
        "async def run():\n"
        "    async with metering(TelemetrySettings(), 'api'): pass\n"
        "asyncio.run(run())\n"
        "print([name for name in sys.modules if 'prometheus' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("process", OF_PROCESS)
async def test_every_metric_of_the_catalog_can_be_measured(process: str) -> None:
    async def measure_all(meter: Meter) -> None:
        for metric in OF_PROCESS[process]:
            labels = tuple("x" for _ in metric.labels)
            if metric.kind is Kind.COUNTER:
                meter.count(metric, *labels)
            elif metric.kind is Kind.HISTOGRAM:
                meter.observe(metric, 1, *labels)

        async def read() -> Iterable[Reading]:
            gauges = (metric for metric in OF_PROCESS[process] if metric.kind is Kind.GAUGE)
            return [Reading(metric, 1, tuple("x" for _ in metric.labels)) for metric in gauges]

        meter.add_source("process", read)

    found = await shown(process, measure_all)
    wanted = {series for metric in (*EVERY_PROCESS, *OF_PROCESS[process]) for series in metric.series}
    assert wanted - {name for name, _, _ in found.samples} == set()


def test_the_parked_tasks_of_a_subscription_are_measured_although_it_has_no_backlog() -> None:
    found = of_webhook(WaitingDeliveries("chat", WebhookState.ACTIVE, None, 0, 0.0, 3))
    assert {each.metric.name: (each.value, each.labels) for each in found} == {
        "pulp_tasks_webhook_backlog_events": (0, ("chat",)),
        "pulp_tasks_webhook_backlog_seconds": (0, ("chat",)),
        "pulp_tasks_webhook_parked_tasks": (3, ("chat",)),
    }


def test_names_say_the_unit_and_every_metric_has_a_sentence() -> None:
    metrics = {
        metric.name: metric for metric in (*EVERY_PROCESS, *(each for own in OF_PROCESS.values() for each in own))
    }
    for name, metric in metrics.items():
        assert name.endswith("_total") == (metric.kind is Kind.COUNTER), name
        assert metric.sentence.endswith("."), name
        assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM), name
        assert list(metric.bounds) == sorted(set(metric.bounds)), name


class TakesNothing(MemoryLog):
    """A log for which every event is too large."""

    async def append(self, event: Event, partition: int) -> Position:
        raise EventTooLarge(2_000_000, 1_000_000)


async def test_appends_are_measured_by_type_and_failures_are_counted() -> None:
    async def appends(meter: Meter) -> None:
        log = MemoryLog(1, lambda: 0)
        metered = MeteredTimedLog(log, meter)
        await metered.append(accepted(), 0)
        log.away = True
        with pytest.raises(LogUnavailable):
            await metered.append(accepted(), 0)
        log.away = False
        assert await metered.end_offsets() == {0: 1}

    found = await shown("api", appends)
    assert found.values("pulp_tasks_append_seconds_count", "type") == {"accepted": 1}
    failures = found.values("pulp_tasks_append_failures_total", "type")
    assert {kind: count for kind, count in failures.items() if count} == {"accepted": 1}


class ScheduleLogAway(MemoryScheduleLog):
    """A log whose Kafka does not answer."""

    async def append(self, event: ScheduleEvent) -> int:
        raise LogUnavailable("Kafka does not answer")


async def test_appends_to_the_log_of_schedules_are_measured_too() -> None:
    async def appends(meter: Meter) -> None:
        assert await MeteredOrderedLog(MemoryScheduleLog(lambda: 0), SCHEDULE_TYPES, meter).append(created()) == 0
        with pytest.raises(LogUnavailable):
            await MeteredOrderedLog(ScheduleLogAway(lambda: 0), SCHEDULE_TYPES, meter).append(created())

    found = await shown("processor", appends)
    assert found.values("pulp_tasks_append_seconds_count", "type") == {"schedule.created": 1}
    failures = found.values("pulp_tasks_append_failures_total", "type")
    assert {"schedule.created", "schedule.due", "schedule.submitted"} <= failures.keys()
    assert {kind: count for kind, count in failures.items() if count} == {"schedule.created": 1}


async def test_a_first_failure_of_each_type_is_an_increase() -> None:
    """Prometheus sees no increase in a series that begins with the failure, so the alert would miss it."""

    async def nothing_yet(meter: Meter) -> None:
        MeteredTimedLog(MemoryLog(1, lambda: 0), meter)

    found = await shown("worker", nothing_yet)
    failures = found.values("pulp_tasks_append_failures_total", "type")
    assert {"accepted", "started", "progress", "finished", "attempt-failed"} <= failures.keys()
    assert set(failures.values()) == {0}


async def test_an_event_that_no_log_takes_is_no_failure_of_the_log() -> None:
    async def appends(meter: Meter) -> None:
        with pytest.raises(EventTooLarge):
            await MeteredTimedLog(TakesNothing(1, lambda: 0), meter).append(accepted(), 0)

    found = await shown("api", appends)
    assert set(found.values("pulp_tasks_append_failures_total", "type").values()) == {0}


async def test_the_steps_of_an_attempt_are_measured() -> None:
    async def steps(meter: Meter) -> None:
        for is_asked in (False, True):
            times = AttemptTimes(meter, "sync")
            times.turn_came()
            times.began()
            if is_asked:
                times.asked_to_stop()
            times.stopped()
            times.ended("cancelled" if is_asked else "successful")

    found = await shown("worker", steps)
    assert found.value("pulp_tasks_begin_seconds_count") == 2
    assert found.value("pulp_tasks_run_seconds_count", operation="sync") == 2
    assert found.value("pulp_tasks_stop_seconds_count") == 1
    assert found.values("pulp_tasks_attempts_total", "outcome") == {"successful": 1, "cancelled": 1}


class Clocks:
    """Clocks that a test sets: the wall clock is an hour ahead of the monotonic one."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wall_s(self) -> float:
        return 3600 + self.now_s

    def monotonic_s(self) -> float:
        return self.now_s


async def readings(lag: Lag) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for reading in await lag.readings():
        found.setdefault(reading.labels[0], []).append(reading.value)
    return found


async def test_lag_in_seconds_is_the_age_of_the_oldest_record_in_hand() -> None:
    clocks, ends = Clocks(), {0: 10, 1: 10}

    async def end_offsets() -> dict[int, int]:
        return ends

    in_hand = {0: InHand(10, None), 1: InHand(8, 3_600_000 - 2_500)}
    lag = Lag(lambda: in_hand, end_offsets, wall_clock_s=clocks.wall_s, clock_s=clocks.monotonic_s)
    assert await readings(lag) == {"0": [0, 0.0], "1": [2, 2.5]}


async def test_lag_of_what_is_not_fetched_yet_counts_from_when_it_was_seen() -> None:
    clocks = Clocks()
    in_hand = {0: InHand(5, None)}

    async def end_offsets() -> dict[int, int]:
        return {0: 9}

    lag = Lag(lambda: in_hand, end_offsets, wall_clock_s=clocks.wall_s, clock_s=clocks.monotonic_s)
    assert await readings(lag) == {"0": [4, 0.0]}
    clocks.now_s = 30
    assert await readings(lag) == {"0": [4, 30.0]}
    in_hand[0] = InHand(7, None)  # it has moved
    assert await readings(lag) == {"0": [2, 0.0]}
    in_hand[0] = InHand(9, None)
    clocks.now_s = 60
    assert await readings(lag) == {"0": [0, 0.0]}


async def test_a_partition_that_is_revoked_meanwhile_has_no_lag() -> None:
    in_hand = {0: InHand(5, None)}

    async def end_offsets() -> dict[int, int]:
        await asyncio.sleep(0)
        in_hand.clear()
        return {0: 9}

    assert await readings(Lag(lambda: dict(in_hand), end_offsets)) == {}
