import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, get } from "../model/api";
import {
  aboutEvent,
  asCsv,
  asJsonLines,
  differences,
  download,
  type Entry,
  phasesOf,
  positionOf,
  readHistory,
} from "../model/history";
import { adminOfTask, curlOfTask } from "../model/actions";
import type { DeadLetter } from "../model/dead-letters";
import { usePolled } from "../model/poll";
import { query, setQuery } from "../model/route";
import { mayCancel, mayRerun } from "../model/session";
import { listen, wordOf } from "../model/stream";
import { FINAL, type FullTask, idOf, nameOf, type Page } from "../model/tasks";
import { duration, exact, growing, ms, now } from "../model/times";
import { say } from "../model/toasts";
import { act, ActDialog } from "../parts/act";
import { Ago, Button, Card, copy, CopyIcon, Empty, Exact, Loading, Problem, Ran, StateLabel, Waited } from "../parts/basics";
import { DeadLetterTable } from "../parts/dead-letters";
import { useKeys } from "../parts/keys";
import { Json, ProgressTree } from "../parts/tree";

interface Why {
  message: string;
  reasons: { reason: string; message: string; advice: string }[];
  root_cause: { reason: string; message: string } | null;
  resources: { resource: string; access: string; before: number; tasks: string[]; held_by: { task: string; state: string | null; worker_name: string }[] }[];
}

const COLLECT_MS = 200;

/** One task, followed live; everything of it that the view shows. */
function useTask(id: string) {
  const task = useSignal<FullTask | null>(null);
  const history = useSignal<readonly Entry[]>([]);
  const why = useSignal<Why | null>(null);
  const failure = useSignal<string | null>(null);
  const isMissing = useSignal(false);

  useEffect(() => {
    let isOver = false;
    let isReading = false;
    let isStale = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let least = "";
    const read = async () => {
      timer = undefined;
      isReading = true; // two at once would add the same events twice
      isStale = false;
      try {
        const last = history.value.at(-1);
        const headers: Record<string, string> = least === "" ? {} : { "Pulp-Min-Position": least };
        const [found, added] = await Promise.all([
          get<FullTask>(`tasks/${id}/`, { headers }),
          readHistory(id, last === undefined ? undefined : positionOf(last)),
        ]);
        if (isOver) return;
        const was = task.value?.state;
        task.value = found;
        history.value = [...history.value, ...added];
        failure.value = null;
        if (was !== undefined && was !== found.state) say(`The task is ${found.state} now.`);
        why.value = found.state === "waiting" ? await get<Why>(`tasks/${id}/why/`) : null;
      } catch (error) {
        if (isOver) return;
        if (error instanceof ApiError && error.status === 404) isMissing.value = true;
        else failure.value = error instanceof Error ? error.message : String(error);
      } finally {
        isReading = false;
        if (isStale && !isOver) soon();
      }
    };
    const soon = () => {
      if (isReading) isStale = true;
      else timer ??= setTimeout(() => void read(), COLLECT_MS);
    };
    const stop = listen((event) => {
      if (event.event?.subject !== id) return;
      least = positionOf(event);
      soon();
    }, soon);
    // What others do changes why it waits.
    const looking = setInterval(() => {
      if (task.value?.state === "waiting" && document.visibilityState === "visible") soon();
    }, 3000);
    task.value = null;
    history.value = [];
    void read();
    return () => {
      isOver = true;
      clearTimeout(timer);
      clearInterval(looking);
      stop();
    };
  }, [id]);
  return { task, history, why, failure, isMissing };
}

/** The task as it was at a position; null for now, or while it is read. */
function useAsOf(id: string, position: string | null): { task: FullTask | null; failure: string | null } {
  const [found, setFound] = useState<{ position: string; task: FullTask } | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    if (position === null) return;
    const stopping = new AbortController();
    get<FullTask>(`tasks/${id}/`, { query: { as_of: position }, signal: stopping.signal })
      .then((task) => {
        setFound({ position, task });
        setFailure(null);
      })
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) setFailure(error instanceof Error ? error.message : String(error));
      });
    return () => stopping.abort();
  }, [id, position]);
  return { task: position === null ? null : (found?.task ?? null), failure };
}

