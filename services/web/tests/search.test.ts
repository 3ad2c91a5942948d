import { describe, expect, test } from "vitest";
import { expressionOf, suggestions } from "../src/model/search";

const known = { operations: ["sync", "publish"], resources: ["repository:zoo"], users: ["jo"] };

describe("the expression of what is typed", () => {
  test.each([
    ["", ""],
    ["failed", "state=failed"],
    ["name=sync", "name=sync"],
    ["name=sync failed", "name=sync AND state=failed"],
    ["name=sync OR name=publish", "name=sync OR name=publish"],
    ["NOT failed", "NOT state=failed"],
    ["name=sync NOT (failed OR canceled)", "name=sync AND NOT (state=failed OR state=canceled)"],
    ["@jo", "created_by=jo"],
    ["repository:zoo", "reserved_resources=repository:zoo"],
    ["zoo", "(name__contains=zoo OR reserved_resources=repository:zoo)"],
    ["01a2290c-e113", "pulp_id__startswith=01a2290c-e113"],
    ["argument.feed=http://a/b", `(arguments__contains='{"feed":"http://a/b"}' OR arguments__contains='{"feed":["http://a/b"]}')`],
    [
      "argument.retain=3 failed",
      `(arguments__contains='{"retain":3}' OR arguments__contains='{"retain":"3"}' OR arguments__contains='{"retain":["3"]}') AND state=failed`,
    ],
    ['argument.a.b="it\'s"', `(arguments__contains='{"a":{"b":"it\\u0027s"}}' OR arguments__contains='{"a":{"b":["it\\u0027s"]}}')`],
    ["argument.code=007", `(arguments__contains='{"code":"007"}' OR arguments__contains='{"code":["007"]}')`],
    ["argument.big=12345678901234567", `(arguments__contains='{"big":"12345678901234567"}' OR arguments__contains='{"big":["12345678901234567"]}')`],
    [
      'argument.n="say \\"hi\\""',
      `(arguments__contains='{"n":"say \\u0022hi\\u0022"}' OR arguments__contains='{"n":["say \\u0022hi\\u0022"]}')`,
    ],
    ['name="remove orphans" running', 'name="remove orphans" AND state=running'],
  ])("%s", (typed, expression) => expect(expressionOf(typed)).toBe(expression));
});

describe("completions", () => {
  test("a key gives its values", () => {
    expect(suggestions("name=s", known).map((each) => each.text)).toEqual(["name=sync ", "name=publish "]);
    expect(suggestions("failed state=wait", known).map((each) => each.text)).toEqual(["failed state=waiting "]);
  });
  test("a word finds operations, resources and users", () => {
    expect(suggestions("zoo", known).map((each) => each.text)).toContain("reserved_resources=repository:zoo ");
    expect(suggestions("@j", known).map((each) => each.text)).toContain("created_by=jo ");
    expect(suggestions("sy", known).map((each) => each.text)).toContain("name=sync ");
  });
});
