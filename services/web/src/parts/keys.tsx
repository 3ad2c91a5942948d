import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { Dialog } from "./dialog";

export const keysAreShown = signal(false);

const HELP: readonly [string, string][] = [
  ["/", "to the search box"],
  ["j  k", "to the next or the previous row"],
  ["Enter", "open the row's task"],
  ["x", "select the row"],
  ["c", "cancel the row's task, or those selected"],
  ["r", "run it, or those selected, again"],
  ["p", "pause, and go on"],
  ["g t", "to the tasks; g and q, w, l, n, v or s: queues, workers, log, numbers, trust, submit"],
  ["Esc", "leave a dialog or the search box"],
  ["?", "this help"],
];

type Handler = (event: KeyboardEvent) => void;

const handlers = new Map<string, Handler[]>();

/** Handle keys while the component is shown. They do nothing while someone types or a dialog is open. */
export function useKeys(own: Record<string, Handler>): void {
  // Before the paint: whoever sees the component can use its keys.
  useLayoutEffect(() => {
    for (const [key, handler] of Object.entries(own)) handlers.set(key, [...(handlers.get(key) ?? []), handler]);
    return () => {
      for (const [key, handler] of Object.entries(own)) {
        handlers.set(key, (handlers.get(key) ?? []).filter((each) => each !== handler));
      }
    };
  });
}

let prefix = "";

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]") !== null) return;
  const key = prefix + event.key;
  prefix = "";
  if (key === "g") {
    prefix = "g ";
    return;
  }
  const found = handlers.get(key)?.at(-1);
  if (found === undefined) return;
  event.preventDefault();
  found(event);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) && (target as HTMLInputElement).type !== "checkbox" && (target as HTMLInputElement).type !== "range";
}

/** Listens for keys, and shows the help. */
export function Keys(): JSX.Element | null {
  useLayoutEffect(() => {
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  useKeys({
    "?": () => {
      keysAreShown.value = true;
    },
  });
  if (!keysAreShown.value) return null;
  return (
    <Dialog title="Keyboard" onClose={() => (keysAreShown.value = false)}>
      <dl class="keys">
        {HELP.map(([key, about]) => (
          <div key={key}>
            <dt>
              {key.split("  ").map((each) => (
                <kbd key={each}>{each}</kbd>
              ))}
            </dt>
            <dd>{about}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