export function Task({ id }: { id: string }): JSX.Element {
  const { task, history, why, failure, isMissing } = useTask(id);
  const at = query.value.get("at");
  const asOf = useAsOf(id, at);
  const current = task.value;
  const shown = at === null ? current : asOf.task;
  const actions = () => {
    if (current !== null && mayCancel(current)) act("cancel", [current]);
  };
  useKeys({
    c: actions,
    r: () => {
      if (current !== null && mayRerun(current)) act("rerun", [current]);
    },
  });
  if (isMissing.value) {
    return (
      <div class="page">
        <h1>No such task</h1>
        <p>
          No task has the id <code>{id}</code>; or it was purged. <a href="/ui/tasks">All tasks</a>
        </p>
      </div>
    );
  }
  return (
    <div class="page">
      <nav class="crumbs" aria-label="Where this is">
        <a href="/ui/tasks">Tasks</a> <span aria-hidden="true">/</span> <code>{id}</code>
        <Button kind="plain" small label="Copy the id" title="Copy the id" onClick={() => void copy(id)}>
          <CopyIcon />
        </Button>
      </nav>
      {failure.value !== null && <Problem text={failure.value} />}
      {asOf.failure !== null && at !== null && <Problem text={asOf.failure} again={() => setQuery({ at: null })} />}
      {current === null && failure.value === null && <Loading what="the task" />}
      {current !== null && (
        <>
          <Head task={shown ?? current} current={current} at={at} />
          <Course task={current} history={history.value} at={at} />
          {at !== null && <AsOfNote id={id} at={at} history={history.value} past={asOf.task} current={current} />}
          {at === null && why.value !== null && current.state === "waiting" && <WhyItWaits why={why.value} />}
          {at === null && <Letters id={id} />}
          {shown === null ? <Loading what="how it was" /> : <Cards task={shown} until={history.value.find((each) => positionOf(each) === at)?.time ?? null} />}
          <History id={id} entries={history.value} at={at} />
        </>
      )}
      <ActDialog />
    </div>
  );
}

function Head({ task, current, at }: { task: FullTask; current: FullTask; at: string | null }): JSX.Element {
  const id = idOf(current.pulp_href);
  return (
    <div class="page-head">
      <div class="task-title">
        <h1>
          {task.name} {task.reserved_resources_record[0] !== undefined && <span class="muted">{task.reserved_resources_record[0]}</span>}
        </h1>
        <StateLabel state={task.state} />
        {at !== null && <span class="past-mark">as it was</span>}
      </div>
      <div class="head-buttons">
        {mayCancel(current) && (
          <Button kind="danger" title="Cancel (c)" onClick={() => act("cancel", [current])}>
            Cancel …
          </Button>
        )}
        {mayRerun(current) && (
          <>
            <Button kind="primary" title="Run again (r)" onClick={() => act("rerun", [current])}>
              Run again …
            </Button>
            <a class="pf-v6-c-button pf-m-secondary" href={`/ui/submit?rerun=${id}`}>
              <span class="pf-v6-c-button__text">Run again with changes …</span>
            </a>
          </>
        )}
        <Button kind="link" onClick={() => void copy(adminOfTask(id, at))}>
          Copy as pulp-admin
        </Button>
        <Button kind="link" onClick={() => void copy(curlOfTask(current.pulp_href, at))}>
          Copy as curl
        </Button>
      </div>
    </div>
  );
}

