/** The history of a task, and what it tells about its course. Pure, but for reading it. */

import { get } from "./api";
import type { Envelope } from "./stream";
import { wordOf } from "./stream";
import { ms } from "./times";

export interface Entry {
  partition: number;
  offset: number;
  type: string;
  event_id: string;
  event_time: string;
  time: string;
  actor: string;
  effect: string;
  event: Envelope;
}

const PAGE = 500;
/** A task that reports its progress for days has more events than a page can show. */
export const MOST_ENTRIES = 5000;

export const positionOf = (entry: Pick<Entry, "partition" | "offset">): string => `${entry.partition}:${entry.offset}`;

/** All events of a task, or those after a position. */
export async function readHistory(id: string, after?: string): Promise<Entry[]> {
  const all: Entry[] = [];
  let from = after;
  while (all.length < MOST_ENTRIES) {
    const page = await get<{ results: Entry[]; next: string | null }>(`tasks/${id}/history/`, {
      query: { limit: PAGE, after: from },
    });
    all.push(...page.results);
    const last = page.results.at(-1);
    if (page.next === null || last === undefined) break;
    from = positionOf(last);
  }
  return all;
}

export interface Phase {
  kind: "waiting" | "running" | "stopping" | "resting";
  label: string;
  from: number;
  to: number | null;
}

/** The phases of the task: waiting, its attempts, the rests between them, and the time from a cancel to its end. */
export function phasesOf(history: readonly Entry[]): Phase[] {
  const phases: Phase[] = [];
  let attempts = 0;
  const begin = (kind: Phase["kind"], label: string, at: number) => {
    end(at);
    phases.push({ kind, label, from: at, to: null });
  };
  const end = (at: number) => {
    const last = phases.at(-1);
    if (last !== undefined && last.to === null) last.to = Math.max(at, last.from);
  };
  for (const entry of history) {
    if (entry.effect !== "applied") continue;
    const at = ms(entry.time);
    switch (wordOf(entry.type)) {
      case "accepted":
        begin("waiting", "waited", at);
        break;
      case "started":
        attempts += 1;
        begin("running", `attempt ${attempts}`, at);
        break;
      case "attempt-failed":
        begin("resting", "rest before the next attempt", at);
        break;
      case "cancel-requested":
        if (phases.at(-1)?.kind === "running") begin("stopping", "stopping", at);
        break;
      case "finished":
        end(at);
        break;
    }
  }
  return phases;
}

/** One line about an event, for people. */
export function aboutEvent(event: Envelope | null): string {
  const data = event?.data ?? {};
  const text = (name: string) => (typeof data[name] === "string" ? (data[name] as string) : "");
  switch (wordOf(event?.type ?? "")) {
    case "accepted":
      return [text("operation"), text("queue") === "default" ? "" : text("queue")].filter(Boolean).join(", queue ");
    case "started":
      return [text("worker") && `on ${text("worker")}`, typeof data.attempt === "number" && data.attempt > 1 ? `attempt ${data.attempt}` : ""].filter(Boolean).join(", ");
    case "progress":
      return aboutProgress(data.progress);
    case "cancel-requested":
      return text("reason");
    case "unparked":
      return [text("action"), text("reason")].filter(Boolean).join(": ");
    case "attempt-failed":
    case "finished":
      return [text("outcome") || text("state"), errorOf(data.error)].filter(Boolean).join(": ");
    default:
      return "";
  }
}

function errorOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { description, message, code } = error as Record<string, unknown>;
  return String(description ?? message ?? code ?? "");
}

function aboutProgress(progress: unknown): string {
  const found = { done: 0, total: 0 };
  const visit = (part: unknown): void => {
    if (typeof part !== "object" || part === null) return;
    const { items_total: total, items_left: left } = part as Record<string, unknown>;
    if (typeof total === "number" && typeof left === "number") {
      found.total += total;
      found.done += total - left;
      return; // what is within it is counted there
    }
    Object.values(part).forEach(visit);
  };
  visit(progress);
  return found.total > 0 ? `${found.done} of ${found.total} items` : compact(progress);
}

function compact(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}

export interface Difference {
  path: string;
  before: string;
  after: string;
}

/** What differs between two states of a task, field by field. */
export function differences(before: unknown, after: unknown, path = ""): Difference[] {
  if (Object.is(before, after)) return [];
  if (isPlain(before) && isPlain(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => differences(before[name], after[name], path === "" ? name : `${path}.${name}`));
  }
  const [one, other] = [shown(before), shown(after)];
  return one === other ? [] : [{ path, before: one, after: other }];
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined || value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}

/** The entries as JSON Lines, as they are in the log with their positions. */
export function asJsonLines(entries: readonly unknown[]): string {
  return entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
}

const COLUMNS = ["position", "time", "type", "actor", "effect", "about", "event"] as const;

/** The entries as CSV (RFC 4180), with a head. A text that a spreadsheet would take for a formula begins with `'`. */
export function asCsv(entries: readonly Entry[]): string {
  const rows = entries.map((entry) => [
    positionOf(entry),
    entry.time,
    wordOf(entry.type),
    entry.actor,
    entry.effect,
    aboutEvent(entry.event),
    JSON.stringify(entry.event),
  ]);
  return [[...COLUMNS], ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Have the browser keep a text as a file. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
