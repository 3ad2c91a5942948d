/** The search box: the API's `q`, and plain words for those who do not know it. Pure. */

import { STATES } from "./tasks";

export const KEYS: Record<string, string> = {
  "state=": "waiting, running, completed, failed …",
  "name=": "the operation",
  "name__contains=": "a part of the operation's name",
  "created_by=": "who submitted it",
  "reserved_resources=": "repository:ID, or another resource",
  "tags=": "a tag",
  "argument.": "an argument by its name, as in argument.feed=URL",
  "logging_cid=": "the correlation id",
  "pulp_id__startswith=": "the first digits of the id",
  "pulp_created__gt=": "submitted after a time",
  "finished_at__gt=": "ended after a time",
  "task_group=": "the id of a group",
};

const JOINING = new Set(["AND", "OR", "NOT"]);
const TOKEN = /\(|\)|[A-Za-z][\w.-]*\s*=\s*(?:"(?:[^"\\]|""|\\.)*"|'(?:[^'\\]|''|\\.)*'|[^\s()"']+)|[^\s()]+/g;
const FILTER = /^[A-Za-z]\w*\s*=/;
const ARGUMENT = /^argument\.([\w.-]+)\s*=\s*(.*)$/s;

/**
 * The expression that the API understands. A word without `=` is a state, the beginning of an id, a resource
 * (`repository:zoo`), a user (`@jo`), or else a part of the operation's name or the id of a repository.
 */
export function expressionOf(text: string): string {
  const parts: string[] = [];
  for (const token of text.match(TOKEN) ?? []) {
    const part = JOINING.has(token) || token === "(" || token === ")" || FILTER.test(token) ? token : (argumentOf(token) ?? wordOf(token));
    const before = parts.at(-1);
    const joins = before === undefined || JOINING.has(before) || before === "(";
    if (!joins && part !== ")" && part !== "AND" && part !== "OR") parts.push("AND");
    parts.push(part);
  }
  return parts.join(" ").replaceAll("( ", "(").replaceAll(" )", ")");
}

/**
 * The filter by an argument; null for another token. A value may be a text, a number or a flag of the argument, or one
 * of several in its list; dots lead into objects.
 */
function argumentOf(token: string): string | null {
  const [, path, typed] = ARGUMENT.exec(token) ?? [];
  if (path === undefined || typed === undefined) return null;
  const text = /^(["']).*\1$/s.test(typed) ? typed.slice(1, -1).replace(/\\(["'\\])/g, "$1") : typed;
  const values: unknown[] = [text, [text]];
  if (text === typed && /^(true|false|null|-?(0|[1-9]\d{0,14})(\.\d+)?)$/.test(text)) values.unshift(JSON.parse(text));
  const filters = values.map((value) => {
    const nested = path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
    return `arguments__contains='${JSON.stringify(nested).replaceAll("'", "\\u0027").replaceAll("\\\\", "\\u005c").replaceAll('\\"', "\\u0022")}'`;
  });
  return `(${filters.join(" OR ")})`;
}

function wordOf(word: string): string {
  const lower = word.toLowerCase();
  if ((STATES as readonly string[]).includes(lower)) return `state=${lower}`;
  if (/^(?=.*\d)[0-9a-f]{6,8}(-?[0-9a-f-]*)$/.test(lower)) return `pulp_id__startswith=${lower}`;
  if (word.startsWith("@") && word.length > 1) return `created_by=${quoted(word.slice(1))}`;
  if (/^[\w-]+:.+/.test(word)) return `reserved_resources=${quoted(word)}`;
  return `(name__contains=${quoted(word)} OR reserved_resources=${quoted(`repository:${word}`)})`;
}

function quoted(value: string): string {
  return /^[^\s()"']+$/.test(value) ? value : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

export interface Suggestion {
  /** The whole text after the choice. */
  text: string;
  label: string;
  about: string;
}

export interface Known {
  operations: readonly string[];
  resources: readonly string[];
  users: readonly string[];
}

const MOST = 8;

/** What may come at the end of the text. */
export function suggestions(text: string, known: Known): Suggestion[] {
  const last = /(?:^|[\s(])([^\s()]*)$/.exec(text)?.[1] ?? "";
  const before = text.slice(0, text.length - last.length);
  const [, key, start] = /^(\w+=)(.*)$/.exec(last) ?? [];
  if (key !== undefined) {
    const values = valuesOf(key, known);
    return values
      .filter((value) => value.toLowerCase().includes((start ?? "").toLowerCase()) && value !== start)
      .slice(0, MOST)
      .map((value) => ({ text: `${before}${key}${quoted(value)} `, label: key + value, about: "" }));
  }
  const keys = Object.entries(KEYS)
    .filter(([name]) => name.startsWith(last.toLowerCase()))
    .map(([name, about]) => ({ text: before + name, label: name, about }));
  if (last === "") return keys.slice(0, MOST);
  const words = [
    ...STATES.map((value) => ({ text: `${before}state=${value} `, label: `state=${value}`, about: "", value })),
    ...known.operations.map((value) => ({ text: `${before}name=${quoted(value)} `, label: `name=${value}`, about: "", value })),
    ...known.resources.map((value) => ({
      text: `${before}reserved_resources=${quoted(value)} `,
      label: value,
      about: "resource",
      value,
    })),
    ...known.users.map((value) => ({ text: `${before}created_by=${quoted(value)} `, label: `@${value}`, about: "user", value })),
  ].filter(({ value }) => value.toLowerCase().includes(last.toLowerCase().replace(/^@/, "")));
  return [...words.map(({ text: whole, label, about }) => ({ text: whole, label, about })), ...keys].slice(0, MOST);
}

function valuesOf(key: string, known: Known): readonly string[] {
  switch (key) {
    case "state=":
      return STATES;
    case "name=":
    case "name__contains=":
      return known.operations;
    case "reserved_resources=":
    case "exclusive_resources=":
    case "shared_resources=":
      return known.resources;
    case "created_by=":
      return known.users;
    default:
      return [];
  }
}
