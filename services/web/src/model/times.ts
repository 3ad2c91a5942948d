/** Times and durations in words. */

import { signal } from "@preact/signals";

/** The server's time, in milliseconds, every second; it stands still while nobody looks. */
export const now = signal(Date.now());
/** The same, every minute. */
export const minute = signal(Date.now());

let offsetMs = 0;

/** Learn the server's clock from an answer. A clock that is nearly right is left alone. */
export function learnClock(serverMs: number): void {
  const difference = serverMs - Date.now();
  offsetMs = Math.abs(difference) < 2000 ? 0 : difference;
  tick();
}

export function tick(): void {
  now.value = Date.now() + offsetMs;
  if (Math.abs(now.value - minute.value) >= 15_000) minute.value = now.value;
}

export function startClock(): void {
  tick();
  setInterval(() => {
    if (document.visibilityState === "visible") tick();
  }, 1000);
}

export function ms(text: string): number {
  return Date.parse(text);
}

/** A duration in its two largest units: 850 ms, 4.2 s, 3 min 10 s, 2 h 5 min, 3 d 4 h. */
export function duration(milliseconds: number): string {
  const value = Math.max(0, milliseconds);
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 10_000) return `${(Math.floor(value / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(value / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 86_400) return pair(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
  return pair(Math.floor(seconds / 86_400), "d", Math.floor((seconds % 86_400) / 3600), "h");
}

/** A duration that is still growing: whole seconds, so that it does not flicker. */
export function growing(milliseconds: number): string {
  return duration(Math.max(1000, Math.floor(milliseconds / 1000) * 1000)).replace(".0 s", " s");
}

/** How long ago: "just now", "12 s ago", "5 min ago", "3 h ago", "4 d ago". */
export function ago(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The exact time, in the zone of the browser. */
export function exact(text: string): string {
  const time = new Date(text);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return `${day} ${clock}.${String(time.getMilliseconds()).padStart(3, "0")} (${text})`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
