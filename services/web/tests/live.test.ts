/** What the page asks the server for while that refuses, is away, or has ended the session. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Bulk, cancel, type Target } from "../src/model/actions";
import { type User, user } from "../src/model/session";
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

test.each([400, 401, 403])("a list says what the server refuses with %s, and does not repeat it", async (status) => {
  const list = await shown();
  answers = { status, body: { detail: "No." } };
  list.apply(accepted(1), "accepted");
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect([asked.length, list.failure.value]).toEqual([1, "No."]);
  list.apply(accepted(2), "accepted");
  await vi.advanceTimersByTimeAsync(250);
  expect(asked.length).toBe(2); // nothing was repeated, so nothing has to wait longer
});

test("a list that was read anew asks about changes as soon as at first", async () => {
  const list = await shown();
  answers = { status: 503, body: { detail: "Away." } };
  list.apply(accepted(1), "accepted");
  await vi.advanceTimersByTimeAsync(60_000);
  answers = { status: 200, body: { count: 0, next: null, results: [] } };
  await list.load();
  asked = [];
  list.apply(accepted(2), "accepted");
  await vi.advanceTimersByTimeAsync(250);
  expect(asked.length).toBe(1);
  expect(asked[0]).toContain("pulp_id__in=task-2");
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

const TARGET: Target = {
  pulp_href: "/pulp/api/v3/tasks/5e1f/",
  name: "sync",
  state: "running",
  cancellable: true,
  created_by: null,
  reserved_resources_record: [],
};

function named(username: string): User {
  return { pulp_href: `/pulp/api/v3/users/${username}/`, username, role: "admin", authenticated_by: "session" };
}

test("what one user began ends with the session, and does not go on for whoever logs in next", async () => {
  user.value = named("jo");
  let calls = 0;
  const bulk = new Bulk(Array.from({ length: 100 }, () => TARGET), async (target) => {
    calls += 1;
    if (calls === 10) {
      user.value = null;
      setTimeout(() => (user.value = named("kim")), 1000);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { target, ok: true, text: "", made: null };
  });
  const running = bulk.run();
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  await running;
  expect(calls).toBeLessThan(16);
  expect(bulk.isRunning.value).toBe(false);
});

test("a request that the server has put off is not repeated for another user", async () => {
  vi.stubGlobal("document", { cookie: "csrftoken=x" });
  user.value = named("jo");
  answers = { status: 503, body: { detail: "Later." }, headers: { "retry-after": "5" } };
  const outcome = cancel(TARGET, "");
  await vi.advanceTimersByTimeAsync(1000);
  user.value = named("kim");
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect([asked.length, (await outcome).text]).toEqual([1, "Later."]);
});
