import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { adminOf, curlOf } from "../model/actions";
import { get } from "../model/api";
import { operations } from "../model/operations";
import { go, query, setQuery } from "../model/route";
import type { Known } from "../model/search";
import { mayCancel, mayCancelSome, mayRerun, maySubmit, user } from "../model/session";
import { listen, wordOf } from "../model/stream";
import { type Filter, isFinal, TaskList } from "../model/task-list";
import { fractionOf, nameOf, STATES, type Task } from "../model/tasks";
import { say } from "../model/toasts";
import { act, ActDialog } from "../parts/act";
import { Ago, Bar, Button, copy, Empty, Loading, Problem, Ran, StateIcon, StateLabel, Waited } from "../parts/basics";
import { useKeys } from "../parts/keys";
import { SearchBox } from "../parts/search-box";

const COUNT_MS = 2000;
/** So many rows come and go together. */
const BLOCK = 50;
const BLOCKS_AT_FIRST = 1;
/** What a row took where one was last measured, in pixels. */
let rowHeight = 43;

export function Tasks(): JSX.Element {
  const list = useMemo(() => new TaskList(), []);
  const counts = useMemo(() => signal<Record<string, number>>({}), []);
  const selected = useMemo(() => signal<ReadonlySet<string>>(new Set()), []);
  const current = useMemo(() => signal<string | null>(null), []);
  const filter = filterOf(query.value);
  const key = JSON.stringify(filter);

  useEffect(() => {
    selected.value = new Set();
    void list.load(filter);
  }, [key]);
  useEffect(() => watch(list, counts), []);
  useListKeys(list, selected, current);

  const isFiltered = filter.states.length > 0 || filter.q !== "";
  const rows = list.ids.value;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Tasks</h1>
        {maySubmit.value && (
          <a class="pf-v6-c-button pf-m-primary" href="/ui/submit">
            <span class="pf-v6-c-button__text">Submit a task</span>
          </a>
        )}
      </div>
      <StateChips filter={filter} counts={counts.value} />
      <div class="tools">
        <SearchBox
          value={filter.q}
          known={() => known(list)}
          failure={isFiltered ? list.failure.value : null}
          onSearch={(q) => setQuery({ q })}
        />
        <Tools list={list} filter={filter} isFiltered={isFiltered} />
      </div>
      {list.failure.value !== null && !isFiltered && <Problem text={list.failure.value} again={() => void list.load()} />}
      <Selection list={list} selected={selected} filter={filter} />
      <Fresh list={list} />
      {list.phase.value === "loading" && <Loading what="tasks" />}
      {list.phase.value === "ready" && rows.length === 0 && <Nothing filter={filter} isFiltered={isFiltered} />}
      {rows.length > 0 && <Rows list={list} selected={selected} current={current} />}
      <ActDialog />
    </div>
  );
}

export function filterOf(parameters: URLSearchParams): Filter {
  const states = (parameters.get("state") ?? "").split(",").filter((each) => (STATES as readonly string[]).includes(each));
  return { states, q: parameters.get("q") ?? "" };
}

/** Follow the stream while the list is shown; the counts are read anew while there are events. */
function watch(list: TaskList, counts: { value: Record<string, number> }): () => void {
  let isStale = true;
  const count = async () => {
    if (!isStale || document.visibilityState === "hidden" || list.isPaused.value) return;
    isStale = false;
    try {
      counts.value = await countStates();
    } catch {
      isStale = true; // the next round tries again, and the connection says that the server is away
    }
  };
  void count();
  const timer = setInterval(() => void count(), COUNT_MS);
  const stop = listen(
    (event, name) => {
      const word = wordOf(name);
      if (word !== "progress") isStale = true;
      list.apply(event, word);
    },
    () => {
      isStale = true;
      void list.load();
    },
  );
  return () => {
    clearInterval(timer);
    stop();
  };
}

async function countStates(): Promise<Record<string, number>> {
  return (await get<{ states: Record<string, number> }>("task-counts/")).states;
}