/** The time line: phases as a bar, events as marks, and the slider that shows the task as it was. */
function Course({ task, history, at }: { task: FullTask; history: readonly Entry[]; at: string | null }): JSX.Element | null {
  const phases = useMemo(() => phasesOf(history), [history]);
  const first = history[0];
  if (first === undefined) return null;
  const from = ms(first.time);
  const isOver = FINAL.has(task.state);
  const end = isOver ? ms(history.at(-1)?.time ?? first.time) : Math.max(now.value, ms(history.at(-1)?.time ?? first.time));
  const length = Math.max(1, end - from);
  const percent = (time: number) => `${Math.max(0, Math.min(100, ((time - from) / length) * 100))}%`;
  const index = at === null ? history.length - 1 : Math.max(0, history.findIndex((entry) => positionOf(entry) === at));
  const entry = history[index];
  const move = (next: number) => {
    const chosen = history[Math.max(0, Math.min(history.length - 1, next))];
    if (chosen === undefined) return;
    setQuery(next >= history.length - 1 ? { at: null, with: null } : { at: positionOf(chosen) });
  };
  const marks = history.length > 400 ? history.filter((each) => wordOf(each.type) !== "progress") : history;
  return (
    <Card
      title="Course"
      actions={
        <span class="muted">
          {isOver ? `${duration(length)} from its acceptance to its end` : `${growing(length)} since its acceptance`}
        </span>
      }
    >
      <div class="course" aria-hidden="true">
        {phases.map((phase) => (
          <span
            key={phase.from}
            class="phase"
            data-kind={phase.kind}
            style={{ left: percent(phase.from), width: `max(3px, ${(((phase.to ?? end) - phase.from) / length) * 100}%)` }}
            title={`${phase.label}: ${duration((phase.to ?? end) - phase.from)}`}
          />
        ))}
        {marks.map((each) => (
          <span key={positionOf(each)} class="mark" data-word={wordOf(each.type)} data-applied={each.effect === "applied"} style={{ left: percent(ms(each.time)) }} />
        ))}
        {entry !== undefined && at !== null && <span class="here" style={{ left: percent(ms(entry.time)) }} />}
      </div>
      <ul class="legend">
        {phases.map((phase) => (
          <li key={phase.from}>
            <span class="swatch" data-kind={phase.kind} /> {phase.label}{" "}
            <strong>{phase.to === null && !isOver ? growing(end - phase.from) : duration((phase.to ?? end) - phase.from)}</strong>
          </li>
        ))}
      </ul>
      {history.length > 1 && (
        <div class="slider">
          <Button kind="secondary" small label="One event back" disabled={index === 0} onClick={() => move(index - 1)}>
            ‹
          </Button>
          <input
            type="range"
            min={0}
            max={history.length - 1}
            value={index}
            aria-label="Show the task as it was"
            aria-valuetext={entry === undefined ? undefined : `event ${index + 1} of ${history.length}: ${wordOf(entry.type)}`}
            onInput={(event) => move(Number(event.currentTarget.value))}
          />
          <Button kind="secondary" small label="One event on" disabled={index === history.length - 1} onClick={() => move(index + 1)}>
            ›
          </Button>
          <span class="slider-text">
            {entry === undefined ? "" : `${index + 1} of ${history.length}: ${wordOf(entry.type)}`}
            {at === null ? " (now)" : ""}
          </span>
        </div>
      )}
    </Card>
  );
}

interface AsOfProps {
  id: string;
  at: string;
  history: readonly Entry[];
  past: FullTask | null;
  current: FullTask;
}

/** So many events may be chosen one by one; of a longer history those that report progress are left out. */
const MOST_CHOICES = 200;

