import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { actOn, commandOf, type DeadLetter, type LetterAction, possible, sentenceOf } from "../model/dead-letters";
import { user } from "../model/session";
import { say, toast } from "../model/toasts";
import { Button, copy, Exact, Problem } from "./basics";
import { Dialog } from "./dialog";

const MOST_REASON = 1024;
const WORDS = { retry: "Retry", discard: "Discard" } as const;

interface Asked {
  action: LetterAction;
  letter: DeadLetter;
  onDone: () => void;
}

const asked = signal<Asked | null>(null);

interface TableProps {
  rows: readonly DeadLetter[];
  /** Read them again. */
  again: () => void;
  /** Where a task is told of, too: what names it. */
  nameOf?: (task: string) => ComponentChildren;
}

/** Dead letters, each with what this user may do about it. */
export function DeadLetterTable({ rows, again, nameOf }: TableProps): JSX.Element {
  const mayAct = rows.some((each) => possible(each, user.value).length > 0);
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label="Dead letters">
        {/* The roles stay where a narrow window makes blocks of the cells. */}
        <table class="table stacks" role="table">
          <thead role="rowgroup">
            <tr role="row">
              <th scope="col" role="columnheader">Position</th>
              <th scope="col" role="columnheader">Time</th>
              <th scope="col" role="columnheader">Why</th>
              {nameOf !== undefined && <th scope="col" role="columnheader">Task</th>}
              <th scope="col" role="columnheader">Standing</th>
              {mayAct && <th scope="col" role="columnheader">To go on</th>}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {rows.map((each) => (
              <tr key={each.position} role="row">
                <th scope="row" role="rowheader">
                  <code>{each.position}</code>
                </th>
                <td role="cell">
                  <Exact time={each.time} />
                </td>
                <td role="cell">{each.reason}</td>
                {nameOf !== undefined && <td role="cell" data-label="Task">{each.task === null ? "–" : nameOf(each.task)}</td>}
                <td role="cell" data-label="Standing">
                  {each.standing}
                  {each.behind > 0 && <span class="muted"> ({each.behind} behind it)</span>}
                </td>
                {mayAct && (
                  <td role="cell">
                    <div class="head-buttons">
                      {possible(each, user.value).map((action) => (
                        <Button
                          key={action}
                          kind={action === "discard" ? "danger" : "secondary"}
                          small
                          label={`${WORDS[action]} ${each.position}`}
                          onClick={() => (asked.value = { action, letter: each, onDone: again })}
                        >
                          {WORDS[action]} …
                        </Button>
                      ))}
                    </div>
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {asked.value !== null && <Ask key={asked.value} wish={asked.value} />}
    </>
  );
}

function Ask({ wish }: { wish: Asked }): JSX.Element {
  const { action, letter } = wish;
  const [reason, setReason] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  // The close button comes first in the dialog, but whoever types means the reason.
  useLayoutEffect(() => document.querySelector<HTMLElement>("dialog[open] #letter-reason")?.focus(), []);
  const close = () => {
    asked.value = null;
  };
  const begin = async () => {
    if (isBusy || (action === "discard" && reason.trim() === "")) return;
    setBusy(true);
    setFailure(null);
    try {
      const done = await actOn(action, letter.position, reason.trim());
      const told = `${letter.position}: ${action === "discard" ? "discarded" : "retried"}${done.projected ? "" : ", as soon as a processor is up"}.`;
      toast(told, { kind: "success" });
      say(told);
      close();
      wish.onDone();
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={`${WORDS[action]}: the record at ${letter.position}`}
      onClose={close}
      onSubmit={() => void begin()}
      actions={
        <>
          <Button kind={action === "discard" ? "danger" : "primary"} type="submit" busy={isBusy} disabled={action === "discard" && reason.trim() === ""}>
            {WORDS[action]}
          </Button>
          <Button kind="link" onClick={() => void copy(commandOf(action, letter.position, reason.trim()))}>
            Copy as pulp-admin
          </Button>
          <Button kind="link" onClick={close}>
            Do nothing
          </Button>
        </>
      }
    >
      {failure !== null && <Problem text={failure} />}
      <p>{sentenceOf(action, letter)}</p>
      <p class="muted">{letter.reason}</p>
      <div class="pf-v6-c-form__group field">
        <label class="pf-v6-c-form__label" for="letter-reason">
          <span class="pf-v6-c-form__label-text">Reason, kept in the history{action === "discard" ? "" : " (may be left out)"}</span>
        </label>
        <span class="pf-v6-c-form-control">
          <input
            id="letter-reason"
            maxLength={MOST_REASON}
            autocomplete="off"
            required={action === "discard"}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </span>
      </div>
    </Dialog>
  );
}