function StateChips({ filter, counts }: { filter: Filter; counts: Record<string, number> }): JSX.Element {
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  const toggle = (state: string) => {
    const next = filter.states.includes(state) ? filter.states.filter((each) => each !== state) : [...filter.states, state];
    setQuery({ state: next.join(",") }, { replace: false });
  };
  const ready = Object.keys(counts).length > 0;
  return (
    <div class="chips" role="group" aria-label="Filter by state">
      <button type="button" class="chip" aria-pressed={filter.states.length === 0} onClick={() => setQuery({ state: null }, { replace: false })}>
        All <span class="chip-count">{ready ? all.toLocaleString("en") : "…"}</span>
      </button>
      {STATES.map((state) => (
        <button
          key={state}
          type="button"
          class="chip"
          data-state={state}
          data-none={counts[state] === 0}
          aria-pressed={filter.states.includes(state)}
          onClick={() => toggle(state)}
        >
          <StateIcon state={state} /> {state} <span class="chip-count">{counts[state]?.toLocaleString("en") ?? "…"}</span>
        </button>
      ))}
    </div>
  );
}

function Tools({ list, filter, isFiltered }: { list: TaskList; filter: Filter; isFiltered: boolean }): JSX.Element {
  const isPaused = list.isPaused.value;
  const toggle = () => (isPaused ? list.resume() : list.pause());
  useKeys({ p: toggle });
  return (
    <div class="tools-buttons">
      <Button kind="secondary" pressed={isPaused} onClick={toggle} title="Pause, and go on (p)">
        {isPaused ? "Go on" : "Pause"}
      </Button>
      <details class="menu">
        <summary class="pf-v6-c-button pf-m-secondary">
          <span class="pf-v6-c-button__text">All that match ▾</span>
        </summary>
        <div class="menu-box" onClick={(event) => (event.currentTarget.parentElement as HTMLDetailsElement).removeAttribute("open")}>
          {mayCancelSome.value && (
            <Button kind="link" onClick={() => act("cancel", filter, () => void list.load())}>
              Cancel all {isFiltered ? "that match" : "tasks"} …
            </Button>
          )}
          {maySubmit.value && (
            <Button kind="link" onClick={() => act("rerun", filter, () => void list.load())}>
              Run all {isFiltered ? "that match" : "tasks"} again …
            </Button>
          )}
          {adminOf(filter) !== null && (
            <Button kind="link" onClick={() => void copy(`pulp-admin tasks list ${adminOf(filter) ?? ""}`)}>
              Copy as pulp-admin
            </Button>
          )}
          <Button kind="link" onClick={() => void copy(curlOf(filter))}>
            Copy as curl
          </Button>
          <Button kind="link" onClick={() => void copy(location.href)}>
            Copy the address of this list
          </Button>
        </div>
      </details>
    </div>
  );
}

function Selection({ list, selected, filter }: { list: TaskList; selected: { value: ReadonlySet<string> }; filter: Filter }): JSX.Element | null {
  const ids = [...selected.value];
  if (ids.length === 0) return null;
  const tasks = ids.map((id) => list.row(id).value);
  const clear = () => (selected.value = new Set());
  const total = list.total.value ?? 0;
  return (
    <div class="selection" role="region" aria-label="Selection">
      <strong>{ids.length} selected</strong>
      {mayCancelSome.value && tasks.some((task) => mayCancel(task)) && (
        <Button kind="danger" small onClick={() => act("cancel", tasks, clear)}>
          Cancel …
        </Button>
      )}
      {maySubmit.value && tasks.some((task) => isFinal(task)) && (
        <Button kind="secondary" small onClick={() => act("rerun", tasks, clear)}>
          Run again …
        </Button>
      )}
      {mayCancelSome.value && total > ids.length && (
        <Button kind="link" small onClick={() => act("cancel", filter, clear)}>
          Cancel all {total.toLocaleString("en")}
          {list.isEstimate.value ? " or so" : ""} that match …
        </Button>
      )}
      <Button kind="link" small onClick={clear}>
        Select none
      </Button>
    </div>
  );
}

function Fresh({ list }: { list: TaskList }): JSX.Element {
  const count = list.fresh.value.length;
  return (
    <div class="fresh" aria-live="polite">
      {count > 0 && (
        <button
          type="button"
          class="fresh-button"
          onClick={() => {
            list.showFresh();
            window.scrollTo({ top: 0 });
          }}
        >
          {count.toLocaleString("en")} new: show {count === 1 ? "it" : "them"}
        </button>
      )}
    </div>
  );
}

