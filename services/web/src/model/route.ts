/** The address of the page: its path below /ui/, and its query, which holds every filter. */

import { signal } from "@preact/signals";

export const BASE = "/ui";

export const path = signal(currentPath());
export const query = signal(new URLSearchParams(location.search));

window.addEventListener("popstate", read);

/** Go to an address below /ui/. */
export function go(to: string, { replace = false } = {}): void {
  const address = BASE + to;
  if (address === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  const was = path.value;
  read();
  if (path.value !== was) {
    window.scrollTo(0, 0);
    document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
  }
}

/** Change parameters of the query; null takes one away. */
export function setQuery(changes: Record<string, string | null>, { replace = true } = {}): void {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  go(path.value + (text === "" ? "" : `?${text}`), { replace });
}

/** Have the clicks on links within the page change the address without loading it anew. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target !== "" || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !url.pathname.startsWith(`${BASE}/`)) return;
    event.preventDefault();
    go(url.pathname.slice(BASE.length) + url.search);
  });
}

function read(): void {
  path.value = currentPath();
  query.value = new URLSearchParams(location.search);
}

function currentPath(): string {
  const found = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : "/";
  return found === "" || found === "/" ? "/tasks" : found.replace(/\/$/, "");
}
