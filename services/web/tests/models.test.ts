import { describe, expect, test } from "vitest";
import { adminOf } from "../src/model/actions";
import { addressOf, sentence } from "../src/model/api";
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
  ])("%s %s", (states, q, options) => expect(adminOf({ states, q })).toBe(options));
});
