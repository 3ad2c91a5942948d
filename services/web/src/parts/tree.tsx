import type { JSX } from "preact";
import { Bar } from "./basics";

/** A progress tree as the user guide shows it: names in words, and a bar where items are counted. */
export function ProgressTree({ value, state }: { value: unknown; state: string }): JSX.Element | null {
  if (typeof value !== "object" || value === null) return <p class="mono">{String(value)}</p>;
  return <Branch value={value as Record<string, unknown>} state={state} />;
}

function Branch({ value, state }: { value: Record<string, unknown>; state: string }): JSX.Element {
  const { items_total: total, items_left: left } = value;
  const counts = typeof total === "number" && typeof left === "number" && total > 0;
  const entries = Object.entries(value);
  return (
    <>
      {counts && <Bar fraction={((total as number) - (left as number)) / (total as number)} label="Items" state={state} />}
      <ul class="tree">
        {entries.map(([name, part]) =>
          typeof part === "object" && part !== null && !Array.isArray(part) && Object.keys(part).length > 0 ? (
            <li key={name}>
              <span class="tree-name">{words(name)}</span>
              <Branch value={part as Record<string, unknown>} state={state} />
            </li>
          ) : (
            <li key={name} class="tree-leaf">
              <span class="tree-key">{words(name)}</span>
              <span class="tree-value">{leaf(name, part)}</span>
            </li>
          ),
        )}
      </ul>
    </>
  );
}

/** `items_left` as `Items Left`. */
export function words(name: string): string {
  return name
    .split(/[_\s]+/)
    .map((each) => each.charAt(0).toUpperCase() + each.slice(1))
    .join(" ");
}

function leaf(name: string, part: unknown): string {
  if (typeof part === "number" && /size|bytes/.test(name)) return `${bytes(part)} (${part.toLocaleString("en")})`;
  if (typeof part === "number") return part.toLocaleString("en");
  if (typeof part === "string") return part;
  if (Array.isArray(part) && part.length === 0) return "none";
  if (typeof part === "object" && part !== null && Object.keys(part).length === 0) return "none";
  return JSON.stringify(part);
}

export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} bytes` : `${value.toFixed(1)} ${units[unit]}`;
}

/** JSON with indents, as it is. */
export function Json({ value, label }: { value: unknown; label: string }): JSX.Element {
  return (
    <pre class="code" tabIndex={0} role="region" aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}
