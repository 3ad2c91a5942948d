import type { JSX } from "preact";
import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { type Action, adminOf, Bulk, cancel, commandOf, fits, matching, type Outcome, rerun, type Target } from "../model/actions";
import { mayCancel, user } from "../model/session";
import type { Filter } from "../model/task-list";
import { say } from "../model/toasts";
import { idOf } from "../model/tasks";
import { Button, copy, Problem, StateLabel } from "./basics";
import { Dialog } from "./dialog";

interface Wish {
  action: Action;
  /** The tasks themselves, or the filter that shows them. */
  what: readonly Target[] | Filter;
  onDone?: () => void;
}

const wish = signal<Wish | null>(null);

// Nobody is asked about what another user wanted.
effect(() => {
  if (user.value === null) wish.value = null;
});

/** Ask for the reason and the confirmation, then act. */
export function act(action: Action, what: readonly Target[] | Filter, onDone?: () => void): void {
  wish.value = onDone === undefined ? { action, what } : { action, what, onDone };
}

const VERB = { cancel: "Cancel", rerun: "Run again" } as const;
const MOST_LISTED = 200;
const MOST_NAMED = 20;

export function ActDialog(): JSX.Element | null {
  const now = wish.value;
  if (now === null) return null;
  return <Ask key={now} wish={now} />;
}

function Ask({ wish: asked }: { wish: Wish }): JSX.Element {
  const { action } = asked;
  const [targets, setTargets] = useState(() => (isTargets(asked.what) ? possible(action, asked.what) : null));
  const [count, setCount] = useState(0);
  const [failure, setFailure] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const [isListed, setListed] = useState(false);
  const [bulk, setBulk] = useState<Bulk | null>(null);
  const running = bulk?.isRunning.value === true;
  const isDone = bulk !== null && !running;

  useEffect(() => {
    if (isTargets(asked.what)) return;
    const stopping = new AbortController();
    matching(asked.what, action, setCount, stopping.signal)
      .then((all) => setTargets(possible(action, all)))
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) setFailure(error instanceof Error ? error.message : String(error));
      });
    return () => stopping.abort();
  }, [asked]);

  // The close button comes first in the dialog, but Enter is meant for the action.
  useLayoutEffect(() => {
    const dialog = document.querySelector("dialog[open]");
    const first = dialog?.querySelector<HTMLElement>("#reason") ?? dialog?.querySelector<HTMLElement>("[type=submit]");
    first?.focus();
  }, [targets, isDone]);

  const close = () => {
    bulk?.stop();
    wish.value = null;
    if (bulk !== null) asked.onDone?.();
  };
  const begin = () => {
    if (targets === null || targets.length === 0 || bulk !== null) return;
    const begun = new Bulk(targets, (target) => (action === "cancel" ? cancel(target, reason.trim()) : rerun(target)));
    setBulk(begun);
    void begun.run().then(() => say(summary(action, begun.done.value)));
  };

  const command = targets === null ? null : sameCommand(action, asked.what, targets);
  const skipped = isTargets(asked.what) && targets !== null ? asked.what.length - targets.length : 0;
  return (
    <Dialog
      title={titleOf(action, targets)}
      onClose={close}
      onSubmit={isDone ? close : begin}
      actions={
        <>
          {bulk === null && (
            <Button kind={action === "cancel" ? "danger" : "primary"} type="submit" disabled={!targets?.length}>
              {targets !== null && targets.length > 1 ? `${VERB[action]} ${many(targets.length)}` : `${VERB[action]}`}
            </Button>
          )}
          {bulk === null && targets !== null && targets.length > 0 && (
            <Button kind="secondary" onClick={() => setListed(!isListed)} expanded={isListed}>
              {isListed ? "Hide them" : "Dry run: show which"}
            </Button>
          )}
          {running && (
            <Button kind="secondary" onClick={() => bulk?.stop()}>
              Stop
            </Button>
          )}
          {bulk === null && command !== null && (
            <Button kind="link" onClick={() => void copy(command)}>
              Copy as pulp-admin
            </Button>
          )}
          {isDone ? (
            <Button kind="primary" type="submit">
              Close
            </Button>
          ) : (
            <Button kind="link" onClick={close}>
              {bulk === null ? "Do nothing" : "Close"}
            </Button>
          )}
        </>
      }
    >
      {failure !== null && <Problem text={failure} />}
      {targets === null && failure === null && <p role="status">Looking for them: {count.toLocaleString("en")} so far …</p>}
      {targets !== null && bulk === null && (
        <>
          <p>{sentenceOf(action, targets, skipped)}</p>
          {action === "cancel" && targets.length > 0 && (
            <div class="pf-v6-c-form__group field">
              <label class="pf-v6-c-form__label" for="reason">
                <span class="pf-v6-c-form__label-text">Reason, kept in the history</span>
              </label>
              <span class="pf-v6-c-form-control">
                <input
                  id="reason"
                  maxLength={1024}
                  autocomplete="off"
                  value={reason}
                  onInput={(event) => setReason(event.currentTarget.value)}
                />
              </span>
            </div>
          )}
          {isListed && <Targets targets={targets} />}
        </>
      )}
      {bulk !== null && <Outcomes action={action} bulk={bulk} />}
    </Dialog>
  );
}

