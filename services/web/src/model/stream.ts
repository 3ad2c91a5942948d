/** The server's events as they come, over one connection for the whole page. */

import { signal } from "@preact/signals";
import { ApiError, addressOf, get, type Query } from "./api";

export interface Envelope {
  type: string;
  id: string;
  subject: string;
  source: string;
  time: string;
  data: Record<string, unknown>;
  [attribute: string]: unknown;
}

export interface StreamedEvent {
  partition: number;
  offset: number;
  timestamp_ms: number;
  event: Envelope | null;
  error?: string;
}

export type StreamState = "idle" | "connecting" | "live" | "lost";

const PREFIX = "org.pulpproject.task.";
export const TYPES = ["accepted", "started", "progress", "attempt-failed", "cancel-requested", "finished", "purged", "unparked"];
const NAMES = [...TYPES.flatMap((name) => [`${PREFIX}${name}.v1`, `${PREFIX}${name}.v2`]), "undecodable"];
const HIDDEN_MS = 20_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
/** After so many refusals of a place it is given up: the log may have been made anew. */
const PATIENCE = 3;

/** The word for an event's type: `accepted` for `org.pulpproject.task.accepted.v1`. */
export function wordOf(type: string): string {
  return type.startsWith(PREFIX) ? type.slice(PREFIX.length).replace(/\.v\d+$/, "") : type;
}

/**
 * A stream that goes on where it was, after a restart of the server and after the page was hidden.
 *
 * `onGap` is called where events may have been missed: read again what you show.
 */
export class EventStream {
  readonly state = signal<StreamState>("idle");
  /** What the server said when it ended the stream. */
  readonly reason = signal<string | null>(null);

  private source: EventSource | null = null;
  private last: string | null = null;
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private isWanted = false;

  constructor(
    private readonly query: Query,
    private readonly onEvent: (event: StreamedEvent, name: string) => void,
    private readonly onGap: () => void,
  ) {}

  open(): void {
    if (this.isWanted) return;
    this.isWanted = true;
    document.addEventListener("visibilitychange", this.onVisibility);
    window.addEventListener("online", this.onOnline);
    this.connect();
  }

  close(): void {
    this.isWanted = false;
    document.removeEventListener("visibilitychange", this.onVisibility);
    window.removeEventListener("online", this.onOnline);
    clearTimeout(this.timer);
    clearTimeout(this.hiding);
    this.disconnect();
    this.state.value = "idle";
  }

  // A browser opens six connections to a server at most: hidden pages must not hold them all.
  private readonly onVisibility = (): void => {
    clearTimeout(this.hiding);
    if (document.visibilityState === "hidden") this.hiding = setTimeout(() => this.disconnect(), HIDDEN_MS);
    else if (this.source === null) this.connect();
  };

  private readonly onOnline = (): void => {
    if (this.state.value === "lost") this.connect();
  };

  private disconnect(): void {
    this.source?.close();
    this.source = null;
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.disconnect();
    if (this.state.value !== "lost") this.state.value = "connecting";
    const place: Query = this.last === null ? {} : { last_event_id: this.last };
    const source = new EventSource(addressOf("events/", { ...this.query, ...place }));
    this.source = source;
    let isOpened = false; // a source that opens again has resumed by itself
    source.onopen = () => {
      this.failures = 0;
      this.state.value = "live";
      this.reason.value = null;
      // Without a place it starts now: what was read before may lack the events up to here.
      if (place.last_event_id === undefined && !isOpened) this.onGap();
      isOpened = true;
    };
    source.onerror = () => {
      // The browser connects again by itself unless the server refused; then it says only that it is closed.
      if (source.readyState !== EventSource.CLOSED) this.state.value = "lost";
      else this.lost();
    };
    for (const name of NAMES) source.addEventListener(name, (message) => this.receive(message as MessageEvent, name));
    source.addEventListener("failure", (message) => {
      this.reason.value = String(JSON.parse((message as MessageEvent).data).detail);
      this.lost();
    });
  }

  private receive(message: MessageEvent, name: string): void {
    if (message.lastEventId !== "") this.last = message.lastEventId;
    this.onEvent(JSON.parse(message.data) as StreamedEvent, name);
  }

  private lost(): void {
    this.disconnect();
    if (!this.isWanted) return;
    this.state.value = "lost";
    this.failures += 1;
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1] ?? 8000;
    this.timer = setTimeout(() => void this.retry(), wait);
  }

  private async retry(): Promise<void> {
    try {
      await get("login/"); // tells whether it is the server, the session or the place
      if (this.failures >= PATIENCE && this.last !== null) {
        this.last = null;
        this.onGap();
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.close(); // whoever logs in next opens it again, and it goes on where it was
        return;
      }
    }
    if (this.isWanted) this.connect();
  }
}

type Listener = { event: (event: StreamedEvent, name: string) => void; gap: () => void };

const listeners = new Set<Listener>();
let closing: ReturnType<typeof setTimeout> | undefined;

/** The stream of all events, which all views share. */
export const live = new EventStream(
  {},
  (event, name) => {
    for (const listener of listeners) listener.event(event, name);
  },
  () => {
    for (const listener of listeners) listener.gap();
  },
);

/** Be told of every event; returns how to end it. */
export function listen(event: Listener["event"], gap: Listener["gap"]): () => void {
  const listener = { event, gap };
  listeners.add(listener);
  clearTimeout(closing);
  live.open();
  return () => {
    listeners.delete(listener);
    closing = setTimeout(() => {
      if (listeners.size === 0) live.close();
    }, 2000);
  };
}
