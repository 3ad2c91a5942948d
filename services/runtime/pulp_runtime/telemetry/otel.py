"""Spans by OpenTelemetry, sent by OTLP. Only a process that traces imports this module, and with it the SDK.

OpenTelemetry's variables say where to send them (`OTEL_EXPORTER_OTLP_ENDPOINT`) and which
(`OTEL_TRACES_SAMPLER`).
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes as OtelAttributes

from pulp_runtime.telemetry.tracing import OFF, Attributes, Kind, Span

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1
_EVERY_S: Final = 1.0
"""How often a process may begin a trace if OTEL_TRACES_SAMPLER is not set. A trace of a task takes 0.75 ms of processor
time, so a share of the tasks would cost nothing where few tasks run, and too much where many do.
"""
_READS: Final = ("GET", "HEAD", "OPTIONS")
_CHOOSES: Final = "api"
"""The process that chooses requests before FastAPI sees them: it does most of its work for a span, 50 µs a request,
before it asks the sampler.
"""
_KINDS: Final = {
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.INTERNAL: SpanKind.INTERNAL,
}


def _parsed(traceparent: str | None) -> re.Match[str] | None:
    """The parts of a valid `traceparent` (W3C Trace Context), sampled or not."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    return found if found[2].strip("0") and found[3].strip("0") else None


def context_of(traceparent: str | None) -> SpanContext | None:
    """The context that a `traceparent` holds; None for a text that holds none, and for a trace that is not sampled."""
    found = _parsed(traceparent)
    if found is None or not int(found[4], 16) & _SAMPLED:
        return None
    return SpanContext(int(found[2], 16), int(found[3], 16), is_remote=True, trace_flags=TraceFlags(_SAMPLED))


class OncePerSecond:
    """Says yes at most once a second."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._next_s = float("-inf")

    def take(self) -> bool:
        """Whether it is time again; if so, the next second begins."""
        now_s = self._clock_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _EVERY_S
        return True


class OncePerSecondSampler(Sampler):
    """Keeps one trace a second."""

    def __init__(self) -> None:
        self._second = OncePerSecond()

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler.should_sample`."""
        if not self._second.take():
            return SamplingResult(Decision.DROP)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return "OncePerSecondSampler"


def _sampler(process: str) -> Sampler | None:
    """The sampler; None leaves it to OpenTelemetry's variables."""
    if os.environ.get(OTEL_TRACES_SAMPLER):
        return None
    return ParentBased(ALWAYS_ON if process == _CHOOSES else OncePerSecondSampler())


def _text_of(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class OtelSpan:
    """A `Span`."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    @property
    def traceparent(self) -> str:
        """See `Span.traceparent`."""
        return _text_of(self.span.get_span_context())

    def set(self, attributes: Attributes) -> None:
        """See `Span.set`."""
        self.span.set_attributes(dict(attributes))

    def end(self, error: str | None = None) -> None:
        """See `Span.end`."""
        if not self.span.is_recording():
            return
        if error is not None:
            self.span.set_attribute("error.type", error)
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


class OtelTracing:
    """A `Tracing`, from `start` to `close`."""

    def __init__(self, process: str, instance: str) -> None:
        """`process` and `instance` identify the process, unless OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do."""
        ours = {
            "service.name": f"pulp-tasks-{process}",
            "service.version": version("pulp-tasks"),
            "service.instance.id": instance,
        }
        told = OTELResourceDetector().detect()  # as the variables say
        self.provider = TracerProvider(
            resource=Resource.create(ours).merge(told), sampler=_sampler(process), shutdown_on_exit=False
        )
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("pulp-tasks", version("pulp-tasks"))
        self._chooses = process == _CHOOSES and not os.environ.get(OTEL_TRACES_SAMPLER)
        self._ids = TraceIds()
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._ids)

    def close(self) -> None:
        """Send what is still pending; blocks for some seconds at most."""
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._ids)
        self.provider.shutdown()

    @property
    def current(self) -> str | None:
        """See `Tracing.current`."""
        context = trace.get_current_span().get_span_context()
        return _text_of(context) if context.is_valid else None

    def begin(
        self, name: str, kind: Kind, parent: str | None, attributes: Attributes, *, at_ns: int | None = None
    ) -> Span | None:
        """See `Tracing.begin`."""
        above = context_of(parent)
        if above is None:
            return None
        span = self._tracer.start_span(
            name,
            trace.set_span_in_context(NonRecordingSpan(above)),
            _KINDS[kind],
            dict(attributes),
            start_time=at_ns or time.time_ns(),
        )
        return OtelSpan(span) if span.is_recording() else None

    def begin_trace(self, name: str, attributes: Attributes) -> Span | None:
        """See `Tracing.begin_trace`."""
        span = self._tracer.start_span(name, Context(), SpanKind.INTERNAL, dict(attributes))
        return OtelSpan(span) if span.is_recording() else None

    @contextmanager
    def within(self, span: Span | None) -> Iterator[None]:
        """See `Tracing.within`."""
        if not isinstance(span, OtelSpan):
            yield
            return
        with trace.use_span(span.span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield

    def of_api(self) -> dict[str, Any]:
        """See `Tracing.of_api`."""
        chosen = {"exclude": ChosenRequests().is_left_out} if self._chooses else {}
        return {**OFF, "tracing": True, "operation_spans": False, "tracer_provider": self.provider, **chosen}


class ChosenRequests:
    """Chooses the requests that are traced: one that reads and one that changes something a second."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._reads, self._changes = OncePerSecond(clock_s), OncePerSecond(clock_s)

    def is_left_out(self, scope: Mapping[str, Any]) -> bool:
        """Whether to skip the span of a request. One with a valid context has a span, if that is sampled; an invalid
        context does not count: otherwise a client could have each of its requests traced.
        """
        second = self._reads if scope.get("method") in _READS else self._changes
        return not second.take() and not any(
            name == b"traceparent" and _parsed(value.decode("latin-1")) for name, value in scope["headers"]
        )


class TraceIds(logging.Filter):
    """Adds the ids of the current span to a line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`; it lets every line pass."""
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            record.trace_id = f"{context.trace_id:032x}"
            record.span_id = f"{context.span_id:016x}"
        return True
