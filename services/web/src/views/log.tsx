import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { DeadLetter } from "../model/dead-letters";
import { aboutEvent, asJsonLines, download } from "../model/history";
import { usePolled } from "../model/poll";
import { query, setQuery } from "../model/route";
import { EventStream, type StreamedEvent, TYPES, wordOf } from "../model/stream";
import type { Page } from "../model/tasks";
import { exact } from "../model/times";
import { Button, Card, Empty, Loading, Problem } from "../parts/basics";
import { DeadLetterTable } from "../parts/dead-letters";
import { useKeys } from "../parts/keys";
import { TaskLink } from "./task";
import { Lag, type ReadModel } from "./trust";

/** How many events stay on the screen; the newest push out the oldest. */
const MOST = 500;
const PAINT_MS = 200;
const SPANS: readonly [string, string, number][] = [
  ["now", "from now on", 0],
  ["15m", "the last 15 minutes", 15],
  ["1h", "the last hour", 60],
  ["24h", "the last 24 hours", 1440],
];

export function Log(): JSX.Element {
  const isDead = query.value.get("view") === "dead";
  const model = usePolled<ReadModel>("read-model/", {}, 5000);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Log</h1>
        <div class="chips chips-tight" role="group" aria-label="What to show">
          <button type="button" class="chip" aria-pressed={!isDead} onClick={() => setQuery({ view: null })}>
            Events
          </button>
          <button type="button" class="chip" aria-pressed={isDead} onClick={() => setQuery({ view: "dead" })}>
            Dead letters <span class="chip-count">{model.value.value?.dead_letters ?? "…"}</span>
          </button>
        </div>
      </div>
      {isDead ? <DeadLetters /> : <Tail />}
      {model.value.value !== null && <Lag model={model.value.value} />}
    </div>
  );
}

