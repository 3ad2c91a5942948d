/** Records of the log that cannot be projected, and what may be done about one. */

import { exchange } from "./api";
import type { User } from "./session";

export interface DeadLetter {
  position: string;
  time: string;
  reason: string;
  standing: "dead" | "parks" | "waits" | "discarded";
  /** How many records of its task wait behind it. */
  behind: number;
  /** Null also for a task that the user may not see. */
  task: string | null;
}

export type LetterAction = "retry" | "discard";

export interface Done {
  appended: string;
  projected: boolean;
}

/** What the server would let this user do about it. A record that waits goes on with the one that parks its task. */
export function possible(letter: Pick<DeadLetter, "standing">, user: Pick<User, "role"> | null | undefined): readonly LetterAction[] {
  if (user?.role !== "operator" && user?.role !== "admin") return [];
  if (letter.standing === "parks") return ["retry", "discard"];
  return letter.standing === "dead" ? ["retry"] : [];
}

/** The command that does the same. */
export function commandOf(action: LetterAction, position: string, reason: string): string {
  const why = reason === "" ? "" : ` --reason '${reason.replaceAll("'", "'\\''")}'`;
  return `pulp-admin dead-letters ${action} ${position}${why}`;
}

/** Do it. Throws `ApiError`, whose message says what to do instead. */
export async function actOn(action: LetterAction, position: string, reason: string): Promise<Done> {
  const body = reason === "" ? {} : { reason };
  return (await exchange<Done>("POST", `dead-letters/${position}/${action}/`, { body })).body;
}

/** What will happen, for people. */
export function sentenceOf(action: LetterAction, letter: Pick<DeadLetter, "standing" | "behind">): string {
  const behind = letter.behind === 1 ? "the record that waits behind it" : `the ${letter.behind} records that wait behind it`;
  const others = letter.behind === 0 ? "" : `, and ${behind}`;
  if (action === "discard") return `The task goes on without this record, for ever${letter.behind === 0 ? "" : `: ${behind} will be projected`}.`;
  if (letter.standing === "dead") return "The record is appended again as it is, and projected there if it is understood now.";
  return `The record is projected where it is, if it is understood now${others}.`;
}
