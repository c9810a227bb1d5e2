// The API: one request, its answer or its problem. The console has no other way in.

import { signal } from "@preact/signals";
import type { Role, Session } from "./types";

/** What the API says when it does not do what it was asked to. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly wayOut: string | null = null,
    readonly isFresh = false,
  ) {
    super(detail);
  }
}

/** Who is signed in: not asked yet, nobody (and whether there is no user yet), or somebody. */
export type Who =
  | { is: "unknown" }
  | { is: "nobody"; isFresh: boolean }
  | { is: "somebody"; session: Session };

export const who = signal<Who>({ is: "unknown" });
/** Whether the appliance answered the last request. */
export const isReachable = signal(true);

/** Answers that are kept to be compared. */
const SEEN_MAX = 64;
/** What was read last at each address, with its ETag: where it is still so, the appliance says only that. */
const seen = new Map<string, { tag: string; value: unknown }>();

function remember(path: string, tag: string | null, value: unknown): void {
  seen.delete(path);
  if (tag) seen.set(path, { tag, value });
  const [oldest] = seen.keys();
  if (seen.size > SEEN_MAX && oldest !== undefined) seen.delete(oldest);
}

function csrf(): Record<string, string> {
  const now = who.peek();
  return now.is === "somebody" && now.session.csrf ? { "x-csrf-token": now.session.csrf } : {};
}

/**
 * Sends a request below `/api/v1`. Throws a `Problem`. What is read twice and has not changed is the same value, which
 * nobody may change.
 */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = method === "GET" ? {} : csrf();
  const known = method === "GET" ? seen.get(path) : undefined;
  if (known) headers["if-none-match"] = known.tag;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
    } as RequestInit);
  } catch {
    isReachable.value = false;
    throw new Problem(0, "unreachable", "the appliance does not answer", "see whether tidemarkd runs");
  }
  isReachable.value = answer.status !== 502;
  if (answer.status === 304 && known) return known.value as T;
  if (answer.ok) {
    const value = answer.status === 204 ? undefined : await answer.json();
    if (method === "GET") remember(path, answer.headers.get("etag"), value);
    return value as T;
  }
  throw await problemOf(answer, path);
}

async function problemOf(answer: Response, path: string): Promise<Problem> {
  const told = (await answer.json().catch(() => null)) as {
    code?: string;
    detail?: string;
    way_out?: string;
    is_fresh?: boolean;
  } | null;
  const detail = told?.detail ?? `the appliance answered ${answer.status} without a word`;
  const isFresh = told?.is_fresh === true;
  if (answer.status === 401 && path !== "/session") who.value = { is: "nobody", isFresh };
  return new Problem(answer.status, told?.code ?? "failed", detail, told?.way_out ?? null, isFresh);
}

/** Finds out who is signed in. A daemon without logins takes everyone for its owner, as its socket does. */
export async function findWho(): Promise<void> {
  try {
    who.value = { is: "somebody", session: await ask<Session>("GET", "/session") };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    seen.clear();
    if (error.status === 401) who.value = { is: "nobody", isFresh: error.isFresh };
    else if (error.status === 404) {
      const session: Session = { user: "local", role: "admin", csrf: "", expires_ms: null };
      who.value = { is: "somebody", session };
    } else setTimeout(findWho, 2000);
  }
}

const ROLES: Role[] = ["viewer", "helpdesk", "operator", "admin"];

/** Why whoever is signed in may not do what takes this role; nothing where it may. */
export function whyNot(role: Role): string | undefined {
  const now = who.value;
  if (now.is !== "somebody") return "Sign in first.";
  if (ROLES.indexOf(now.session.role) >= ROLES.indexOf(role)) return undefined;
  return `This takes the role ${role}; ${now.session.user} is ${now.session.role}.`;
}