function Nothing({ filter, isFiltered }: { filter: Filter; isFiltered: boolean }): JSX.Element {
  if (isFiltered) {
    return (
      <Empty title="No task matches">
        <p>
          {filter.q !== "" ? "Look at the search, or " : ""}
          <a href="/ui/tasks">show all tasks</a>. They come here by themselves as soon as some match.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No task was submitted yet" command="pulp-admin repo sync run --repo-id zoo --feed URL">
      <p>This page shows the first one as soon as it is there. To submit one from a terminal:</p>
    </Empty>
  );
}

function Rows({ list, selected, current }: { list: TaskList; selected: { value: ReadonlySet<string> }; current: { value: string | null } }): JSX.Element {
  const ids = list.ids.value;
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const watcher = new IntersectionObserver(
      (entries) => {
        if (entries.some((each) => each.isIntersecting)) void list.more();
      },
      { rootMargin: "800px" },
    );
    if (end.current !== null) watcher.observe(end.current);
    return () => watcher.disconnect();
  }, [ids.length]);
  const canSelect = mayCancelSome.value;
  const areAll = ids.length > 0 && ids.every((id) => selected.value.has(id));
  return (
    <>
      <div class="tasks" role="table" aria-label="Tasks" aria-rowcount={list.total.value ?? -1} data-selectable={canSelect}>
        <div class="row row-head" role="row">
          {canSelect && (
            <span role="columnheader" class="cell-select">
              <input
                type="checkbox"
                aria-label="Select all that are shown"
                checked={areAll}
                onChange={() => (selected.value = areAll ? new Set() : new Set(ids))}
              />
            </span>
          )}
          {["State", "Operation", "Resource", "Who", "Submitted", "Waited", "Ran", "Progress", "Worker"].map((title) => (
            <span key={title} role="columnheader" class={`cell-${title.toLowerCase()}`}>
              {title}
            </span>
          ))}
        </div>
        {Array.from({ length: Math.ceil(ids.length / BLOCK) }, (_, block) => (
          <Block key={block} place={block} ids={ids.slice(block * BLOCK, (block + 1) * BLOCK)} list={list} selected={selected} current={current} canSelect={canSelect} />
        ))}
      </div>
      <div ref={end} class="end" role="status">
        {list.isLoadingMore.value
          ? "Reading older tasks …"
          : list.hasMore.value
            ? ""
            : `${list.isEstimate.value ? "About " : ""}${(list.total.value ?? ids.length).toLocaleString("en")} ${ids.length === 1 ? "task" : "tasks"}`}
      </div>
    </>
  );
}

interface BlockProps extends Omit<RowProps, "id"> {
  place: number;
  ids: readonly string[];
}

