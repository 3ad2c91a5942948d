import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Query } from "./api";

export interface Polled<T> {
  value: Signal<T | null>;
  failure: Signal<string | null>;
  again: () => void;
}

/** What the API says at a path, read again every few seconds while the page is seen, and whenever the query changes. */
export function usePolled<T>(path: string, query: Query = {}, everyMs = 2000): Polled<T> {
  const value = useSignal<T | null>(null);
  const failure = useSignal<string | null>(null);
  const turn = useSignal(0);
  const key = JSON.stringify([path, query, turn.value]);
  useEffect(() => {
    const stopping = new AbortController();
    let isReading = false;
    const read = async () => {
      if (isReading || document.visibilityState === "hidden") return;
      isReading = true;
      try {
        value.value = await get<T>(path, { query, signal: stopping.signal });
        failure.value = null;
      } catch (error) {
        if (!stopping.signal.aborted) failure.value = error instanceof Error ? error.message : String(error);
      } finally {
        isReading = false;
      }
    };
    void read();
    const timer = setInterval(() => void read(), everyMs);
    return () => {
      clearInterval(timer);
      stopping.abort();
    };
  }, [key]);
  return { value, failure, again: () => (turn.value += 1) };
}
