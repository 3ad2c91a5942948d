/** A list of tasks that stays as it is on the screen while the rows in it change. */

import { batch, type Signal, signal } from "@preact/signals";
import { ApiError, exchange, get, type Query } from "./api";
import { expressionOf } from "./search";
import type { StreamedEvent } from "./stream";
import { FINAL, idOf, type Page, ROW_FIELDS, type Task } from "./tasks";

export interface Filter {
  states: readonly string[];
  q: string;
}

const PAGE = 100;
/** How many tasks one request asks for by their ids. */
const MOST_IDS = 100;
const COLLECT_MS = 250;
/** The longest pause after requests that failed; it doubles with each. */
const LONGEST_PAUSE_MS = 8000;
/** With more changes than this at once it is cheaper to read the first page anew. */
const MANY = 500;

export type Phase = "loading" | "ready" | "failed";

export class TaskList {
  readonly ids = signal<readonly string[]>([]);
  readonly phase = signal<Phase>("loading");
  readonly failure = signal<string | null>(null);
  readonly total = signal<number | null>(null);
  readonly isEstimate = signal(false);
  readonly hasMore = signal(false);
  readonly isLoadingMore = signal(false);
  /** The ids of tasks that match and are newer than all that are shown. Their rows change too. */
  readonly fresh = signal<readonly string[]>([]);
  readonly isPaused = signal(false);
  /** Counts the changes that were shown, for tests and for the live region. */
  readonly changes = signal(0);

  private readonly rows = new Map<string, Signal<Task>>();
  private readonly pending = new Set<string>();
  private readonly least = new Map<number, number>();
  private filter: Filter = { states: [], q: "" };
  private generation = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isReading = false;
  private pauseMs = COLLECT_MS;
  private asked: ReadonlySet<string> = new Set();
  private loading = 0;

  constructor(private readonly fixed: Query = {}) {}

  row(id: string): Signal<Task> {
    const found = this.rows.get(id);
    if (found === undefined) throw new Error(`no row ${id}`);
    return found;
  }

  /** All rows that are there, for a look: nobody is told when they change. */
  shown(): Task[] {
    return this.ids.peek().map((id) => this.row(id).peek());
  }

  get query(): Query {
    return queryOf(this.filter, this.fixed);
  }

  /** Read the list from its beginning. What is shown stays until the answer is there. */
  async load(filter: Filter = this.filter): Promise<void> {
    this.filter = filter;
    this.generation += 1;
    const generation = this.generation;
    this.pending.clear();
    if (this.ids.value.length === 0) this.phase.value = "loading";
    this.loading += 1;
    try {
      const { body, headers } = await exchange<Page<Task>>("GET", "tasks/", {
        query: { ...this.query, limit: PAGE, fields: ROW_FIELDS },
      });
      if (generation !== this.generation) return;
      batch(() => {
        this.rows.clear();
        this.ids.value = body.results.map((task) => this.put(task));
        this.fresh.value = [];
        this.total.value = body.count;
        this.isEstimate.value = headers.get("pulp-count") === "estimate";
        this.hasMore.value = body.next !== null;
        this.failure.value = null;
        this.phase.value = "ready";
      });
      clearTimeout(this.timer); // the server is back: the long pause of earlier failures is over
      this.timer = undefined;
      this.pauseMs = COLLECT_MS;
    } catch (error) {
      if (generation === this.generation) this.fail(error);
    } finally {
      this.loading -= 1;
      if (this.pending.size > 0 && !this.isPaused.value) this.schedule();
    }
  }

  /** Read the tasks that are older than the last one shown. */
  async more(): Promise<void> {
    const last = this.ids.value.at(-1);
    if (last === undefined || this.isLoadingMore.value || !this.hasMore.value) return;
    const generation = this.generation;
    this.isLoadingMore.value = true;
    try {
      // Tasks of the same instant as the last one come again, and are known by their ids.
      const page = await get<Page<Task>>("tasks/", {
        query: { ...this.query, limit: PAGE, fields: ROW_FIELDS, pulp_created__lte: this.row(last).value.pulp_created },
      });
      if (generation !== this.generation) return;
      batch(() => {
        const added = page.results.filter((task) => !this.rows.has(idOf(task.pulp_href)));
        this.ids.value = [...this.ids.value, ...added.map((task) => this.put(task))];
        this.hasMore.value = page.next !== null && added.length > 0;
      });
    } catch (error) {
      this.fail(error);
    } finally {
      this.isLoadingMore.value = false;
    }
  }

  /** Take an event of the stream: the row of its task is read again soon, together with others. */
  apply(event: StreamedEvent, word: string): void {
    if (event.event === null) return;
    const id = event.event.subject;
    const isKnown = this.rows.has(id);
    // Without a filter on states only a new task can come into the list.
    const mayEnter = word === "accepted" || (word !== "progress" && this.filter.states.length + this.filter.q.length > 0);
    // The answer that is under way may know the task, and may be older than this event.
    if (!isKnown && !mayEnter && this.loading === 0 && !this.asked.has(id)) return;
    this.pending.add(id);
    this.least.set(event.partition, Math.max(event.offset, this.least.get(event.partition) ?? -1));
    if (!this.isPaused.value) this.schedule();
  }

