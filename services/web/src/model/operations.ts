/** The operations that may be submitted, read once. */

import { signal } from "@preact/signals";
import { get, type Query } from "./api";
import type { Page } from "./tasks";

/** The parts of JSON Schema that declared arguments use. */
export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  allOf?: Schema[];
  oneOf?: Schema[];
  $ref?: string;
  $defs?: Record<string, Schema>;
}

export interface Operation {
  pulp_href: string;
  name: string;
  cancellable: boolean;
  description: string;
  resources: { type: string; id: string; access?: string }[];
  arguments: Schema | null;
  requires: string | null;
  example: { operation?: string; arguments?: Record<string, unknown> } | null;
  workers: unknown[];
  package: string | null;
  version: string | null;
}

export const operations = signal<readonly Operation[]>([]);

export async function loadOperations(query: Query = {}): Promise<void> {
  operations.value = (await get<Page<Operation>>("operations/", { query })).results;
}
