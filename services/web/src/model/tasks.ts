/** Tasks as the API gives them. */

export interface ProgressReport {
  message: string;
  code: string;
  state: string;
  total: number;
  done: number;
}

export interface TaskError {
  traceback?: string | null;
  error_code?: string;
  description?: string;
  reason?: string;
}

export interface Task {
  pulp_href: string;
  pulp_created: string;
  pulp_last_updated: string;
  state: string;
  name: string;
  created_by: string | null;
  unblocked_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  worker_name: string | null;
  cancellable: boolean;
  queue: string;
  attempt: number;
  error: TaskError | null;
  progress_reports: ProgressReport[];
  reserved_resources_record: string[];
  version: number;
}

export interface FullTask extends Task {
  logging_cid: string;
  priority: number;
  arguments: Record<string, unknown>;
  result: unknown;
  progress: unknown;
  tags: string[];
  resources: { type: string; id: string; access?: string }[];
  depends_on: string[];
  parent_task: string | null;
  child_tasks: string[];
  task_group: string | null;
  rerun_of: string | null;
  reruns: string[];
  timeout_seconds: number | null;
  deadline_seconds: number | null;
  cancel_requested_at: string | null;
  failed_attempts: number;
  retry_at: string | null;
  position: string;
  waiting_for: { reason: string; message: string } | null;
}

export interface Page<T> {
  count: number;
  next: string | null;
  results: T[];
}

/** The fields that a row of the list is made of. */
export const ROW_FIELDS = [
  "pulp_href",
  "pulp_created",
  "pulp_last_updated",
  "state",
  "name",
  "created_by",
  "unblocked_at",
  "started_at",
  "finished_at",
  "worker_name",
  "cancellable",
  "queue",
  "attempt",
  "error",
  "progress_reports",
  "reserved_resources_record",
  "version",
].join(",");

export const STATES = ["waiting", "running", "canceling", "completed", "failed", "canceled", "skipped"] as const;
export type State = (typeof STATES)[number];

export const FINAL: ReadonlySet<string> = new Set(["completed", "failed", "canceled", "skipped"]);

/** The last part of an href: the id. */
export function idOf(href: string): string {
  return href.split("/").filter(Boolean).at(-1) ?? "";
}

export function nameOf(userHref: string | null): string {
  return userHref === null ? "" : decodeURIComponent(idOf(userHref));
}

/** How far a task is, from 0 to 1, over all parts that count items; null if none does. */
export function fractionOf(reports: readonly ProgressReport[]): number | null {
  // A part within another one is counted there already.
  const outer = reports.filter((one) => !reports.some((other) => one !== other && one.code.startsWith(`${other.code}.`)));
  const total = outer.reduce((sum, each) => sum + each.total, 0);
  if (total <= 0) return null;
  const done = outer.reduce((sum, each) => sum + Math.min(each.done, each.total), 0);
  return Math.max(0, Math.min(1, done / total));
}