  pause(): void {
    this.isPaused.value = true;
  }

  resume(): void {
    this.isPaused.value = false;
    if (this.pending.size > MANY) void this.load();
    else if (this.pending.size > 0) this.schedule();
  }

  /** Show the tasks that have come meanwhile. */
  showFresh(): void {
    batch(() => {
      this.ids.value = [...this.fresh.value, ...this.ids.value];
      this.fresh.value = [];
    });
  }

  /** Put what an answer told about one task. */
  put(task: Task): string {
    const id = idOf(task.pulp_href);
    const row = this.rows.get(id);
    if (row === undefined) this.rows.set(id, signal(task));
    else if (task.version >= row.value.version) row.value = task;
    return id;
  }

  private schedule(): void {
    if (this.timer !== undefined || this.isReading || this.loading > 0) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.refresh();
    }, this.pauseMs);
  }

  private async refresh(): Promise<void> {
    if (this.pending.size > MANY) {
      await this.load();
      return;
    }
    const generation = this.generation;
    const taken = [...this.pending].slice(0, MOST_IDS);
    const known = taken.filter((id) => this.rows.has(id));
    const others = taken.filter((id) => !this.rows.has(id));
    const positions = [...this.least].map(([partition, offset]) => `${partition}:${offset}`).join(",");
    for (const id of taken) this.pending.delete(id);
    this.isReading = true;
    this.asked = new Set(taken);
    try {
      const [changed, entered] = await Promise.all([
        this.read(known, {}, positions),
        this.read(others, this.query, positions),
      ]);
      if (generation === this.generation) this.show(changed, entered);
      this.pauseMs = COLLECT_MS;
    } catch (error) {
      const isRefused = error instanceof ApiError && error.status !== 0 && error.status < 500 && error.status !== 429;
      if (isRefused) {
        // The server would refuse it again, so that the rows stay as they are: whoever looks at them has to know.
        if (generation === this.generation) this.fail(error);
      } else {
        for (const id of taken) this.pending.add(id);
        const askedMs = error instanceof ApiError ? (error.retryAfterS ?? 0) * 1000 : 0;
        this.pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(2 * this.pauseMs, askedMs));
      }
    } finally {
      this.isReading = false;
      if (this.pending.size > 0 && !this.isPaused.value) this.schedule();
    }
  }

  private async read(ids: readonly string[], query: Query, positions: string): Promise<Task[]> {
    if (ids.length === 0) return [];
    const page = await get<Page<Task>>("tasks/", {
      query: { ...query, pulp_id__in: ids.join(","), limit: MOST_IDS, fields: ROW_FIELDS },
      headers: { "Pulp-Min-Position": positions },
    });
    return page.results;
  }

  private show(changed: readonly Task[], entered: readonly Task[]): void {
    batch(() => {
      for (const task of changed) this.put(task);
      const fresh = new Set(this.fresh.value);
      const inside: Task[] = [];
      const oldest = this.ids.value.at(-1);
      const newest = this.ids.value[0];
      for (const task of entered) {
        const created = task.pulp_created;
        if (newest === undefined || created > this.row(newest).value.pulp_created) fresh.add(this.put(task));
        else if (oldest !== undefined && (!this.hasMore.value || created >= this.row(oldest).value.pulp_created)) inside.push(task);
      }
      this.fresh.value = this.sorted(fresh);
      if (inside.length > 0) {
        const added = new Set(inside.map((task) => this.put(task)));
        this.ids.value = this.sorted(new Set([...this.ids.value, ...added]));
      }
      if (newest === undefined) this.showFresh(); // nothing jumps in an empty list
      if (this.total.value !== null) this.total.value += entered.length;
      this.changes.value += changed.length + entered.length;
    });
  }

  private sorted(ids: ReadonlySet<string>): string[] {
    const tasks = [...ids].map((id) => this.row(id).value);
    return tasks.sort(newestFirst).map((task) => idOf(task.pulp_href));
  }

  private fail(error: unknown): void {
    this.failure.value = error instanceof Error ? error.message : String(error);
    if (this.ids.value.length === 0) this.phase.value = "failed";
  }
}

export function queryOf(filter: Filter, fixed: Query = {}): Query {
  const query: Query = { ...fixed };
  if (filter.states.length > 0) query.state__in = filter.states.join(",");
  const q = expressionOf(filter.q);
  if (q !== "") query.q = q;
  return query;
}

export function isFinal(task: Pick<Task, "state">): boolean {
  return FINAL.has(task.state);
}

function newestFirst(one: Task, other: Task): number {
  if (one.pulp_created !== other.pulp_created) return one.pulp_created < other.pulp_created ? 1 : -1;
  return one.pulp_href < other.pulp_href ? 1 : -1;
}
