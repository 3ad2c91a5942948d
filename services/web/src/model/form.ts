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

/** What was typed, as the arguments of a submission; a field that was left empty is left out. Throws `BadField`. */
export function argumentsOf(fields: readonly Field[], typed: Record<string, string>): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const field of fields) {
    const text = typed[field.name]?.trim() ?? "";
    if (text === "") continue;
    found[field.name] = valueOf(field, text);
  }
  return found;
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
    case "number": {
      const value = Number(text);
      if (Number.isNaN(value)) throw new BadField(field.name, `${field.name}: a number is expected, not ${text}`);
      return value;
    }
    case "flag":
      return text === "true";
    case "json":
      try {
        return JSON.parse(text);
      } catch {
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
