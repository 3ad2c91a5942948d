/** Requests to the API of this server, with the cookie session of the browser. */

export const ROOT = "/pulp/api/v3";

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface Options {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** An answer that is no success, or none at all (status 0). The message is a sentence for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly body: unknown = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

let onUnauthorized: () => void = () => undefined;

/** Have `listener` called whenever the server says that the session is over. */
export function whenUnauthorized(listener: () => void): void {
  onUnauthorized = listener;
}

export function get<T>(path: string, options: Options = {}): Promise<T> {
  return request<T>("GET", path, options);
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  return (await exchange<T>(method, path, options)).body;
}

/** The body of the answer, and its headers. Throws `ApiError`; an aborted request throws what fetch throws. */
export async function exchange<T>(
  method: string,
  path: string,
  options: Options = {},
): Promise<{ body: T; headers: Headers }> {
  const headers: Record<string, string> = {
    Accept: "application/json",
    "X-Requested-With": "XMLHttpRequest", // else the browser asks for the password in a window of its own
    ...options.headers,
  };
  if (method !== "GET") headers["X-CSRFToken"] = cookie("csrftoken");
  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (options.signal !== undefined) init.signal = options.signal;
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  let answer: Response;
  try {
    answer = await fetch(addressOf(path, options.query), init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  const body = await bodyOf(answer);
  if (answer.ok) return { body: body as T, headers: answer.headers };
  if (answer.status === 401 && headers["Authorization"] === undefined) onUnauthorized();
  const retry = Number(answer.headers.get("retry-after") ?? Number.NaN);
  throw new ApiError(answer.status, sentence(answer.status, body), body, Number.isNaN(retry) ? null : retry);
}

/** The path below the API's root with its query; a value that is undefined or empty is left out. */
export function addressOf(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === "") continue;
    for (const each of Array.isArray(value) ? value : [value]) parameters.append(name, String(each));
  }
  const text = parameters.toString();
  const base = path.startsWith("/") ? path : `${ROOT}/${path}`;
  return text === "" ? base : `${base}?${text}`;
}

/** What an answer that is no success says, in the words of the server where it has some. */
export function sentence(status: number, body: unknown): string {
  if (typeof body === "object" && body !== null) {
    const detail = (body as { detail?: unknown }).detail;
    if (typeof detail === "string") return detail;
    const parts = Object.entries(body).map(([name, value]) => {
      const text = Array.isArray(value) ? value.map(plain).join(" ") : plain(value);
      return name === "non_field_errors" ? text : `${name}: ${text}`;
    });
    if (parts.length > 0) return parts.join("; ");
  }
  return `The server answered with ${status}.`;
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function bodyOf(answer: Response): Promise<unknown> {
  const text = await answer.text();
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function cookie(name: string): string {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
  return found === undefined ? "" : decodeURIComponent(found.slice(name.length + 1));
}