function Targets({ targets }: { targets: readonly Target[] }): JSX.Element {
  return (
    <>
      <ul class="targets" tabIndex={0} aria-label="The tasks">
        {targets.slice(0, MOST_LISTED).map((each) => (
          <li key={each.pulp_href}>
            <StateLabel state={each.state} /> <strong>{each.name}</strong>{" "}
            <span class="muted">{each.reserved_resources_record[0] ?? ""}</span> <code>{idOf(each.pulp_href)}</code>
          </li>
        ))}
      </ul>
      {targets.length > MOST_LISTED && <p class="muted">and {(targets.length - MOST_LISTED).toLocaleString("en")} more</p>}
    </>
  );
}

function Outcomes({ action, bulk }: { action: Action; bulk: Bulk }): JSX.Element {
  const done = bulk.done.value;
  const refused = done.filter((each) => !each.ok);
  const made = done.filter((each) => each.made !== null);
  return (
    <div class="outcomes">
      {bulk.isRunning.value && (
        <progress class="whole" max={bulk.targets.length} value={done.length} aria-label="How many are done" />
      )}
      <p role="status">{summary(action, done)}</p>
      {refused.length > 0 && (
        <ul class="targets refused" tabIndex={0} aria-label="Refused">
          {refused.slice(0, MOST_LISTED).map((each) => (
            <li key={each.target.pulp_href}>{each.text}</li>
          ))}
        </ul>
      )}
      {made.length > 0 && (
        <ul class="targets" tabIndex={0} aria-label="The new tasks">
          {made.slice(0, MOST_LISTED).map((each) => (
            <li key={each.made}>
              <strong>{each.target.name}</strong> <a href={`/ui/tasks/${idOf(each.made ?? "")}`}>{idOf(each.made ?? "")}</a>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function summary(action: Action, done: readonly Outcome[]): string {
  const refused = done.filter((each) => !each.ok).length;
  const stopping = done.filter((each) => each.text === "asked to stop").length;
  const ended = done.length - refused - stopping;
  const parts = [];
  if (ended > 0 || done.length === 0) parts.push(`${ended.toLocaleString("en")} ${action === "cancel" ? "canceled" : "submitted again"}`);
  if (stopping > 0) parts.push(`${stopping.toLocaleString("en")} asked to stop`);
  if (refused > 0) parts.push(`${refused.toLocaleString("en")} refused`);
  return `${parts.join(", ")}.`;
}

function titleOf(action: Action, targets: readonly Target[] | null): string {
  if (targets?.length === 1) return `${action === "cancel" ? "Cancel" : "Run again"}: ${targets[0]?.name ?? ""}`;
  return action === "cancel" ? "Cancel tasks" : "Run tasks again";
}

function sentenceOf(action: Action, targets: readonly Target[], skipped: number): string {
  const why = action === "cancel" ? "has ended, or is not yours to cancel" : "has not ended";
  const whyMany = action === "cancel" ? "have ended, or are not yours to cancel" : "have not ended";
  const left = skipped === 0 ? "" : ` ${skipped === 1 ? `One more ${why}` : `${skipped} more ${whyMany}`}: nothing is done with ${skipped === 1 ? "it" : "them"}.`;
  if (targets.length === 0) return `No task is left that could be ${action === "cancel" ? "canceled" : "run again"}.${left}`;
  if (action === "cancel") return `${capital(many(targets.length))} will be asked to stop.${left}`;
  return `${capital(many(targets.length))} will be submitted again, with the same arguments.${left}`;
}

/** The command that does the same; null if it would be too long, or there is none. */
function sameCommand(action: Action, what: Wish["what"], targets: readonly Target[]): string | null {
  if (targets.length === 0) return null;
  // `tasks rerun --all` leaves out what was run again already, so it would not be the same.
  if (!isTargets(what) && action === "cancel") {
    const options = adminOf({ ...what, states: what.states.filter((state) => ["waiting", "running"].includes(state)) });
    if (options !== null) return `pulp-admin tasks cancel ${options.includes("--all") ? "" : "--all "}${options}`;
  }
  return targets.length > MOST_NAMED ? null : commandOf(action, targets.map((each) => idOf(each.pulp_href)));
}

function many(count: number): string {
  return count === 1 ? "one task" : `${count.toLocaleString("en")} tasks`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Those of the tasks that the action fits, and that this user may act on. */
function possible(action: Action, tasks: readonly Target[]): readonly Target[] {
  return tasks.filter((each) => fits(action, each) && (action === "rerun" || mayCancel(each)));
}

function isTargets(what: Wish["what"]): what is readonly Target[] {
  return Array.isArray(what);
}
