/** Short messages that go away, and are read out. */

import { signal } from "@preact/signals";

export interface Toast {
  id: number;
  title: string | null;
  text: string;
  kind: "info" | "success" | "warning" | "danger";
  link: { href: string; text: string } | null;
}

export const toasts = signal<readonly Toast[]>([]);

let last = 0;

export function toast(
  text: string,
  { title = null, kind = "info", link = null }: Partial<Pick<Toast, "title" | "kind" | "link">> = {},
): void {
  last += 1;
  const id = last;
  toasts.value = [...toasts.value.slice(-3), { id, title, text, kind, link }];
  const stays = kind === "danger" || kind === "warning" ? 20_000 : 6000;
  setTimeout(() => dismiss(id), stays);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((each) => each.id !== id);
}

/** What screen readers say next; nothing of it is seen. */
export const spoken = signal("");

export function say(text: string): void {
  spoken.value = text;
}
