import type { ComponentChildren, JSX } from "preact";
import { exact, ago, ms, now, minute, duration, growing } from "../model/times";
import { FINAL, type Task } from "../model/tasks";
import { toast } from "../model/toasts";

export interface ButtonProps {
  kind?: "primary" | "secondary" | "danger" | "link" | "plain";
  small?: boolean;
  onClick?: (event: MouseEvent) => void;
  disabled?: boolean;
  type?: "button" | "submit";
  title?: string | undefined;
  label?: string | undefined;
  pressed?: boolean | undefined;
  expanded?: boolean | undefined;
  busy?: boolean;
  children: ComponentChildren;
}

export function Button(props: ButtonProps): JSX.Element {
  const kind = `pf-m-${props.kind ?? "secondary"}`;
  return (
    <button
      type={props.type ?? "button"}
      class={`pf-v6-c-button ${kind} ${props.small ? "pf-m-small" : ""}`}
      disabled={props.disabled || props.busy}
      title={props.title}
      aria-label={props.label}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      aria-busy={props.busy || undefined}
      onClick={props.onClick}
    >
      <span class="pf-v6-c-button__text">{props.children}</span>
    </button>
  );
}

const COLOURS: Record<string, string> = {
  waiting: "grey",
  running: "blue",
  canceling: "orange",
  completed: "green",
  failed: "red",
  canceled: "orange",
  skipped: "purple",
};

const PATHS: Record<string, string> = {
  waiting: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM8 4.5V8l2.6 1.8",
  running: "M4.5 3.2v9.6L12.7 8 4.5 3.2Z",
  canceling: "M3 3h10v10H3z",
  completed: "M2.5 8.5 6.3 12.3 13.5 4.2",
  failed: "M8 2v7M8 12.2v1.6",
  canceled: "M3.6 3.6 12.4 12.4M12.4 3.6 3.6 12.4",
  skipped: "M3 3.5 8 8l-5 4.5M8.5 3.5 13.5 8l-5 4.5",
};

export function StateIcon({ state }: { state: string }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" data-state={state}>
      <path
        d={PATHS[state] ?? PATHS.waiting}
        fill={state === "running" ? "currentColor" : "none"}
        stroke="currentColor"
        stroke-width="2"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}

export function StateLabel({ state }: { state: string }): JSX.Element {
  return (
    <span class={`pf-v6-c-label pf-m-compact pf-m-${COLOURS[state] ?? "grey"}`} data-state={state}>
      <span class="pf-v6-c-label__content">
        <span class="pf-v6-c-label__icon">
          <StateIcon state={state} />
        </span>
        <span class="pf-v6-c-label__text">{state}</span>
      </span>
    </span>
  );
}

/** How long ago; the exact time on hover. */
export function Ago({ time }: { time: string | null }): JSX.Element {
  if (time === null) return <span class="none">–</span>;
  const at = ms(time);
  const passed = minute.peek() - at < 120_000 ? now.value - at : minute.value - at;
  return (
    <time dateTime={time} title={exact(time)}>
      {ago(passed)}
    </time>
  );
}

export function Exact({ time }: { time: string | null }): JSX.Element {
  if (time === null) return <span class="none">–</span>;
  const text = exact(time);
  return (
    <time dateTime={time} title={text}>
      {text.slice(0, 19)}
    </time>
  );
}

/** How long it took from one time to another; it goes on while there is no end. */
export function Span({ from, to }: { from: string | null; to: string | null }): JSX.Element {
  if (from === null) return <span class="none">–</span>;
  if (to !== null) return <span>{duration(ms(to) - ms(from))}</span>;
  return <span>{growing(now.value - ms(from))}</span>;
}

/** A task, and the time at which it is looked at; null for now. */
interface Spanned {
  task: Task;
  until?: string | null;
}

export function Waited({ task, until = null }: Spanned): JSX.Element {
  return <Span from={task.pulp_created} to={task.started_at ?? task.finished_at ?? until} />;
}

export function Ran({ task, until = null }: Spanned): JSX.Element {
  return <Span from={task.started_at} to={FINAL.has(task.state) ? (task.finished_at ?? task.pulp_last_updated) : until} />;
}

/** A bar from 0 to 1. */
export function Bar({ fraction, label, state }: { fraction: number; label: string; state?: string }): JSX.Element {
  const percent = Math.floor(fraction * 100);
  return (
    <span class="bar" role="progressbar" aria-label={label} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
      <span class="bar-track">
        <span class="bar-fill" data-state={state} style={{ width: `${percent}%` }} />
      </span>
      <span class="bar-text">{percent} %</span>
    </span>
  );
}

/** What went wrong, in the words of the server. */
export function Problem({ text, again }: { text: string; again?: () => void }): JSX.Element {
  return (
    <div class="pf-v6-c-alert pf-m-danger pf-m-inline" role="alert">
      <div class="pf-v6-c-alert__icon">
        <StateIcon state="failed" />
      </div>
      <p class="pf-v6-c-alert__title">{text}</p>
      {again && (
        <div class="pf-v6-c-alert__action-group">
          <Button kind="link" onClick={again}>
            Try again
          </Button>
        </div>
      )}
    </div>
  );
}

export function Note({ kind = "info", title, children }: { kind?: string; title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class={`pf-v6-c-alert pf-m-${kind} pf-m-inline`}>
      <div class="pf-v6-c-alert__icon">
        <StateIcon state={kind === "warning" ? "failed" : "waiting"} />
      </div>
      <p class="pf-v6-c-alert__title">{title}</p>
      {children && <div class="pf-v6-c-alert__description">{children}</div>}
    </div>
  );
}

/** Nothing is there: why, and the command or link that changes it. */
export function Empty({ title, children, command }: { title: string; children?: ComponentChildren; command?: string }): JSX.Element {
  return (
    <div class="pf-v6-c-empty-state">
      <div class="pf-v6-c-empty-state__content">
        <h2 class="pf-v6-c-empty-state__title-text">{title}</h2>
        {children && <div class="pf-v6-c-empty-state__body">{children}</div>}
        {command && (
          <div class="empty-command">
            <Command text={command} />
          </div>
        )}
      </div>
    </div>
  );
}

/** A command for a terminal, which can be copied. */
export function Command({ text }: { text: string }): JSX.Element {
  return (
    <span class="command">
      <code>{text}</code>
      <Button kind="plain" small label={`Copy: ${text}`} title="Copy" onClick={() => void copy(text)}>
        <CopyIcon />
      </Button>
    </span>
  );
}

export function CopyIcon(): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" />
    </svg>
  );
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    // Without https the browser gives no clipboard: the text is shown, to be copied by hand.
    toast(text, { title: "Your browser does not let this page copy. The text:" });
  }
}

export function Loading({ what }: { what: string }): JSX.Element {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      Reading {what} …
    </p>
  );
}

export function Card({ title, children, actions }: { title: ComponentChildren; children: ComponentChildren; actions?: ComponentChildren }): JSX.Element {
  return (
    <section class="card">
      <header class="card-head">
        <h2>{title}</h2>
        {actions}
      </header>
      {children}
    </section>
  );
}