function Tail(): JSX.Element {
  const type = query.value.get("type") ?? "";
  const task = query.value.get("task") ?? "";
  const text = query.value.get("text") ?? "";
  const span = query.value.get("since") ?? "15m";
  const events = useMemo(() => signal<readonly StreamedEvent[]>([]), []);
  const isPaused = useMemo(() => signal(false), []);
  const missed = useMemo(() => signal(0), []);
  const isTask = task === "" || /^[0-9a-f-]{36}$/i.test(task);

  const stream = useMemo(() => {
    if (!isTask) return null;
    const minutes = SPANS.find(([name]) => name === span)?.[2] ?? 15;
    const since = minutes === 0 ? undefined : new Date(Date.now() - minutes * 60_000).toISOString();
    const waiting: StreamedEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const paint = () => {
      timer = undefined;
      if (isPaused.value) {
        missed.value += waiting.length;
        waiting.length = 0;
        return;
      }
      // A backlog comes one partition after the other.
      events.value = [...waiting.splice(0), ...events.value].sort(newestFirst).slice(0, MOST);
    };
    return new EventStream(
      { since, task: task || undefined, type: type || undefined },
      (event) => {
        waiting.push(event);
        if (waiting.length > MOST) waiting.shift();
        timer ??= setTimeout(paint, PAINT_MS);
      },
      () => undefined,
    );
  }, [type, task, span, isTask]);
  useEffect(() => {
    events.value = [];
    missed.value = 0;
    stream?.open();
    return () => stream?.close();
  }, [stream]);
  const pause = () => {
    isPaused.value = !isPaused.value;
    if (!isPaused.value) missed.value = 0;
  };
  useKeys({ p: pause });

  const wanted = text.toLowerCase();
  const shown = events.value.filter((each) => wanted === "" || JSON.stringify(each).toLowerCase().includes(wanted));
  return (
    <Card
      title="Events of all tasks, the newest first"
      actions={
        <div class="head-buttons">
          <Button kind="secondary" small pressed={isPaused.value} onClick={pause}>
            {isPaused.value ? `Go on${missed.value > 0 ? ` (${missed.value} not shown)` : ""}` : "Pause"}
          </Button>
          <Button kind="link" small disabled={shown.length === 0} onClick={() => download("events.jsonl", "application/jsonl", asJsonLines(shown))}>
            JSON Lines
          </Button>
        </div>
      }
    >
      <div class="filters">
        <label>
          <span>Since</span>
          <span class="pf-v6-c-form-control">
            <select value={span} onChange={(event) => setQuery({ since: event.currentTarget.value })}>
              {SPANS.map(([name, about]) => (
                <option key={name} value={name}>
                  {about}
                </option>
              ))}
            </select>
          </span>
        </label>
        <label>
          <span>Kind</span>
          <span class="pf-v6-c-form-control">
            <select value={type} onChange={(event) => setQuery({ type: event.currentTarget.value })}>
              <option value="">all</option>
              {[...TYPES, "undecodable"].map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          </span>
        </label>
        <label>
          <span>Task</span>
          <span class={`pf-v6-c-form-control ${isTask ? "" : "pf-m-error"}`}>
            <input value={task} placeholder="its id" spellcheck={false} autocomplete="off" aria-invalid={!isTask} onChange={(event) => setQuery({ task: event.currentTarget.value.trim() })} />
          </span>
        </label>
        <label>
          <span>Text</span>
          <span class="pf-v6-c-form-control">
            <input value={text} placeholder="who, operation, worker …" spellcheck={false} autocomplete="off" onInput={(event) => setQuery({ text: event.currentTarget.value })} />
          </span>
        </label>
      </div>
      {stream?.reason.value != null && <Problem text={stream.reason.value} />}
      {shown.length === 0 ? (
        <Empty title="No event yet" command="pulp-tasks events tail">
          <p>They come here as they happen. On a terminal:</p>
        </Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Events">
          <table class="table history">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Event</th>
                <th scope="col">Task</th>
                <th scope="col">Who</th>
                <th scope="col">About</th>
                <th scope="col">Position</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((each) => (
                <EventLine key={`${each.partition}:${each.offset}`} event={each} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function newestFirst(one: StreamedEvent, other: StreamedEvent): number {
  return other.timestamp_ms - one.timestamp_ms || other.partition - one.partition || other.offset - one.offset;
}

function EventLine({ event }: { event: StreamedEvent }): JSX.Element {
  const time = new Date(event.timestamp_ms).toISOString();
  const actor = event.event?.actor ?? event.event?.source;
  return (
    <tr data-applied={event.event !== null}>
      <td title={exact(time)}>
        <time dateTime={time}>{exact(time).slice(11, 23)}</time>
      </td>
      <td>
        <strong>{event.event === null ? "undecodable" : wordOf(event.event.type)}</strong>
      </td>
      <td>{event.event === null ? "–" : <TaskLink href={event.event.subject} />}</td>
      <td>{typeof actor === "string" ? actor : ""}</td>
      <td class="about">{event.error ?? aboutEvent(event.event)}</td>
      <td>
        <code>
          {event.partition}:{event.offset}
        </code>
      </td>
    </tr>
  );
}

function DeadLetters(): JSX.Element {
  const { value, failure, again } = usePolled<Page<DeadLetter>>("dead-letters/", { limit: 200 }, 5000);
  const rows = value.value?.results ?? [];
  return (
    <Card title="Records that cannot be projected">
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      {value.value === null && failure.value === null && <Loading what="the dead letters" />}
      {value.value !== null && rows.length === 0 && (
        <Empty title="There is no dead letter" command="pulp-admin dead-letters list">
          <p>Everything in the log was understood. Another record would be listed here with the reason: it parks its own task, and stops no other.</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <>
          <DeadLetterTable rows={rows} again={again} nameOf={(task) => <TaskLink href={task} />} />
          <p class="hint">After an upgrade that understands them: pulp-admin dead-letters retry --all</p>
        </>
      )}
    </Card>
  );
}
