import { expect, test } from "vitest";
import { commandOf, possible, sentenceOf } from "../src/model/dead-letters";

const STANDINGS = ["dead", "parks", "waits", "discarded"] as const;

test.each([
  ["admin", [["retry"], ["retry", "discard"], [], []]],
  ["operator", [["retry"], ["retry", "discard"], [], []]],
  ["submitter", [[], [], [], []]],
  ["auditor", [[], [], [], []]],
  ["viewer", [[], [], [], []]],
] as const)("what a user with the role %s may do", (role, allowed) => {
  expect(STANDINGS.map((standing) => possible({ standing }, { role }))).toEqual(allowed);
});

test("nobody may do anything", () => {
  expect(possible({ standing: "parks" }, null)).toEqual([]);
  expect(possible({ standing: "parks" }, undefined)).toEqual([]);
});

test("the command is safe to paste", () => {
  expect(commandOf("retry", "3:1042", "")).toBe("pulp-admin dead-letters retry 3:1042");
  expect(commandOf("discard", "3:1042", "it's broken")).toBe("pulp-admin dead-letters discard 3:1042 --reason 'it'\\''s broken'");
});

test("it is said what will happen", () => {
  expect(sentenceOf("discard", { standing: "parks", behind: 0 })).toBe("The task goes on without this record, for ever.");
  expect(sentenceOf("discard", { standing: "parks", behind: 1 })).toContain("the record that waits behind it will be projected");
  expect(sentenceOf("discard", { standing: "parks", behind: 2 })).toContain("the 2 records that wait behind it");
  expect(sentenceOf("retry", { standing: "parks", behind: 2 })).toContain("and the 2 records that wait behind it");
  expect(sentenceOf("retry", { standing: "dead", behind: 0 })).toContain("appended again as it is");
});
