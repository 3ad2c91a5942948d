/** Who is logged in, and what they may do. */

import { computed, signal } from "@preact/signals";
import { ApiError, get, request, whenUnauthorized } from "./api";
import type { Task } from "./tasks";

export type Role = "viewer" | "operator" | "submitter" | "auditor" | "admin";

export interface User {
  pulp_href: string;
  username: string;
  role: Role;
  authenticated_by: string;
}

/** Undefined until the server has said; null for nobody. */
export const user = signal<User | null | undefined>(undefined);
export const problem = signal<string | null>(null);

export const maySubmit = computed(() => user.value?.role === "submitter" || user.value?.role === "admin");

whenUnauthorized(() => {
  if (user.value) problem.value = "Your session has ended. Log in again to go on where you were.";
  user.value = null;
});

export async function load(): Promise<void> {
  try {
    user.value = await get<User>("login/");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) user.value = null;
    else throw error;
  }
}

/** Begin a session. Throws `ApiError`. */
export async function logIn(name: string, password: string): Promise<void> {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  const encoded = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  await request("POST", "login/", { headers: { Authorization: `Basic ${encoded}` } });
  await load(); // now by the cookie
  problem.value = null;
}

export async function logOut(): Promise<void> {
  await request("DELETE", "login/");
  problem.value = null;
  user.value = null;
}

/** Whether the server would let this user cancel the task. */
export function mayCancel(task: Pick<Task, "created_by" | "state">): boolean {
  const now = user.value;
  if (!now || !["waiting", "running"].includes(task.state)) return false;
  return now.role === "admin" || now.role === "operator" || (now.role === "submitter" && isOwn(task, now));
}

/** Whether this user may act on tasks at all. */
export const mayCancelSome = computed(() => user.value != null && user.value.role !== "viewer" && user.value.role !== "auditor");

export function mayRerun(task: Pick<Task, "state">): boolean {
  return maySubmit.value && isFinal(task.state);
}

function isFinal(state: string): boolean {
  return ["completed", "failed", "canceled", "skipped"].includes(state);
}

function isOwn(task: Pick<Task, "created_by">, now: User): boolean {
  return task.created_by === now.pulp_href;
}
