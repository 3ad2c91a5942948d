"""One task is one trace, through every process: as an OTLP collector receives it."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.collector import Collector, Received, collector
from tests.support.processor_process import installation
from tests.support.site import V3
from tests.support.worker_process import worker_process

LIMIT_S = 60
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
LAST = "finished"


def steps(spans: list[Received], parent: str) -> list[object]:
    """The tree of spans below one, by name and type of event, as nested lists; equal neighbours count once."""
    found: list[object] = []
    for span in sorted((span for span in spans if span.parent_id == parent), key=lambda span: span.start_ns):
        kind = str(span.attributes.get("cloudevents.event_type", "")).removeprefix("org.pulpproject.task.")
        kind = kind.partition(".")[0]  # of any version
        text = " ".join(filter(None, [span.service.removeprefix("pulp-tasks-"), span.name.split(" ")[0], kind]))
        step = [text, *steps(spans, span.span_id)]
        if step not in found[-1:]:  # reports of progress may be sent together
            found.append(step)
    return found


async def received(traces: Collector, trace_id: str) -> list[Received]:
    """The spans of a trace, once the last one has arrived: the projection of the task's end."""

    def is_whole(span: Received) -> bool:
        return span.name.startswith("process") and LAST in str(span.attributes["cloudevents.event_type"])

    def is_run(span: Received) -> bool:
        return span.name.startswith("run")

    async with asyncio.timeout(LIMIT_S):
        while not (any(map(is_whole, traces.of(trace_id))) and any(map(is_run, traces.of(trace_id)))):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return traces.of(trace_id)


async def test_a_task_is_one_trace_from_the_request_to_its_end(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(collector())
        made = stack.enter_context(installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS))
        made.start(**traces.environment)
        worker = {
            **made.environment(),
            **traces.environment,
            "PULP_WORKER_NAME": "traced",
            "PULP_WORKER_MODULES": "tests.support.worker_operations",
        }
        stack.enter_context(worker_process(tmp_path, worker))
        settings = {**traces.environment, "PULP_API_ACCESS_LOG": "on"}
        api = await stack.enter_async_context(api_process(backend.kafka, database, topics, tmp_path, settings=settings))
        client = await stack.enter_async_context(api.client())
        async with asyncio.timeout(LIMIT_S):
            while "echo" not in (await client.get(f"{V3}/operations/?limit=100")).text:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0.1)

        caller = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        answer = await client.post(f"{V3}/tasks/", json={"operation": "echo"}, headers=caller)
        assert answer.status_code == 202
        task_id = answer.json()["task"].rstrip("/").rpartition("/")[2]
        spans = await received(traces, TRACE)

        # An unsampled request is not traced.
        before = len(traces.spans)
        unsampled = {"traceparent": f"00-{'7' * 32}-{CALLER}-00"}
        quiet = await client.post(f"{V3}/tasks/", json={"operation": "echo"}, headers=unsampled)
        quiet_id = quiet.json()["task"].rstrip("/").rpartition("/")[2]
        async with asyncio.timeout(LIMIT_S):
            while (await client.get(f"{V3}/tasks/{quiet_id}/", headers=unsampled)).json().get("state") != "completed":  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0.05)
        failed = await client.post(
            f"{V3}/tasks/", json={"operation": "misbehave"}, headers={"traceparent": f"00-{'8' * 32}-{CALLER}-01"}
        )
        assert failed.status_code == 202
        badly = await received(traces, "8" * 32)
    assert [span for span in traces.spans[before:] if span.trace_id == "7" * 32] == []

    def appended(kind: str) -> list[object]:
        return [f"worker send {kind}", [f"processor process {kind}"]]

    assert steps(spans, CALLER) == [
        [
            "api POST",
            [
                "api send accepted",
                ["processor process accepted"],
                ["processor assign", ["worker run", appended("started"), appended("progress"), appended("finished")]],
            ],
        ]
    ]
    by_name = {span.name.split(" ")[0]: span for span in spans}
    assert by_name["POST"].attributes["http.route"] == f"{V3}/tasks/"
    assert by_name["POST"].attributes["http.response.status_code"] == 202
    assert {span.attributes["pulp.task.id"] for span in spans if span.kind != "server"} == {task_id}
    assert {(span.name.split(" ")[0], span.kind) for span in spans} == {
        ("POST", "server"),
        ("send", "producer"),
        ("process", "consumer"),
        ("assign", "internal"),
        ("run", "consumer"),
    }
    run = by_name["run"]
    assert run.name == "run echo"
    assert (run.attributes["pulp.task.outcome"], run.is_error) == ("successful", False)
    for span in spans:
        assert span.start_ns <= span.end_ns
        if span.kind in ("producer", "consumer") and span is not run:
            assert span.attributes["messaging.system"] == "kafka"
            assert span.attributes["messaging.destination.name"] == topics.events
            assert span.name == f"{span.attributes['messaging.operation.name']} {topics.events}"
    [bad] = [span for span in badly if span.name.startswith("run")]
    assert (bad.attributes["pulp.task.outcome"], bad.is_error) == ("failed", True)

    async with await psycopg.AsyncConnection.connect(database) as connection:
        cursor = await connection.execute(
            "select convert_from(event, 'UTF8') from task_events where task_id = %s order by record_offset", [task_id]
        )
        stored = [json.loads(text) for (text,) in await cursor.fetchall()]
    sent = {span.span_id for span in spans if span.name.startswith("send")}
    assert {event["traceparent"] for event in stored} == {f"00-{TRACE}-{span_id}-01" for span_id in sent}
    [line] = [line for line in api.output().splitlines() if "msg=request" in line and TRACE in line]
    assert f"trace_id={TRACE}" in line
    assert "method=POST" in line
