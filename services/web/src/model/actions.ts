/** What people do to tasks, one or many. */

import { signal } from "@preact/signals";
import { ApiError, get, type Query, request } from "./api";
import { user } from "./session";
import { type Filter, queryOf } from "./task-list";
import { FINAL, idOf, type Page, type Task } from "./tasks";

export type Target = Pick<Task, "pulp_href" | "name" | "state" | "cancellable" | "created_by" | "reserved_resources_record">;

const FIELDS = "pulp_href,name,state,cancellable,created_by,reserved_resources_record,pulp_created";
const PAGE = 500;
const AT_ONCE = 6;
const LONGEST_WAIT_S = 30;

/** The words of the user guide for a task that cannot be cancelled while it runs. */
export function refusal(id: string): string {
  return `Cancel Not Implemented for Task: ${id}`;
}

export type Outcome = { target: Target; ok: boolean; text: string; made: string | null };

/** Cancel one task. Never throws: the outcome says what became of it. */
export async function cancel(target: Target, reason: string): Promise<Outcome> {
  const id = idOf(target.pulp_href);
  try {
    const body = reason === "" ? { state: "canceled" } : { state: "canceled", reason };
    const task = await patiently(() => request<Task>("PATCH", target.pulp_href, { body }));
    const text = task.state === "canceled" ? "canceled" : "asked to stop";
    return { target, ok: true, text, made: null };
  } catch (error) {
    const isRefusal = error instanceof ApiError && error.status === 409 && !FINAL.has(stateOf(error.body));
    return { target, ok: false, text: isRefusal ? refusal(id) : messageOf(error), made: null };
  }
}

/** Run one task again, with changed arguments where there are some. */
export async function rerun(target: Target, body: Record<string, unknown> = {}): Promise<Outcome> {
  try {
    const answer = await patiently(() =>
      request<{ task: string; warnings?: string[] }>("POST", `${target.pulp_href}rerun/`, { body }),
    );
    return { target, ok: true, text: answer.warnings?.join(" ") ?? "submitted again", made: answer.task };
  } catch (error) {
    return { target, ok: false, text: messageOf(error), made: null };
  }
}

/** A task is cancelled or run again only in some states. */
export function fits(action: Action, target: Target): boolean {
  return action === "cancel" ? ["waiting", "running"].includes(target.state) : FINAL.has(target.state);
}

export type Action = "cancel" | "rerun";

/** Every task that a filter shows and that the action fits, oldest last. `found` is told how many there are so far. */
export async function matching(
  filter: Filter,
  action: Action,
  found: (count: number) => void,
  signalled: AbortSignal,
): Promise<Target[]> {
  const wanted = action === "cancel" ? ["waiting", "running"] : [...FINAL];
  const states = filter.states.length === 0 ? wanted : filter.states.filter((state) => wanted.includes(state));
  if (states.length === 0) return [];
  const all = new Map<string, Target & { pulp_created: string }>();
  let before: Query = {};
  for (;;) {
    const query = { ...queryOf({ ...filter, states }), limit: PAGE, fields: FIELDS, ...before };
    const page = await patiently(() =>
      get<Page<Target & { pulp_created: string }>>("tasks/", { query, signal: signalled }),
    );
    const known = all.size;
    for (const task of page.results) all.set(task.pulp_href, task);
    found(all.size);
    const last = page.results.at(-1);
    if (page.next === null || last === undefined || all.size === known) return [...all.values()];
    before = { pulp_created__lte: last.pulp_created };
  }
}

/** Acts on many tasks, a few at a time, and can be stopped in between. It ends with the session of who began it. */
export class Bulk {
  readonly done = signal<readonly Outcome[]>([]);
  readonly isRunning = signal(false);
  private isStopped = false;
  private readonly who = user.value;

  constructor(
    readonly targets: readonly Target[],
    private readonly act: (target: Target) => Promise<Outcome>,
  ) {}

  async run(): Promise<void> {
    this.isRunning.value = true;
    const left = [...this.targets];
    const turn = async () => {
      for (let target = left.shift(); target !== undefined && !this.isStopped && user.value === this.who; target = left.shift()) {
        const outcome = await this.act(target);
        this.done.value = [...this.done.value, outcome];
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, turn));
    this.isRunning.value = false;
  }

  stop(): void {
    this.isStopped = true;
  }
}

/** Does it again where the server says when to come back, unless another user has logged in meanwhile. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const who = user.value;
  for (let tries = 0; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      const isBusy = error instanceof ApiError && [429, 503].includes(error.status) && error.retryAfterS !== null;
      if (!isBusy || tries >= 20) throw error;
      const wait = Math.min(LONGEST_WAIT_S, error.retryAfterS ?? 1);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      if (user.value !== who) throw error;
    }
  }
}

function stateOf(body: unknown): string {
  return typeof body === "object" && body !== null ? String((body as { state?: unknown }).state ?? "") : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The command that does the same on a terminal. */
export function commandOf(action: Action, ids: readonly string[]): string {
  return ids.map((id) => `pulp-admin tasks ${action} --task-id ${id}`).join("\n");
}

const OPTIONS: Record<string, string> = {
  name: "--operation",
  created_by: "--who",
  reserved_resources: "--resource",
  queue: "--queue",
  tags: "--tag",
  pulp_created__gt: "--since",
  pulp_created__lt: "--until",
};

/** A word of a command line. What people copy into their shell may come from a link that somebody sent them. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The options of `pulp-admin tasks` that mean the same as a filter; null where there are none for it. */
export function adminOf(filter: Filter): string | null {
  const options: string[] = [];
  const states = [...filter.states];
  const expression = queryOf({ ...filter, states: [] }).q;
  for (const part of typeof expression === "string" ? expression.split(" AND ") : []) {
    const [, key, value] = /^(\w+)=([^\s()"']+)$/.exec(part) ?? [];
    if (key === "state" && value !== undefined && states.length === 0) states.push(value);
    else if (key !== undefined && value !== undefined && OPTIONS[key] !== undefined) options.push(`${OPTIONS[key]} ${word(value)}`);
    else return null;
  }
  return [states.length > 0 ? `--state ${word(states.join(","))}` : "--all", ...options].join(" ");
}

/** The request that shows the same list. */
export function curlOf(filter: Filter): string {
  const query = new URLSearchParams(queryOf(filter) as Record<string, string>).toString();
  const address = `${location.origin}/pulp/api/v3/tasks/${query === "" ? "" : `?${query}`}`;
  return `curl --user NAME '${address.replaceAll("'", "%27")}'`;
}

/** The request that shows the task, now or as it was at a position. */
export function curlOfTask(href: string, at: string | null): string {
  const query = at === null ? "" : `?${new URLSearchParams({ as_of: at }).toString().replaceAll("'", "%27")}`;
  return `curl --user NAME '${location.origin}${href}${query}'`;
}

/** The command that shows the same. */
export function adminOfTask(id: string, at: string | null): string {
  return `pulp-admin tasks details --task-id ${word(id)}${at === null ? "" : ` --as-of ${word(at)}`}`;
}
