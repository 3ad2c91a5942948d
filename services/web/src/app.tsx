import type { ComponentType, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";
import { loadOperations } from "./model/operations";
import { go, path } from "./model/route";
import * as session from "./model/session";
import { listen, live } from "./model/stream";
import { dismiss, spoken, toast, toasts } from "./model/toasts";
import { Button, Problem } from "./parts/basics";
import { Keys, keysAreShown, useKeys } from "./parts/keys";
import { Log } from "./views/log";
import { Login } from "./views/login";
import { Numbers } from "./views/numbers";
import { Queues } from "./views/queues";
import { Submit } from "./views/submit";
import { Task } from "./views/task";
import { Tasks } from "./views/tasks";
import { Trust } from "./views/trust";
import { Workers } from "./views/workers";

interface View {
  path: string;
  title: string;
  page: ComponentType;
  /** Goes there, after `g`. */
  key: string;
  isShown?: () => boolean;
}

const VIEWS: readonly View[] = [
  { path: "/tasks", title: "Tasks", page: TasksOrTask, key: "t" },
  { path: "/queues", title: "Queues", page: Queues, key: "q" },
  { path: "/workers", title: "Workers", page: Workers, key: "w" },
  { path: "/log", title: "Log", page: Log, key: "l" },
  { path: "/numbers", title: "Numbers", page: Numbers, key: "n" },
  { path: "/trust", title: "Trust", page: Trust, key: "v" },
  { path: "/submit", title: "Submit", page: Submit, key: "s", isShown: () => session.maySubmit.value },
];

function TasksOrTask(): JSX.Element {
  const [, id] = /^\/tasks\/([^/]+)$/.exec(path.value) ?? [];
  return id === undefined ? <Tasks /> : <Task key={id} id={id} />;
}

const failure = signal<string | null>(null);

export function App(): JSX.Element {
  useEffect(() => void start(), []);
  if (failure.value !== null) {
    return (
      <main class="alone">
        <Problem text={failure.value} again={() => void start()} />
      </main>
    );
  }
  if (session.user.value === undefined) return <main class="alone" aria-busy="true" />;
  return (
    <>
      {session.user.value === null ? <Login /> : <Shell />}
      <Toasts />
    </>
  );
}

async function start(): Promise<void> {
  try {
    failure.value = null;
    await session.load();
  } catch (error) {
    failure.value = error instanceof Error ? error.message : String(error);
  }
}

function Shell(): JSX.Element {
  const here = path.value;
  const view = VIEWS.find((each) => here === each.path || here.startsWith(`${each.path}/`));
  const Page = view?.page;
  useKeys(Object.fromEntries(VIEWS.map((each) => [`g ${each.key}`, () => go(each.path)])));
  useEffect(() => {
    const stop = listen(() => undefined, () => undefined); // the connection outlives each view, and no session
    return () => {
      stop();
      live.close();
    };
  }, []);
  useEffect(() => void loadOperations().catch(() => undefined), []); // completions do without them
  useEffect(() => {
    document.title = `${view?.title ?? "Not found"} · Pulp Tasks`;
    // On a narrow screen the views do not all fit.
    document.querySelector(".nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [view]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/ui/tasks">
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <rect width="32" height="32" rx="7" class="brand-box" />
            <path d="M8 9h16M8 16h11M8 23h6" class="brand-lines" />
            <circle cx="23" cy="22" r="4.4" class="brand-dot" />
          </svg>
          <span>Pulp Tasks</span>
        </a>
        <nav class="nav" aria-label="Views">
          <ul>
            {VIEWS.filter((each) => each.isShown?.() ?? true).map((each) => (
              <li key={each.path}>
                <a href={`/ui${each.path}`} aria-current={each === view ? "page" : undefined}>
                  {each.title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <Connection />
        <Account />
      </header>
      <main id="main" tabIndex={-1} class="main">
        {Page === undefined ? <NotFound /> : <Page />}
      </main>
      <Keys />
      <div class="pf-v6-screen-reader" role="status" aria-live="polite">
        {spoken.value}
      </div>
    </>
  );
}

const WORDS = { idle: "", connecting: "Connecting …", live: "Live", lost: "Reconnecting …" };

function Connection(): JSX.Element {
  const state = live.state.value;
  return (
    <span class="connection" data-state={state} role="status" title={live.reason.value ?? "The server's events"}>
      {state !== "idle" && <span class="dot" aria-hidden="true" />}
      <span class="connection-text">{WORDS[state]}</span>
    </span>
  );
}

/** Nobody must believe that a session has ended which goes on. */
async function logOut(): Promise<void> {
  try {
    await session.logOut();
  } catch (error) {
    if (session.user.value === null) return; // it had ended already
    toast(error instanceof Error ? error.message : String(error), { title: "You are still logged in.", kind: "danger" });
  }
}

function Account(): JSX.Element | null {
  const user = session.user.value;
  if (!user) return null;
  return (
    <div class="account">
      <Button kind="plain" small label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={() => (keysAreShown.value = true)}>
        <kbd>?</kbd>
      </Button>
      <span class="who" title={`role: ${user.role}`}>
        <span class="who-name">{user.username}</span>
        <span class="who-role">{user.role}</span>
      </span>
      {user.authenticated_by === "session" && (
        <Button kind="secondary" small onClick={() => void logOut()}>
          Log out
        </Button>
      )}
    </div>
  );
}

function NotFound(): JSX.Element {
  return (
    <div class="page">
      <h1>Not found</h1>
      <p>
        There is no such view. <a href="/ui/tasks">All tasks</a>
      </p>
    </div>
  );
}

function Toasts(): JSX.Element {
  return (
    <ul class="toasts" role="list" aria-live="polite" aria-label="Messages">
      {toasts.value.map((each) => (
        <li key={each.id} class={`pf-v6-c-alert pf-m-${each.kind}`}>
          <p class="pf-v6-c-alert__title">{each.title ?? each.text}</p>
          <div class="pf-v6-c-alert__action">
            <Button kind="plain" small label="Close this message" onClick={() => dismiss(each.id)}>
              ×
            </Button>
          </div>
          {each.title !== null && <div class="pf-v6-c-alert__description">{each.text}</div>}
          {each.link !== null && (
            <div class="pf-v6-c-alert__description">
              <a href={each.link.href}>{each.link.text}</a>
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}