function AsOfNote({ id, at, history, past, current }: AsOfProps): JSX.Element {
  const [isCompared, setCompared] = useState(false);
  const other = query.value.get("with");
  const then = useAsOf(id, other);
  const entry = history.find((each) => positionOf(each) === at);
  const compared = other === null ? current : then.task;
  const changed = past === null || compared === null ? [] : differences(relevant(past), relevant(compared));
  const choices = history.length > MOST_CHOICES ? history.filter((each) => wordOf(each.type) !== "progress" || positionOf(each) === other) : history;
  return (
    <div class="as-of">
      <p role="status">
        The task as it was at <code>{at}</code>
        {entry !== undefined && (
          <>
            , {exact(entry.time).slice(0, 23)}, just after <strong>{wordOf(entry.type)}</strong>
            {entry.effect !== "applied" && <> (which had no effect: {entry.effect})</>}
          </>
        )}
        .
      </p>
      <div class="head-buttons">
        <Button kind="primary" small onClick={() => setQuery({ at: null, with: null })}>
          Back to now
        </Button>
        <Button kind="secondary" small expanded={isCompared} onClick={() => setCompared(!isCompared)}>
          {isCompared ? "Hide what differs" : other === null ? `What has changed since (${changed.length})` : `What differs (${changed.length})`}
        </Button>
        <label class="compare">
          <span class="muted">Compare with</span>
          <span class="pf-v6-c-form-control">
            <select
              value={other ?? ""}
              onChange={(event) => {
                setQuery({ with: event.currentTarget.value });
                setCompared(true);
              }}
            >
              <option value="">now</option>
              {choices.map((each) => (
                <option key={positionOf(each)} value={positionOf(each)}>
                  {positionOf(each)} {wordOf(each.type)}
                </option>
              ))}
            </select>
          </span>
        </label>
      </div>
      {other !== null && then.failure !== null && <Problem text={then.failure} again={() => setQuery({ with: null })} />}
      {isCompared && (
        <div class="scroll" tabIndex={0} role="region" aria-label="What differs">
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Field</th>
                <th scope="col">At {at}</th>
                <th scope="col">{other === null ? "Now" : `At ${other}`}</th>
              </tr>
            </thead>
            <tbody>
              {changed.map((each) => (
                <tr key={each.path}>
                  <th scope="row">{each.path}</th>
                  <td class="mono">{each.before}</td>
                  <td class="mono">{each.after}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {changed.length === 0 && <p class="muted">Nothing.</p>}
        </div>
      )}
    </div>
  );
}

/** The fields that an event can change, without those that only say the same in another form. */
function relevant(task: FullTask): Partial<FullTask> {
  const { waiting_for: _, progress_reports: __, pulp_last_updated: ___, reruns: ____, ...rest } = task;
  return rest;
}

/** The records of the task that cannot be projected, and those that wait behind them; nothing where there are none. */
function Letters({ id }: { id: string }): JSX.Element | null {
  const { value, failure, again } = usePolled<Page<DeadLetter>>("dead-letters/", { task: id, limit: 50 }, 10_000);
  const rows = value.value?.results ?? [];
  if (rows.length === 0 && failure.value === null) return null;
  const more = (value.value?.count ?? 0) - rows.length;
  return (
    <Card title="Dead letters: records of this task that cannot be projected">
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      {rows.length > 0 && <DeadLetterTable rows={rows} again={again} />}
      {more > 0 && <p class="muted">and {more.toLocaleString("en")} more</p>}
    </Card>
  );
}

function WhyItWaits({ why }: { why: Why }): JSX.Element {
  return (
    <Card title="Why it waits">
      <ul class="reasons">
        {why.reasons.map((each) => (
          <li key={each.reason}>
            <strong>{each.message}</strong> <span class="muted">{each.advice}</span>
          </li>
        ))}
      </ul>
      {why.root_cause !== null && (
        <p>
          Behind it: <strong>{why.root_cause.message}</strong>
        </p>
      )}
      {why.resources
        .filter((each) => each.held_by.length > 0 || each.before > 0)
        .map((each) => (
          <p key={each.resource}>
            <a href={`/ui/queues?resource=${encodeURIComponent(each.resource)}`}>{each.resource}</a>
            {each.held_by.length > 0 && (
              <>
                {" is held by "}
                {each.held_by.map((one, place) => (
                  <span key={one.task}>
                    {place > 0 && ", "}
                    <TaskLink href={one.task} />
                  </span>
                ))}
              </>
            )}
            {each.before > 0 && `; ${each.before} ${each.before === 1 ? "task waits" : "tasks wait"} before it`}
          </p>
        ))}
    </Card>
  );
}

export function TaskLink({ href }: { href: string }): JSX.Element {
  return (
    <a class="task-link" href={`/ui/tasks/${idOf(href)}`}>
      <code>{idOf(href).slice(-12)}</code>
    </a>
  );
}

/** The facts of a task; `until` is the time of the event after which it is shown, null for now. */
function Cards({ task, until }: { task: FullTask; until: string | null }): JSX.Element {
  const hasProgress = typeof task.progress === "object" && task.progress !== null && Object.keys(task.progress).length > 0;
  return (
    <div class="cards task-cards">
      {task.error !== null && <ErrorCard task={task} />}
      <Card title="Task">
        <Facts
          facts={[
            ["Submitted", <><Exact time={task.pulp_created} /> <span class="muted">(<Ago time={task.pulp_created} />)</span></>],
            ["By", task.created_by === null ? null : nameOf(task.created_by)],
            ["Waited", <Waited task={task} until={until} />],
            ["Started", task.started_at === null ? null : <Exact time={task.started_at} />],
            ["Ran", task.started_at === null ? null : <Ran task={task} until={until} />],
            ["Ended", task.finished_at === null ? null : <Exact time={task.finished_at} />],
            ["Cancel asked for", task.cancel_requested_at === null ? null : <Exact time={task.cancel_requested_at} />],
            ["Next attempt", task.retry_at === null ? null : `not before ${exact(task.retry_at).slice(0, 19)}`],
            ["Worker", task.worker_name],
            ["Attempts", task.attempt > 1 || task.failed_attempts > 0 ? `${task.attempt}, ${task.failed_attempts} failed` : null],
            ["Queue", <a href={`/ui/queues`}>{task.queue}</a>],
            ["Priority", task.priority === 0 ? null : String(task.priority)],
            ["Time limit", task.timeout_seconds === null ? null : duration(task.timeout_seconds * 1000)],
            ["Deadline", task.deadline_seconds === null ? null : duration(task.deadline_seconds * 1000)],
            ["Can be canceled", task.started_at === null ? null : task.cancellable ? "also while it runs" : "not while it runs"],
            ["Correlation id", task.logging_cid === "" ? null : <a href={`/ui/tasks?q=${encodeURIComponent(`logging_cid=${task.logging_cid}`)}`}><code>{task.logging_cid}</code></a>],
            ["Tags", task.tags.length === 0 ? null : task.tags.map((tag) => <code key={tag} class="tag">{tag}</code>)],
          ]}
        />
      </Card>
      {hasProgress && (
        <Card title="Progress">
          <ProgressTree value={task.progress} state={task.state} />
        </Card>
      )}
      <Card
        title="Arguments"
        actions={
          <Button kind="link" small onClick={() => void copy(JSON.stringify(task.arguments))}>
            Copy
          </Button>
        }
      >
        {Object.keys(task.arguments).length === 0 ? <p class="muted">It was given none.</p> : <Json value={task.arguments} label="Arguments" />}
      </Card>
      {task.resources.length > 0 && (
        <Card title="Resources">
          <ul class="plain">
            {task.resources.map((each) => (
              <li key={`${each.type}:${each.id}`}>
                <a href={`/ui/queues?resource=${encodeURIComponent(`${each.type}:${each.id}`)}`}>
                  {each.type}:{each.id}
                </a>{" "}
                <span class="muted">{each.access ?? "exclusive"}</span>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {task.result !== null && task.result !== undefined && (
        <Card title="Result">
          <Json value={task.result} label="Result" />
        </Card>
      )}
      <Relations task={task} />
    </div>
  );
}

function ErrorCard({ task }: { task: FullTask }): JSX.Element {
  const error = task.error ?? {};
  const text = error.description ?? error.reason ?? "";
  return (
    <section class="card card-error">
      <header class="card-head">
        <h2>{task.state === "canceled" ? "Canceled" : "Error"}</h2>
        <Button kind="link" small onClick={() => void copy([error.error_code, text, error.traceback].filter(Boolean).join("\n"))}>
          Copy
        </Button>
      </header>
      <p class="error-main">
        {error.error_code && <code class="tag">{error.error_code}</code>} {text}
      </p>
      {error.traceback && (
        <details>
          <summary>Traceback</summary>
          <pre class="code" tabIndex={0} role="region" aria-label="Traceback">
            {error.traceback}
          </pre>
        </details>
      )}
    </section>
  );
}

function Relations({ task }: { task: FullTask }): JSX.Element | null {
  const groups: [string, string[]][] = [
    ["Parent", task.parent_task === null ? [] : [task.parent_task]],
    ["Children", task.child_tasks],
    ["Waits for", task.depends_on],
    ["It runs again", task.rerun_of == null ? [] : [task.rerun_of]],
    ["It was run again as", task.reruns ?? []],
  ];
  const present = groups.filter(([, hrefs]) => hrefs.length > 0);
  if (present.length === 0 && task.task_group === null) return null;
  return (
    <Card title="Other tasks">
      <Facts
        facts={[
          ...present.map(([name, hrefs]): [string, ComponentChildren] => [
            name,
            <span class="links" key={name}>
              {hrefs.slice(0, 20).map((href) => (
                <TaskLink key={href} href={href} />
              ))}
              {hrefs.length > 20 && <span class="muted">and {hrefs.length - 20} more</span>}
            </span>,
          ]),
          ["Group", task.task_group === null ? null : <a href={`/ui/tasks?q=${encodeURIComponent(`task_group=${idOf(task.task_group)}`)}`}>its tasks</a>],
        ]}
      />
    </Card>
  );
}

export function Facts({ facts }: { facts: [string, ComponentChildren][] }): JSX.Element {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function History({ id, entries, at }: { id: string; entries: readonly Entry[]; at: string | null }): JSX.Element {
  const [kind, setKind] = useState("");
  const [open, setOpen] = useState<string | null>(null);
  const kinds = [...new Set(entries.map((entry) => wordOf(entry.type)))];
  const shown = entries.filter((entry) => kind === "" || wordOf(entry.type) === kind);
  return (
    <Card
      title={`History (${entries.length.toLocaleString("en")} ${entries.length === 1 ? "event" : "events"})`}
      actions={
        <div class="head-buttons">
          <span class="pf-v6-c-form-control">
            <select aria-label="Kind of event" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
              <option value="">all events</option>
              {kinds.map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          </span>
          <Button kind="link" small onClick={() => download(`task-${id}.jsonl`, "application/jsonl", asJsonLines(shown))}>
            JSON Lines
          </Button>
          <Button kind="link" small onClick={() => download(`task-${id}.csv`, "text/csv", asCsv(shown))}>
            CSV
          </Button>
        </div>
      }
    >
      {shown.length === 0 ? (
        <Empty title="No event" command={`pulp-admin tasks history --task-id ${id}`} />
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="History">
          <table class="table history">
            <thead>
              <tr>
                <th scope="col">Position</th>
                <th scope="col">Time</th>
                <th scope="col">Event</th>
                <th scope="col">Who</th>
                <th scope="col">About</th>
                <th scope="col">
                  <span class="pf-v6-screen-reader">More</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((entry) => (
                <EventRow
                  key={positionOf(entry)}
                  entry={entry}
                  isHere={positionOf(entry) === at}
                  isOpen={open === positionOf(entry)}
                  onToggle={() => setOpen(open === positionOf(entry) ? null : positionOf(entry))}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function EventRow({ entry, isHere, isOpen, onToggle }: { entry: Entry; isHere: boolean; isOpen: boolean; onToggle: () => void }): JSX.Element {
  return (
    <>
      <tr data-here={isHere} data-applied={entry.effect === "applied"}>
        <td>
          <a href={`?at=${positionOf(entry)}`} title="The task as it was then">
            <code>{positionOf(entry)}</code>
          </a>
        </td>
        <td>
          <Exact time={entry.time} />
        </td>
        <td>
          <strong>{wordOf(entry.type)}</strong>
          {entry.effect !== "applied" && <span class="no-effect"> no effect: {entry.effect}</span>}
        </td>
        <td>{entry.actor}</td>
        <td class="about">{aboutEvent(entry.event)}</td>
        <td>
          <Button kind="link" small expanded={isOpen} label={`${isOpen ? "Hide" : "Raw"} event at ${positionOf(entry)}`} onClick={onToggle}>
            {isOpen ? "Hide" : "Raw"}
          </Button>
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={6}>
            <Json value={entry.event} label="The event" />
          </td>
        </tr>
      )}
    </>
  );
}
