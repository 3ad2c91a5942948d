/** What the page asks the server for while that refuses, is away, or has ended the session. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EventStream, type StreamedEvent } from "../src/model/stream";
import { TaskList } from "../src/model/task-list";

const HOUR_MS = 3_600_000;
let answers: { status: number; body: unknown; headers?: Record<string, string> };
let asked: string[] = [];

class Source {
  static all: Source[] = [];
  static readonly CLOSED = 2;
  onopen: () => void = () => undefined;
  onerror: () => void = () => undefined;
  readyState = 0;
  constructor(readonly address: string) {
    Source.all.push(this);
  }
  addEventListener(): void {}
  close(): void {
    this.readyState = Source.CLOSED;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  Source.all = [];
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("document", { visibilityState: "visible", addEventListener() {}, removeEventListener() {} });
  vi.stubGlobal("window", { addEventListener() {}, removeEventListener() {} });
  vi.stubGlobal("fetch", async (address: string) => {
    asked.push(address);
    return new Response(JSON.stringify(answers.body), { status: answers.status, headers: answers.headers ?? {} });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function accepted(offset: number): StreamedEvent {
  const event = { type: "org.pulpproject.task.accepted.v1", id: "1", subject: `task-${offset}`, source: "/", time: "", data: {} };
  return { partition: 0, offset, timestamp_ms: 0, event };
}

async function shown(): Promise<TaskList> {
  answers = { status: 200, body: { count: 0, next: null, results: [] } };
  const list = new TaskList();
  await list.load();
  asked = [];
  return list;
}

test.each([400, 401, 403])("a list does not repeat what the server refuses with %s", async (status) => {
  const list = await shown();
  answers = { status, body: { detail: "No." } };
  list.apply(accepted(1), "accepted");
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect(asked.length).toBe(1);
});

test("a list asks a server that is away less and less often, and has its changes once it is back", async () => {
  const list = await shown();
  answers = { status: 503, body: { detail: "Away." } };
  list.apply(accepted(1), "accepted");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBeLessThan(15);
  answers = { status: 200, body: { count: 0, next: null, results: [] } };
  asked = [];
  await vi.advanceTimersByTimeAsync(8_000);
  expect(asked.length).toBe(1);
  expect(asked[0]).toContain("pulp_id__in=task-1");
  list.apply(accepted(2), "accepted");
  await vi.advanceTimersByTimeAsync(250);
  expect(asked.length).toBe(2);
});

test("a stream whose session has ended opens again for whoever logs in next, however soon", async () => {
  const stream = new EventStream({}, () => undefined, () => undefined);
  stream.open();
  answers = { status: 401, body: { detail: "Log in." } };
  const [first] = Source.all;
  first!.readyState = Source.CLOSED;
  first!.onerror();
  await vi.advanceTimersByTimeAsync(1000);
  expect([Source.all.length, stream.state.value]).toEqual([1, "idle"]);
  stream.open();
  expect([Source.all.length, stream.state.value]).toEqual([2, "connecting"]);
});