/** Some rows, which are there only while they are near the screen: a list of any length has as many elements as a short one. */
function Block({ place, ids, ...rest }: BlockProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [isNear, setNear] = useState(place < BLOCKS_AT_FIRST);
  useEffect(() => {
    const watcher = new IntersectionObserver(
      ([entry]) => {
        if (entry === undefined) return;
        if (!entry.isIntersecting && box.current?.firstChild != null) rowHeight = box.current.offsetHeight / box.current.childElementCount;
        setNear(entry.isIntersecting);
      },
      { rootMargin: "1000px" },
    );
    if (box.current !== null) watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  return (
    <div ref={box} class="block" role={isNear ? "rowgroup" : "presentation"} style={{ minHeight: isNear ? "" : `${rowHeight * ids.length}px` }}>
      {isNear && ids.map((id) => <Row key={id} id={id} {...rest} />)}
    </div>
  );
}

interface RowProps {
  id: string;
  list: TaskList;
  selected: { value: ReadonlySet<string> };
  current: { value: string | null };
  canSelect: boolean;
}

function Row({ id, list, selected, current, canSelect }: RowProps): JSX.Element {
  const task = list.row(id).value;
  const isSelected = selected.value.has(id);
  return (
    <div class="row" role="row" data-id={id} data-state={task.state} data-selected={isSelected} data-current={current.value === id}>
      {canSelect && (
        <span role="cell" class="cell-select">
          <input
            type="checkbox"
            aria-label={`Select ${task.name} ${id.slice(-6)}`}
            checked={isSelected}
            onChange={() => toggle(selected, id)}
          />
        </span>
      )}
      <span role="cell" class="cell-state">
        <StateLabel state={task.state} />
      </span>
      <span role="cell" class="cell-operation">
        <a href={`/ui/tasks/${id}`} onFocus={() => (current.value = id)}>
          {task.name}
        </a>
      </span>
      <span role="cell" class="cell-resource" title={task.reserved_resources_record.join("\n")}>
        <ResourceLink keys={task.reserved_resources_record} />
      </span>
      <span role="cell" class="cell-who">
        {task.created_by === null ? <span class="none">–</span> : nameOf(task.created_by)}
      </span>
      <span role="cell" class="cell-submitted">
        <Ago time={task.pulp_created} />
      </span>
      <span role="cell" class="cell-waited" data-label="waited">
        <Waited task={task} />
      </span>
      <span role="cell" class="cell-ran" data-label="ran">
        <Ran task={task} />
      </span>
      <span role="cell" class="cell-progress">
        <ProgressOf task={task} />
      </span>
      <span role="cell" class="cell-worker" title={task.worker_name ?? undefined}>
        {task.worker_name ?? <span class="none">–</span>}
      </span>
    </div>
  );
}

export function ResourceLink({ keys }: { keys: readonly string[] }): JSX.Element {
  const [first, ...others] = keys;
  if (first === undefined) return <span class="none">–</span>;
  const key = first.replace(/^shared:/, "");
  return (
    <>
      <a class="quiet" href={`/ui/queues?resource=${encodeURIComponent(key)}`}>
        {first}
      </a>
      {others.length > 0 && <span class="muted"> +{others.length}</span>}
    </>
  );
}

function ProgressOf({ task }: { task: Task }): JSX.Element {
  if (task.state === "failed" || task.state === "skipped") {
    const text = task.error?.description ?? "";
    return (
      <span class="error-text" title={text}>
        {text}
      </span>
    );
  }
  const fraction = fractionOf(task.progress_reports);
  if (fraction === null || task.state === "waiting") return <span class="none">–</span>;
  return <Bar fraction={fraction} label={`Progress of ${task.name}`} state={task.state} />;
}

function toggle(selected: { value: ReadonlySet<string> }, id: string): void {
  const next = new Set(selected.value);
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

function useListKeys(list: TaskList, selected: { value: ReadonlySet<string> }, current: { value: string | null }): void {
  const step = (by: number) => {
    const ids = list.ids.value;
    const at = current.value === null ? -1 : ids.indexOf(current.value);
    const next = ids[Math.max(0, Math.min(ids.length - 1, at < 0 ? (by > 0 ? 0 : ids.length - 1) : at + by))];
    if (next === undefined) return;
    current.value = next;
    focusRow(next, Math.floor(ids.indexOf(next) / BLOCK));
  };
  const meant = (): Task[] => {
    const ids = selected.value.size > 0 ? [...selected.value] : current.value === null ? [] : [current.value];
    return ids.map((id) => list.row(id).value);
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    x: () => {
      if (current.value !== null && mayCancelSome.value) toggle(selected, current.value);
    },
    Enter: (event) => {
      if (current.value === null) return;
      if ((event.target as Element).closest("button, a, summary") === null) go(`/tasks/${current.value}`);
      else (event.target as HTMLElement).click();
    },
    c: () => {
      const tasks = meant().filter((task) => mayCancel(task));
      if (tasks.length > 0) act("cancel", tasks);
      else say("No task is chosen that you could cancel.");
    },
    r: () => {
      const tasks = meant().filter((task) => mayRerun(task));
      if (tasks.length > 0) act("rerun", tasks);
      else say("No task is chosen that you could run again.");
    },
  });
}

/** Put the focus on a row; one that is far away has to be scrolled to before it is there. */
function focusRow(id: string, block: number, isFar = false): void {
  const row = document.querySelector<HTMLElement>(`.row[data-id="${id}"]`);
  if (row === null) {
    if (isFar) return;
    document.querySelectorAll(".block")[block]?.scrollIntoView({ block: "center" });
    setTimeout(() => focusRow(id, block, true), 150);
    return;
  }
  row.scrollIntoView({ block: "nearest" });
  row.querySelector<HTMLElement>(".cell-operation a")?.focus({ preventScroll: true });
}

function known(list: TaskList): Known {
  const tasks = list.shown();
  return {
    operations: operations.value.map((each) => each.name),
    resources: [...new Set(tasks.flatMap((task) => task.reserved_resources_record))].filter((each) => !each.startsWith("shared:")),
    users: [...new Set([user.value?.username ?? "", ...tasks.map((task) => nameOf(task.created_by))])].filter(Boolean),
  };
}
