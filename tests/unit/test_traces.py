"""Spans: their parents, the context in events, and a process without traces, which does no work for them."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from pulp_deploy.log_lines import JsonFormatter, LogfmtFormatter
from pulp_events.codec import decode, type_of
from pulp_events.errors import LogUnavailable, SettingsError
from pulp_events.events import Event
from pulp_events.memory import MemoryLog
from pulp_runtime.telemetry.otel import ChosenRequests, OncePerSecond, OtelTracing, TraceIds, context_of
from pulp_runtime.telemetry.serving import tracing
from pulp_runtime.telemetry.settings import TelemetrySettings
from pulp_runtime.telemetry.tracing import Kind, TracedTimedLog, Tracing

from tests.support.collector import Collector
from tests.support.events import accepted
from tests.support.traces import ABOVE, PARENT, TRACE, sent, traced_process


@pytest.fixture
async def traced() -> AsyncIterator[tuple[Collector, Tracing]]:
    """A collector, and a process that sends its spans there."""
    async with traced_process("worker") as made:
        yield made


@pytest.mark.parametrize(
    ("traceparent", "is_usable"),
    [
        (PARENT, True),
        (PARENT.replace("00-", "01-", 1) + "-what a later version adds", True),
        (f"00-{TRACE}-{ABOVE}-03", True),
        (PARENT + "-which this version does not have", False),
        (f"00-{TRACE}-{ABOVE}-00", False),  # not sampled
        (f"ff-{TRACE}-{ABOVE}-01", False),
        (f"00-{'0' * 32}-{ABOVE}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (PARENT.upper(), False),
        ("00-short-01", False),
        ("", False),
        (None, False),
    ],
)
def test_a_context_is_read_as_the_standard_says(traceparent: str | None, is_usable: bool) -> None:
    found = context_of(traceparent)
    assert (found is not None) == is_usable
    if found is not None:
        assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (TRACE, ABOVE)


async def test_an_event_carries_the_context_of_the_span_that_sends_it(traced: tuple[Collector, Tracing]) -> None:
    made, spans = traced
    log = MemoryLog(1, lambda: 0)
    appended = accepted()
    await TracedTimedLog(log, spans, "events").append(replace(appended, traceparent=PARENT), 0)
    [span] = await sent(made, spans)
    assert (span.trace_id, span.parent_id, span.name, span.kind) == (TRACE, ABOVE, "send events", "producer")
    assert span.service == "pulp-tasks-worker"
    event = decode(log.records[0][0].key, log.records[0][0].value)
    assert isinstance(event, Event)
    assert event.traceparent == f"00-{TRACE}-{span.span_id}-01"
    assert replace(event, traceparent=None) == appended
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "events",
        "messaging.destination.partition.id": "0",
        "messaging.message.id": str(event.id),
        "messaging.kafka.message.key": str(event.task_id),
        "messaging.kafka.offset": 0,
        "cloudevents.event_id": str(event.id),
        "cloudevents.event_source": "/pulp/tasks",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": type_of(event),
        "pulp.task.id": str(event.task_id),
    }


async def test_the_callers_span_is_above_an_event_that_has_no_context(traced: tuple[Collector, Tracing]) -> None:
    made, spans = traced
    outer = spans.begin("run sync", Kind.CONSUMER, PARENT, {})
    assert outer is not None
    assert [spans.current] == [None]
    with spans.within(outer):
        assert spans.current == outer.traceparent
        await TracedTimedLog(MemoryLog(1, lambda: 0), spans, "events").append(accepted(), 0)
    outer.end("timeout")
    outer.end()
    inner, run = await sent(made, spans)
    assert (inner.parent_id, run.parent_id) == (run.span_id, ABOVE)
    assert (run.is_error, run.attributes) == (True, {"error.type": "timeout"})


async def test_an_event_outside_of_a_trace_stays_as_it_is(traced: tuple[Collector, Tracing]) -> None:
    made, spans = traced
    log = MemoryLog(1, lambda: 0)
    plain, unsampled = accepted(), replace(accepted(), traceparent=f"00-{TRACE}-{ABOVE}-00")
    for event in (plain, unsampled):
        await TracedTimedLog(log, spans, "events").append(event, 0)
    assert [decode(record.key, record.value) for record in log.records[0]] == [plain, unsampled]
    assert await sent(made, spans) == []


async def test_an_append_that_fails_is_an_error_and_a_second_try_another_span(
    traced: tuple[Collector, Tracing],
) -> None:
    made, spans = traced
    log = MemoryLog(1, lambda: 0)
    told, event = TracedTimedLog(log, spans, "events"), replace(accepted(), traceparent=PARENT)
    log.away = True
    with pytest.raises(LogUnavailable):
        await told.append(event, 0)
    log.away = False
    await told.append(event, 0)
    failed, done = await sent(made, spans)
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "LogUnavailable")
    assert (done.is_error, done.parent_id, failed.parent_id) == (False, ABOVE, ABOVE)
    assert await told.end_offsets() == {0: 1}
    assert await told.offsets_since(0) == {0: 0}


async def test_what_begins_a_trace_is_sampled_as_requests_are() -> None:
    async with traced_process("processor", "always_on") as (made, spans):
        root = spans.begin_trace("submit sync", {"pulp.schedule.name": "nightly"})
        assert root is not None
        with spans.within(root):
            await TracedTimedLog(MemoryLog(1, lambda: 0), spans, "events").append(accepted(), 0)
        root.end()
        inner, outer = await sent(made, spans)
        with spans.within(spans.begin("run sync", Kind.CONSUMER, PARENT, {})):
            other = spans.begin_trace("submit sync", {})
        assert other is not None
        assert TRACE not in other.traceparent  # whatever runs around it
    assert (outer.name, outer.parent_id, outer.attributes) == ("submit sync", "", {"pulp.schedule.name": "nightly"})
    assert (inner.trace_id, inner.parent_id) == (outer.trace_id, outer.span_id)
    async with traced_process("processor", "always_off") as (_, spans):
        assert spans.begin_trace("submit sync", {}) is None


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()])
async def test_a_line_of_the_log_names_the_span_in_which_it_was_written(
    traced: tuple[Collector, Tracing], formatter: logging.Formatter
) -> None:
    _, spans = traced
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    handler.addFilter(TraceIds())
    logger = logging.getLogger("pulp.test.traces")
    logger.addHandler(handler)
    logger.propagate = False
    span = spans.begin("run sync", Kind.CONSUMER, PARENT, {})
    assert span is not None
    logger.warning("before", extra={"task_id": "t", "offset": 3})
    with spans.within(span):
        logger.warning("within", extra={"task_id": "t", "offset": 3})
    before, within = out.getvalue().splitlines()
    assert "trace_id" not in before
    span_id = span.traceparent.split("-")[2]
    if isinstance(formatter, JsonFormatter):
        found = json.loads(within)
        assert (found["trace_id"], found["span_id"], found["task_id"], found["offset"]) == (TRACE, span_id, "t", 3)
    else:
        assert within.endswith(f" task_id=t offset=3 trace_id={TRACE} span_id={span_id}")


async def test_the_service_has_the_name_that_the_variables_say(
    traced: tuple[Collector, Tracing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=site-a,deployment.environment.name=test")
    async with tracing(TelemetrySettings(traces=True), "api") as spans:
        assert isinstance(spans, OtelTracing)
        about = spans.provider.resource.attributes
    assert about["service.name"] == "site-a"
    assert about["deployment.environment.name"] == "test"


@pytest.mark.parametrize(
    ("process", "environment", "description", "chooses"),
    [
        ("processor", {}, "ParentBased{root:OncePerSecondSampler,", False),
        ("api", {}, "ParentBased{root:AlwaysOnSampler,", True),
        (
            "api",
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            "TraceIdRatioBased{0.5}",
            False,
        ),
    ],
)
async def test_few_requests_are_traced_unless_the_variables_say_otherwise(
    traced: tuple[Collector, Tracing],
    monkeypatch: pytest.MonkeyPatch,
    process: str,
    environment: dict[str, str],
    description: str,
    chooses: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with tracing(TelemetrySettings(traces=True), process) as spans:
        assert isinstance(spans, OtelTracing)
        assert spans.provider.sampler.get_description().startswith(description)
        assert ("exclude" in spans.of_api()) is chooses


def test_a_read_and_a_change_are_traced_each_second() -> None:
    is_left_out = ChosenRequests(lambda: 7.0).is_left_out
    plain = [(b"host", b"x")]
    context = [*plain, (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    invalid = [
        b"\xff garbage",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    ]
    assert not is_left_out({"method": "GET", "headers": plain})
    assert not is_left_out({"method": "POST", "headers": plain})  # however much is read
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert is_left_out({"method": method, "headers": plain})
        for each in invalid:
            assert is_left_out({"method": method, "headers": [*plain, (b"traceparent", each)]})
        assert not is_left_out({"method": method, "headers": context})


def test_a_trace_begins_once_a_second() -> None:
    times = iter((100.0, 100.2, 100.99, 101.0, 101.5, 250.0, 250.5))
    second = OncePerSecond(lambda: next(times))
    assert [second.take() for _ in range(7)] == [True, False, False, True, False, True, False]


async def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("pulp_runtime.telemetry.otel")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(
        SettingsError, match=r"PULP_TRACES=on: the package .* is missing: install pulp-tasks\[telemetry"
    ):
        async with tracing(TelemetrySettings(traces=True), "api"):
            pass


@pytest.mark.parametrize(
    ("process", "imported"),
    [("processor", set[str]()), ("worker", set[str]()), ("api", {"opentelemetry.trace"})],  # FastAPI's own import
)
def test_a_process_that_does_not_trace_imports_nothing_for_it(process: str, imported: set[str]) -> None:
    code = (
        f"import sys, asyncio, pulp_{process}.main\n"
        "from pulp_runtime.telemetry.serving import telling\n"
        "from pulp_runtime.telemetry.settings import TelemetrySettings\n"
        "async def run():\n"
        f"    async with telling(TelemetrySettings.read({{}}), {process!r}) as found: print(found.tracing)\n"
        "asyncio.run(run())\n"
        "print(sorted(name for name in sys.modules if name in ('opentelemetry.trace', 'opentelemetry.sdk')"
        " or name.startswith(('opentelemetry.exporter', 'pulp_runtime.telemetry.otel'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"None\n{sorted(imported)}\n"
