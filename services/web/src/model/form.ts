/** A form from the declared arguments of an operation. Pure. */

import type { Schema } from "./operations";

export interface Parameter {
  name: string;
  required: boolean;
  remembered: boolean;
  default: unknown;
  description: string;
  expected: string;
}

export type Kind = "text" | "number" | "flag" | "choice" | "json";

export interface Field {
  name: string;
  kind: Kind;
  choices: string[];
  required: boolean;
  hint: string;
  placeholder: string;
}

/** The fields of a form, those that are needed first. */
export function fieldsOf(schema: Schema, parameters: readonly Parameter[]): Field[] {
  const about = new Map(parameters.map((each) => [each.name, each]));
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]): Field => {
    const parameter = about.get(name);
    const required = parameter?.required ?? schema.required?.includes(name) ?? false;
    const plain = withoutNull(part);
    const choices = (plain.enum ?? []).map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
    const usual = parameter?.default ?? plain.default;
    const hints = [parameter?.description ?? part.description ?? "", parameter?.expected ? `Expected: ${parameter.expected}.` : ""];
    if (parameter?.remembered) hints.push("Left out: that of the repository.");
    return {
      name,
      kind: kindOf(plain, choices),
      choices,
      required,
      hint: hints.filter(Boolean).join(" "),
      placeholder: usual === undefined || usual === null ? "" : typeof usual === "string" ? usual : JSON.stringify(usual),
    };
  });
  return fields.sort((one, other) => Number(other.required) - Number(one.required));
}

/**
 * What was typed, as the arguments of a submission; a field that was left empty is left out, and one that was left as
 * it was before is the same. Throws `BadField`.
 */
export function argumentsOf(
  fields: readonly Field[],
  typed: Record<string, string>,
  before: Record<string, unknown> = {},
): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const field of fields) {
    const text = typed[field.name]?.trim() ?? "";
    if (text === "") continue;
    const isAsBefore = field.name in before && typed[field.name] === typedOf(before[field.name]);
    found[field.name] = isAsBefore ? before[field.name] : valueOf(field, text);
  }
  return found;
}

/** The number of a field that takes one. Throws `BadField`. */
export function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isNaN(value)) throw new BadField(name, `${name}: a number is expected, not ${text}`);
  checkExact(name, text.trim());
  return value;
}

/** The value of JSON. Throws `SyntaxError`, and `BadField` for a number that a browser would change. */
export function exactJson(name: string, text: string): unknown {
  const value: unknown = JSON.parse(text);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g)) if (!token.startsWith('"')) checkExact(name, token);
  return value;
}

/** A browser holds integers of up to 15 digits, and rounds longer ones; what is too large becomes infinite. */
function checkExact(name: string, text: string): void {
  const value = Number(text);
  if (Number.isFinite(value) && (!/^[+-]?\d+$/.test(text) || Number.isSafeInteger(value))) return;
  throw new BadField(name, `${name}: a browser cannot hold ${text} without changing it: submit it with pulp-admin`);
}

export class BadField extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

function valueOf(field: Field, text: string): unknown {
  switch (field.kind) {
    case "number":
      return numberOf(field.name, text);
    case "flag":
      return text === "true";
    case "json":
      try {
        return exactJson(field.name, text);
      } catch (error) {
        if (error instanceof BadField) throw error;
        throw new BadField(field.name, `${field.name}: JSON is expected, such as ["a", "b"] or {"a": 1}`);
      }
    default:
      return text;
  }
}

/** How a value looks in its field. */
export function typedOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function kindOf(schema: Schema, choices: readonly string[]): Kind {
  if (choices.length > 0 && schema.enum?.every((each) => typeof each === "string")) return "choice";
  switch (schema.type) {
    case "string":
      return "text";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "flag";
    default:
      return "json";
  }
}

function withoutNull(schema: Schema): Schema {
  const others = (schema.anyOf ?? schema.oneOf ?? []).filter((each) => each.type !== "null");
  return others.length === 1 && others[0] !== undefined ? others[0] : schema;
}
